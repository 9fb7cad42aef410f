/**
 * Our own set of pairs of interface and address: an opening by name matches only packets that come so. It has
 * the form of Qubes' set `allowed`: `iifname . saddr`.
 */

import type { Family } from '@rulecast/rules';
import { parseAddress } from '@rulecast/rules/columns';
import { CARRIED_ELEMENTS } from '../limits.ts';
import { hexAt } from '../plan/plan.ts';
import { type Attribute, attribute, attributesOf, within } from './attributes.ts';
import { type Command, MessageFlag, NftMessage } from './commands.ts';

/** An address that comes by an interface; an empty text stands for any, or for several. */
export interface Source {
  /** As the kernel has it, with zeros up to NAME_BYTES. */
  readonly interface: string;
  /** 8 or 32 hex digits. */
  readonly address: string;
}

/** Sets of our tables. */
export const SOURCES_SETS = { 4: 'sources4', 6: 'sources6' } as const;
const NAME_BYTES = 16;
const KEY = 1;
const KEY_END = 10;

export function familyOf({ address }: Source): Family {
  return address.length === 8 ? 4 : 6;
}

/** `eth1=10.0.0.5,fd00::5`, separated by spaces; undefined if it is malformed. */
export function parseSources(text: string): readonly Source[] | undefined {
  const sources: Source[] = [];
  for (const each of text.split(' ').filter((word) => word !== '')) {
    const [, name, addresses = ''] = /^([^\s/=,:]{1,15})=(.+)$/.exec(each) ?? [];
    if (name === undefined || Buffer.byteLength(name) >= NAME_BYTES) return undefined;
    for (const word of addresses.split(',')) {
      const address = parseAddress(word);
      if (address === undefined) return undefined;
      const kernelName = Buffer.from(name).toString('latin1').padEnd(NAME_BYTES, '\0');
      sources.push({ interface: kernelName, address: hexAt(address.words, 0, address.family) });
    }
  }
  return sources;
}

/** Adds pairs to the sets of a table, or removes those that exist. */
export function* changeSources(
  verb: 'add' | 'destroy',
  table: string,
  sources: readonly Source[],
): Generator<Command> {
  for (const family of [4, 6] as const) {
    const some = sources.filter((each) => familyOf(each) === family);
    for (let from = 0; from < some.length; from += CARRIED_ELEMENTS) {
      const elements = some.slice(from, from + CARRIED_ELEMENTS).map((each): Attribute => [1, [keyOf(each)]]);
      yield {
        type: verb === 'add' ? NftMessage.newSetElem : NftMessage.destroySetElem,
        flags: verb === 'add' ? MessageFlag.create : 0,
        attributes: [
          [1, table],
          [2, SOURCES_SETS[family]],
          [3, elements],
        ],
      };
    }
  }
}

function keyOf(source: Source): Attribute {
  const name = Buffer.from(source.interface, 'latin1');
  return [KEY, [[1, Buffer.concat([name, Buffer.from(source.address, 'hex')])]]];
}

/** The pairs in a message about a set of them. */
export function* sourcesIn(body: Buffer): Generator<Source> {
  for (const { value } of attributesOf(attribute(body, 3))) {
    const key = within(within(value, KEY), 1);
    const end = within(within(value, KEY_END), 1) ?? key;
    const isNamed = key !== undefined && end?.subarray(0, NAME_BYTES).equals(key.subarray(0, NAME_BYTES));
    const isOne = isNamed === true && end?.equals(key) === true;
    yield {
      interface: isNamed === true ? key.toString('latin1', 0, NAME_BYTES) : '',
      address: isOne ? key.toString('hex', NAME_BYTES) : '',
    };
  }
}
