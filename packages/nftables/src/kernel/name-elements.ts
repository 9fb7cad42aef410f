/**
 * Elements of name sets: each has a timeout, after which the kernel removes it, and its name as a comment,
 * which the `nft` program lists. They are added and removed while packets pass.
 */

import { strideOf } from '@rulecast/rules/columns';
import { isNameLabel, type NameLabel, parseNameSetName } from '../plan/name-set.ts';
import { type Attribute, attribute, attributesOf, within } from './attributes.ts';
import { type Command, MessageFlag, NftMessage } from './commands.ts';

export interface NameElement {
  /** Words of the qube's address, then of the one that it was told: 2 or 8. */
  readonly key: Uint32Array;
  readonly milliseconds: number;
  readonly label: NameLabel;
}

/** An element read from the kernel. */
export interface ReadNameElement extends NameElement {
  /** Since when it has its time. */
  readonly agoMs: number;
}

/** The type of a part of user data that is a comment. */
const COMMENT = 0;

/**
 * Adds elements, and those that are there again, with the time that they have now: one transaction, in which
 * no packet finds one missing. Throws TypeError for a label that `nft` would not read as one comment.
 */
export function renewNamed(table: string, set: string, elements: readonly NameElement[]): readonly Command[] {
  const destroyed: Attribute[] = [];
  const added: Attribute[] = [];
  for (const { key, milliseconds, label } of elements) {
    const pair = keyOf(key);
    destroyed.push([1, [pair]]);
    added.push([1, [pair, [4, longOf(milliseconds)], [6, commentOf(label)]]]);
  }
  return [
    destroying(table, set, destroyed),
    {
      type: NftMessage.newSetElem,
      flags: MessageFlag.create,
      attributes: [
        [1, table],
        [2, set],
        [3, added],
      ],
    },
  ];
}

/** Removes those of some elements that exist. */
export function destroyNamed(
  table: string,
  set: string,
  elements: readonly Pick<NameElement, 'key'>[],
): Command {
  return destroying(
    table,
    set,
    elements.map(({ key }): Attribute => [1, [keyOf(key)]]),
  );
}

function destroying(table: string, set: string, keys: readonly Attribute[]): Command {
  return {
    type: NftMessage.destroySetElem,
    flags: 0,
    attributes: [
      [1, table],
      [2, set],
      [3, keys],
    ],
  };
}

/** The elements in a message about a set, with the time that is left to them. */
export function* namedIn(body: Buffer, set: string): Generator<ReadNameElement> {
  const words = strideOf(parseNameSetName(set)?.family ?? 4) * 2;
  for (const { value } of attributesOf(attribute(body, 3))) {
    const bytes = within(within(value, 1), 1);
    const [whole, left] = [within(value, 4), within(value, 5)];
    const label = commentIn(within(value, 6));
    if (bytes?.length !== words * 4 || left?.length !== 8 || label === undefined) continue; // none of ours
    const key = Uint32Array.from({ length: words }, (_, word) => bytes.readUInt32BE(word * 4));
    const milliseconds = Number(left.readBigUInt64BE(0));
    const all = whole?.length === 8 ? Number(whole.readBigUInt64BE(0)) : milliseconds;
    yield { key, milliseconds, label, agoMs: Math.max(0, all - milliseconds) };
  }
}

function keyOf(key: Uint32Array): Attribute {
  const bytes = new Uint8Array(key.length * 4);
  const view = new DataView(bytes.buffer);
  for (let w = 0; w < key.length; w++) view.setUint32(w * 4, key[w]!); // w < length
  return [1, [[1, bytes]]];
}

function longOf(value: number): Uint8Array {
  const bytes = Buffer.allocUnsafe(8);
  const whole = Math.ceil(value);
  bytes.writeUInt32BE(Math.floor(whole / 2 ** 32), 0);
  bytes.writeUInt32BE(whole % 2 ** 32, 4);
  return bytes;
}

function commentOf(label: NameLabel): Uint8Array {
  if (!isNameLabel(label)) throw new TypeError('a label of other letters, or too long');
  const bytes = Buffer.alloc(label.length + 3);
  bytes[0] = COMMENT;
  bytes[1] = label.length + 1;
  bytes.write(label, 2, 'latin1');
  return bytes;
}

function commentIn(data: Buffer | undefined): NameLabel | undefined {
  if (data === undefined || data.length < 3 || data[0] !== COMMENT || data[1] !== data.length - 2)
    return undefined;
  const label = data.toString('latin1', 2, data.length - 1);
  return data.at(-1) === 0 && isNameLabel(label) ? label : undefined;
}
