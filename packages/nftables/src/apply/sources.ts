/**
 * The interface of each qube: a name opens an address for one qube, and another could send with that qube's
 * address. Qubes keeps pairs of interface and address in a set (`allowed` of its table `qubes`) to check
 * sources; other machines have them in the configuration. Whatever else checks sources, openings by name only
 * match packets that come by the right interface (kernel/sources.ts).
 */

import type { Family } from '@rulecast/rules';
import { attribute, textOf } from '../kernel/attributes.ts';
import { NftMessage, sourceType } from '../kernel/commands.ts';
import { NativeError } from '../kernel/native.ts';
import type { Netlink } from '../kernel/netlink.ts';
import { familyOf, type Source } from '../kernel/sources.ts';
import { othersOf, pairsOf } from './interfaces.ts';

const FAMILIES = [4, 6] as const;
/** Qubes' tables are `ip` and `ip6`. */
const TABLE_FAMILIES = { 4: 2, 6: 10 } as const;
const QUBES_TABLE = 'qubes';
const QUBES_SET = 'allowed';

/** Reads the interfaces again and again; before the first success there are none. */
export class Sources {
  readonly #configured: readonly Source[];
  #known: ReadonlySet<Family> = new Set();
  #pairs: ReadonlyMap<string, Source> | undefined;
  #others: ReadonlyMap<string, string> = new Map();
  #isLooking = false;
  #isOvertaken = false;
  #hasLooked = false;

  constructor(configured: readonly Source[]) {
    this.#configured = configured;
  }

  /** Families without a known source of interfaces. */
  get unknown(): readonly Family[] {
    return FAMILIES.filter((family) => !this.#known.has(family));
  }

  /** By address; one that comes by two interfaces belongs to neither. Undefined: not read yet. */
  get pairs(): ReadonlyMap<string, Source> | undefined {
    return this.#pairs;
  }

  /** The other address of the qube that has one, 8 or 32 hex digits; empty: it has none. */
  otherOf(address: string): string | undefined {
    return this.#others.get(address);
  }

  /** Whether something changed during a look, so that another one is due. */
  get isOvertaken(): boolean {
    return this.#isOvertaken && !this.#isLooking;
  }

  /**
   * Reads the interfaces; one run at a time. Returns whether the unknown families changed. If a set cannot be
   * read because the ruleset keeps changing, the last result stays.
   */
  async look(netlink: Pick<Netlink, 'all' | 'sources'>, turn: () => Promise<void>): Promise<boolean> {
    this.#isOvertaken = this.#isLooking;
    if (this.#isLooking) return false;
    this.#isLooking = true;
    const before = this.#hasLooked ? this.unknown.join() : undefined;
    try {
      const all = [...this.#configured];
      const known = new Set(all.map(familyOf));
      for (const family of FAMILIES) {
        if (!(await isThere(netlink, family, turn))) continue;
        known.add(family);
        const tables = TABLE_FAMILIES[family];
        for (const one of await netlink.sources(QUBES_TABLE, QUBES_SET, turn, tables)) all.push(one);
      }
      this.#known = known;
      this.#pairs = pairsOf(all);
      this.#others = othersOf(all);
    } catch (error) {
      if (!(error instanceof NativeError)) throw error;
    } finally {
      this.#isLooking = false;
      this.#hasLooked = true;
    }
    return before !== this.unknown.join();
  }
}

/** Whether Qubes' set of a family exists, with these key types. */
async function isThere(
  netlink: Pick<Netlink, 'all'>,
  family: Family,
  turn: () => Promise<void>,
): Promise<boolean> {
  let found = false;
  const start = (): ((body: Buffer) => void) => {
    found = false;
    return (body) => {
      const [table, set] = [1, 2].map((each) => textOf(attribute(body, each)));
      const isOurs = table === QUBES_TABLE && set === QUBES_SET;
      if (isOurs && attribute(body, 4)?.readUInt32BE(0) === sourceType(family)) found = true;
    };
  };
  await netlink.all(NftMessage.getSet, [], start, turn, TABLE_FAMILIES[family]);
  return found;
}
