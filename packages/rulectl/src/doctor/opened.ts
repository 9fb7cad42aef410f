/** The openings by name on this machine: the name sets of the table in force, as `nft` lists them. */

import type { Machine } from './finding.ts';

/** An address that a qube was told, and may use. */
export interface OpenAddress {
  readonly address: string;
  /** Seconds until it ends, unless it is resolved again or a connection uses it. */
  readonly leftS: number;
  /** Seconds since DNS last gave it to the qube. */
  readonly agoS: number;
}

/** An address that DNS gave a qube for a name of a list. */
export interface OpenName {
  readonly qube: string;
  /** As the kernel has it: the name, or a digest of one that is not written there. */
  readonly name: string;
  /** Null: the kernel does not tell. */
  readonly list: string | null;
  /** Sorted by end, the earliest first. */
  readonly addresses: readonly OpenAddress[];
}

/** Why it is not known; `code` is for programs. */
export interface Unknown {
  readonly code: 'no-firewall' | 'not-allowed';
  readonly text: string;
}

const NAME_SET = /^n[0-9a-f]{16}_[46]_\d+_[0-9a-f]{16}$/;
const TABLE = /^rulecast_[ab]$/;
/** The chain where packets come in: a table without it is being made, or removed. */
const BASE_CHAIN = 'forward';
/** A release may replace another while we read. */
const TRIES = 5;
/** The form of a digest, which no name has: its labels are shorter. */
const DIGEST = /^[0-9a-f]{64}$/;

export function isDigest(name: string): boolean {
  return DIGEST.test(name);
}

/** By list, qube and name. */
export function openNames(machine: Machine): readonly OpenName[] | Unknown {
  for (let tries = 0; tries < TRIES; tries++) {
    const chains = listing(machine, 'list', 'chains', 'inet');
    if (chains === undefined) {
      const text = 'nft does not list what the kernel has: run it on the firewall, as root';
      return { code: 'not-allowed', text };
    }
    const table = chains
      .filter((each) => at(each, 'chain', 'name') === BASE_CHAIN)
      .map((each) => textOf(at(each, 'chain', 'table')))
      .find((name) => TABLE.test(name));
    if (table === undefined) {
      const text =
        'no release is in force here: run it on the firewall, which alone knows what is open by name';
      return { code: 'no-firewall', text };
    }
    const found = openIn(machine, table);
    if (found !== undefined) return found;
  }
  return { code: 'not-allowed', text: 'nft does not list the name sets of the release in force: ask again' };
}

/** Undefined: it is not there any more. */
function openIn(machine: Machine, table: string): readonly OpenName[] | undefined {
  const sets = listing(machine, '-t', 'list', 'sets', 'inet');
  if (sets === undefined) return undefined;
  const names = sets
    .filter((each) => at(each, 'set', 'table') === table)
    .map((each) => textOf(at(each, 'set', 'name')))
    .filter((name) => NAME_SET.test(name));
  const found: OpenName[] = [];
  for (const name of names) {
    const set = listing(machine, 'list', 'set', 'inet', table, name)?.find(
      (each) => at(each, 'set') !== undefined,
    );
    if (set === undefined) return undefined;
    found.push(...openOf(set));
  }
  const keyOf = ({ list, qube, name }: OpenName): string => `${list ?? ''} ${qube} ${name}`;
  return found.sort((a, b) => compare(keyOf(a), keyOf(b)));
}

function openOf(set: unknown): readonly OpenName[] {
  const list = textOf(at(set, 'set', 'comment'));
  const elements = at(set, 'set', 'elem');
  const names = new Map<string, OpenName & { readonly addresses: OpenAddress[] }>();
  for (const each of Array.isArray(elements) ? elements : []) {
    const pair = at(each, 'elem', 'val', 'concat');
    const [qube = '', address = ''] = Array.isArray(pair) ? pair.map(textOf) : [];
    const [leftS = 0, wholeS = 0] = ['expires', 'timeout'].map((word) => Number(at(each, 'elem', word)));
    const name = textOf(at(each, 'elem', 'comment'));
    const key = `${qube} ${name}`;
    const known = names.get(key) ?? { qube, name, list: list === '' ? null : list, addresses: [] };
    names.set(key, known);
    known.addresses.push({ address, leftS, agoS: Math.max(0, wholeS - leftS) });
  }
  for (const { addresses } of names.values())
    addresses.sort((a, b) => a.leftS - b.leftS || compare(a.address, b.address));
  return [...names.values()];
}

/** The objects that `nft` lists; undefined: it does not. */
function listing(machine: Machine, ...words: readonly string[]): readonly unknown[] | undefined {
  const { status, stdout } = machine.run('nft', '-j', ...words);
  if (status !== 0) return undefined;
  const all = at(JSON.parse(stdout), 'nftables');
  return Array.isArray(all) ? all : undefined;
}

/** The value under a path of keys of an object. */
function at(value: unknown, ...keys: readonly string[]): unknown {
  return keys.reduce<unknown>((inner, key) => {
    return typeof inner === 'object' && inner !== null ? Reflect.get(inner, key) : undefined;
  }, value);
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
