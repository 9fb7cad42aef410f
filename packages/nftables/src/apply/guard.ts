/**
 * Whether somebody checks who sends: a name opens an address for one qube, and is worth nothing where another
 * may send by that qube's address. Qubes checks it (table `qubes`, chain `antispoof`), by a set of pairs of
 * interface and source; any table is taken that does as much. By these pairs it is also known which two
 * addresses are one qube's (interfaces.ts).
 *
 *     prerouting ─ jump, goto ─▶ a chain with: iifname . saddr in a set;  and with: drop
 */

import type { Family } from '@rulecast/rules';
import { attribute, attributesOf, textOf, within } from '../kernel/attributes.ts';
import { NftMessage } from '../kernel/commands.ts';
import { VerdictCode } from '../kernel/expressions.ts';
import { NativeError } from '../kernel/native.ts';
import type { Netlink } from '../kernel/netlink.ts';
import { ALLOWED_MAX } from '../limits.ts';
import { type Allowed, allowedIn, othersOf } from './interfaces.ts';

/** Reads the kernel, as the `all` of `Netlink` does. */
export type ReadAll = Netlink['all'];

/** Looks again and again; until it has been seen that sources are checked, they are not. */
export class Guard {
  #held: ReadonlySet<Family> = new Set();
  #others: ReadonlyMap<string, string> = new Map();
  #isLooking = false;
  #isOvertaken = false;
  #hasLooked = false;

  /** Whether no qube can send by the address of another. */
  holds(family: Family): boolean {
    return this.#held.has(family);
  }

  get unguarded(): readonly Family[] {
    return FAMILIES.filter((family) => !this.#held.has(family));
  }

  /**
   * The other address of the qube that has one, 8 or 32 hex digits; empty: it has none. Undefined: what is
   * checked does not say.
   */
  otherOf(address: string): string | undefined {
    return this.#others.get(address);
  }

  /** Something changed while it was looked, so that another look is due. */
  get isOvertaken(): boolean {
    return this.#isOvertaken && !this.#isLooking;
  }

  /**
   * One look at a time. Whether what there is to say is another than before. What cannot be read, because
   * somebody changes the ruleset all the time, is as it was.
   */
  async look(all: ReadAll, turn: () => Promise<void>): Promise<boolean> {
    this.#isOvertaken = this.#isLooking;
    if (this.#isLooking) return false;
    this.#isLooking = true;
    const before = this.#hasLooked ? this.unguarded.join() : undefined;
    try {
      const held = new Set<Family>();
      const allowed: Allowed[] = [];
      for (const family of FAMILIES) {
        const sets = await setsOfGuard(all, family, turn);
        if (sets.length > 0) held.add(family);
        for (const each of sets) for (const one of await allowedBy(all, each, turn)) allowed.push(one);
      }
      this.#held = held;
      this.#others = othersOf(allowed);
    } catch (error) {
      if (!(error instanceof NativeError)) throw error;
    } finally {
      this.#isLooking = false;
      this.#hasLooked = true;
    }
    return before !== this.unguarded.join();
  }
}

const FAMILIES = [4, 6] as const;
/** Families of tables in which packets of a family are seen: its own, and `inet`. */
const TABLE_FAMILIES = { 4: [2, 1], 6: [10, 1] } as const;
/** Types of keys of pairs, as the `nft` program numbers them: the name of an interface, and an address. */
const PAIR_TYPES = { 4: (41 << 6) | 7, 6: (41 << 6) | 8 } as const;
const PREROUTING_HOOK = 0;
const META_INPUT_NAME = 6;
const NETWORK_HEADER = 1;
/** Of the source in the header. */
const SOURCE_OFFSETS = { 4: 12, 6: 8 } as const;

/** What a rule looks for in a set: what it loaded last. */
interface Looked {
  readonly set: string;
  readonly metaKey: number;
  readonly offset: number;
}

/** What of a chain matters. */
interface Chain {
  isEntry: boolean;
  /** The sets of pairs that it asks. */
  readonly asks: Set<string>;
  drops: boolean;
  readonly leadsTo: Set<string>;
}

/** A set of pairs by which sources are checked. */
interface PairSet {
  readonly tables: number;
  readonly table: string;
  readonly set: string;
}

/**
 * The sets by which one table checks sources; none: nobody does. Rejects with NativeError. `turn` is awaited
 * between pieces of long answers.
 */
async function setsOfGuard(
  all: ReadAll,
  family: Family,
  turn: () => Promise<void>,
): Promise<readonly PairSet[]> {
  for (const tables of TABLE_FAMILIES[family]) {
    const pairs = await pairSets(all, tables, PAIR_TYPES[family], turn);
    for (const [table, sets] of pairs) {
      const isPair = ({ set, metaKey, offset }: Looked): boolean =>
        sets.has(set) && metaKey === META_INPUT_NAME && offset === SOURCE_OFFSETS[family];
      const chains = await chainsOf(all, tables, table, isPair, turn);
      const asked = (name: string): readonly string[] => {
        const chain = chains.get(name);
        return chain?.drops === true ? [...chain.asks] : [];
      };
      const found = new Set<string>();
      for (const [name, { isEntry, leadsTo }] of chains)
        if (isEntry) for (const each of [name, ...leadsTo]) for (const set of asked(each)) found.add(set);
      if (found.size > 0) return [...found].map((set) => ({ tables, table, set }));
    }
  }
  return [];
}

async function allowedBy(
  all: ReadAll,
  { tables, table, set }: PairSet,
  turn: () => Promise<void>,
): Promise<readonly Allowed[]> {
  let found: Allowed[] = [];
  const start = (): ((body: Buffer) => void) => {
    found = [];
    return (body) => {
      for (const each of allowedIn(body)) if (found.length <= ALLOWED_MAX) found.push(each);
    };
  };
  const asked = [
    [1, table],
    [2, set],
  ] as const;
  await all(NftMessage.getSetElem, asked, start, turn, tables);
  return found;
}

/** By table: the sets of such pairs. */
async function pairSets(
  all: ReadAll,
  tables: number,
  type: number,
  turn: () => Promise<void>,
): Promise<ReadonlyMap<string, ReadonlySet<string>>> {
  let found = new Map<string, Set<string>>();
  const start = (): ((body: Buffer) => void) => {
    found = new Map();
    return (body) => {
      if (attribute(body, 4)?.readUInt32BE(0) !== type) return;
      const table = textOf(attribute(body, 1));
      found.set(table, (found.get(table) ?? new Set()).add(textOf(attribute(body, 2))));
    };
  };
  await all(NftMessage.getSet, [], start, turn, tables);
  return found;
}

async function chainsOf(
  all: ReadAll,
  tables: number,
  table: string,
  isPair: (looked: Looked) => boolean,
  turn: () => Promise<void>,
): Promise<ReadonlyMap<string, Chain>> {
  let chains = new Map<string, Chain>();
  const chainCalled = (name: string): Chain => {
    const chain = chains.get(name) ?? { isEntry: false, asks: new Set(), drops: false, leadsTo: new Set() };
    chains.set(name, chain);
    return chain;
  };
  await all(
    NftMessage.getRule,
    [[1, table]],
    () => {
      chains = new Map();
      return (body) => {
        if (textOf(attribute(body, 1)) === table)
          takeRule(attribute(body, 4), chainCalled(textOf(attribute(body, 2))), isPair);
      };
    },
    turn,
    tables,
  );
  const entries = new Set<string>();
  const takeChain = (body: Buffer): void => {
    const hook = within(attribute(body, 4), 1)?.readUInt32BE(0);
    if (textOf(attribute(body, 1)) === table && hook === PREROUTING_HOOK)
      entries.add(textOf(attribute(body, 3)));
  };
  await all(NftMessage.getChain, [], () => takeChain, turn, tables);
  for (const name of entries) chainCalled(name).isEntry = true;
  return chains;
}

function takeRule(expressions: Buffer | undefined, chain: Chain, isPair: (looked: Looked) => boolean): void {
  let [metaKey, offset] = [-1, -1];
  for (const { value } of attributesOf(expressions)) {
    const [name, data] = [textOf(within(value, 1)), within(value, 2)];
    if (name === 'meta') metaKey = within(data, 2)?.readUInt32BE(0) ?? -1;
    if (name === 'payload' && within(data, 2)?.readUInt32BE(0) === NETWORK_HEADER)
      offset = within(data, 3)?.readUInt32BE(0) ?? -1;
    const set = name === 'lookup' ? textOf(within(data, 1)) : '';
    if (name === 'lookup' && isPair({ set, metaKey, offset })) chain.asks.add(set);
    const verdict = name === 'immediate' ? within(within(data, 2), 2) : undefined;
    const code = within(verdict, 1)?.readInt32BE(0);
    if (code === VerdictCode.drop) chain.drops = true;
    if (code === VerdictCode.jump || code === VerdictCode.goto) chain.leadsTo.add(textOf(within(verdict, 2)));
  }
}
