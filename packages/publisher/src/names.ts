/**
 * What the names of the rules stand for, over time: asked for again when their time to live ends, and, where no answer comes,
 * what they stood for last.
 *
 *   unknown ─ask─▶ good ──ttl──▶ (ask) ─answer─▶ good
 *      │ no answer   ▲             │ no answer
 *      ▼             └──answer── failing: keeps what it had; asked again after 5 s, 10 s, … 5 min
 *   failing                        │ longer than the age limit
 *                                  └▶ nothing, if accept rules alone use it; drop rules keep what they have
 *
 * Families fail on their own: a server that breaks on AAAA does not freeze the IPv4 addresses. A name in an accept rule and in
 * a drop rule keeps its addresses, see docs/adr/0007. Time here is monotonic: setting the wall clock ages nothing.
 */

import {
  EMPTY_PREFIX_SET,
  type Prefixes,
  type PrefixSet,
  prefixCount,
  type RuleSet,
  type Run,
  usedNames,
} from '@rulecast/rules';
import type { Clock } from '@rulecast/sources';
import { addressesOf, type ResolveName } from './resolve.ts';

/** Our choice. */
export const NAME_LIMITS = {
  /** Queries under way at once: a resolver on the same host is not to be flooded by a list of 4,096 names. */
  queries: 32,
  /** The shortest and the longest that an answer is taken to hold, whatever its time to live: between a flood and a rule that is a day late. */
  ttlMinMs: 30_000,
  ttlMaxMs: 3_600_000,
  /** Chance added to each time to live, as a share, so that names asked for together part. */
  ttlJitter: 0.1,
  /** After a first failure, and after the last of many: a failure is remembered for that long. */
  retryMinMs: 5000,
  retryMaxMs: 300_000,
  /** Names due within this are asked for together: their changes are one release. */
  batchMs: 5000,
  /** How long accept rules keep the addresses of a name that fails. */
  acceptAgeMs: 24 * 3_600_000,
} as const;

/** A name that does not resolve. */
export interface FailedName {
  readonly name: string;
  readonly reason: string;
  /** The first failure since it was good, by the monotonic clock. */
  readonly sinceMs: number;
  /** What that means for its rules, for people. */
  readonly meaning: string;
}

export interface Resolved {
  /** What each name stands for; the same map as before if nothing changed. */
  readonly resolutions: ReadonlyMap<string, PrefixSet>;
  /** Sorted by name. */
  readonly failed: readonly FailedName[];
}

export interface NamesOptions {
  readonly resolve: ResolveName;
  readonly clock: Clock;
  /** 0 to 1, for jitter; default Math.random. */
  readonly random?: () => number;
  /** Default 24 hours. */
  readonly acceptAgeMs?: number;
}

interface Entry {
  /** The last good addresses of each family, and when they were. */
  held: PrefixSet | undefined;
  readonly goodAtMs: { v4: number; v6: number };
  /** When a release asks for it again. */
  askAtMs: number;
  /** When it is asked for for its own sake; undefined: never. */
  dueAtMs: number | undefined;
  failure: Failure | undefined;
  failureCount: number;
}

interface Failure {
  readonly reason: string;
  readonly sinceMs: number;
  readonly families: readonly ('v4' | 'v6')[];
}

const FAMILIES = ['v4', 'v6'] as const;

export class Names {
  private readonly resolve: ResolveName;
  private readonly clock: Clock;
  private readonly random: () => number;
  private readonly acceptAgeMs: number;
  private readonly entries = new Map<string, Entry>();
  private readonly asking = new Map<string, Promise<void>>();
  private isClosed = false;

  constructor(options: NamesOptions) {
    this.resolve = options.resolve;
    this.clock = options.clock;
    this.random = options.random ?? Math.random;
    this.acceptAgeMs = options.acceptAgeMs ?? NAME_LIMITS.acceptAgeMs;
  }

  /**
   * What the names of a rule set stand for. Asks for those that are new or whose time has come; a name that was never asked for stands
   * meanwhile for what the rule set says, for that is what the last process knew. Never throws.
   */
  async settle(ruleSet: RuleSet): Promise<Resolved> {
    const nowMs = this.clock.monotonicMs();
    const names = usedNames(ruleSet);
    await this.askAll(
      names.filter((name) => (this.entries.get(name)?.askAtMs ?? nowMs) <= nowMs),
      ruleSet,
    );
    return this.resolved(ruleSet, names);
  }

  /** Asks for all names of a rule set that are due now or soon. Never throws. */
  async refresh(ruleSet: RuleSet): Promise<void> {
    const soonMs = this.clock.monotonicMs() + NAME_LIMITS.batchMs;
    const due = usedNames(ruleSet).filter((name) => {
      const entry = this.entries.get(name);
      return entry === undefined || (entry.dueAtMs !== undefined && entry.dueAtMs <= soonMs);
    });
    await this.askAll(due, ruleSet);
  }

  /** How long until a name of a rule set is due; undefined where none ever is. */
  dueInMs(ruleSet: RuleSet): number | undefined {
    const nowMs = this.clock.monotonicMs();
    let nextMs: number | undefined;
    for (const name of usedNames(ruleSet)) {
      const entry = this.entries.get(name);
      const dueAtMs = entry === undefined ? nowMs : entry.dueAtMs;
      if (dueAtMs !== undefined) nextMs = Math.min(nextMs ?? dueAtMs, dueAtMs);
    }
    return nextMs === undefined ? undefined : Math.max(0, nextMs - nowMs);
  }

  /** Asks for no further name. */
  close(): void {
    this.isClosed = true;
  }

  /** Forgets names that a rule set does not use. */
  keepOnly(ruleSet: RuleSet): void {
    const used = new Set(usedNames(ruleSet));
    for (const name of this.entries.keys()) if (!used.has(name)) this.entries.delete(name);
  }

  private resolved(ruleSet: RuleSet, names: readonly string[]): Resolved {
    const dropped = namesOfDrops(ruleSet);
    const resolutions = new Map<string, PrefixSet>();
    const failed: FailedName[] = [];
    for (const name of names) {
      const entry = this.entries.get(name);
      const before = ruleSet.resolutions.get(name);
      const held = entry?.held ?? before;
      const failure = entry?.failure;
      const isAging = failure !== undefined && !dropped.has(name);
      const set = isAging && entry?.held !== undefined ? this.unaged(entry, entry.held, failure) : held;
      if (failure !== undefined) {
        const { reason, sinceMs } = failure;
        failed.push({ name, reason, sinceMs, meaning: meaningOf(failure, held, set) });
      }
      if (set === undefined || (failure !== undefined && prefixCount(set) === 0)) continue;
      resolutions.set(name, before !== undefined && sameSet(before, set) ? before : set);
    }
    const isSame =
      resolutions.size === ruleSet.resolutions.size &&
      [...resolutions].every(([name, set]) => ruleSet.resolutions.get(name) === set);
    return { resolutions: isSame ? ruleSet.resolutions : resolutions, failed };
  }

  /** What is left of a name's addresses where only accept rules use it. */
  private unaged(entry: Entry, held: PrefixSet, failure: Failure): PrefixSet {
    const nowMs = this.clock.monotonicMs();
    const isOld = (family: 'v4' | 'v6'): boolean => {
      return failure.families.includes(family) && nowMs - entry.goodAtMs[family] >= this.acceptAgeMs;
    };
    return {
      v4: isOld('v4') ? EMPTY_PREFIX_SET.v4 : held.v4,
      v6: isOld('v6') ? EMPTY_PREFIX_SET.v6 : held.v6,
    };
  }

  private async askAll(names: readonly string[], ruleSet: RuleSet): Promise<void> {
    const queue = names.values();
    const work = async (): Promise<void> => {
      for (const name of queue) {
        if (this.isClosed) return;
        await this.askOnce(name, ruleSet.resolutions.get(name));
      }
    };
    await Promise.all(Array.from({ length: Math.min(NAME_LIMITS.queries, names.length) }, work));
  }

  private askOnce(name: string, before: PrefixSet | undefined): Promise<void> {
    let asked = this.asking.get(name);
    if (asked === undefined) {
      asked = this.ask(name, before).finally(() => this.asking.delete(name));
      this.asking.set(name, asked);
    }
    return asked;
  }

  private async ask(name: string, before: PrefixSet | undefined): Promise<void> {
    let entry = this.entries.get(name);
    if (entry === undefined) {
      const nowMs = this.clock.monotonicMs();
      const goodAtMs = { v4: nowMs, v6: nowMs };
      entry = {
        held: before,
        goodAtMs,
        askAtMs: nowMs,
        dueAtMs: undefined,
        failure: undefined,
        failureCount: 0,
      };
      this.entries.set(name, entry);
    }
    entry.held ??= before;
    try {
      const answer = await this.resolve(name);
      const { failed, ttlMs } = answer;
      entry.held = addressesOf(answer, entry.held);
      this.good(entry, failed?.family, ttlMs);
      if (failed === undefined) return;
      this.failing(entry, [failed.family], failed.reason);
    } catch (error) {
      this.failing(entry, FAMILIES, error instanceof Error ? error.message : String(error));
    }
  }

  private good(entry: Entry, except: 'v4' | 'v6' | undefined, ttlMs: number | undefined): void {
    const nowMs = this.clock.monotonicMs();
    for (const family of FAMILIES) if (family !== except) entry.goodAtMs[family] = nowMs;
    if (except === undefined) {
      entry.failure = undefined;
      entry.failureCount = 0;
    }
    if (ttlMs === undefined) {
      entry.askAtMs = nowMs;
      entry.dueAtMs = undefined;
      return;
    }
    const heldMs = Math.min(Math.max(ttlMs, NAME_LIMITS.ttlMinMs), NAME_LIMITS.ttlMaxMs);
    entry.askAtMs = nowMs + heldMs * (1 + NAME_LIMITS.ttlJitter * this.random());
    entry.dueAtMs = entry.askAtMs;
  }

  private failing(entry: Entry, families: readonly ('v4' | 'v6')[], reason: string): void {
    const nowMs = this.clock.monotonicMs();
    const backoffMs = Math.min(NAME_LIMITS.retryMinMs * 2 ** entry.failureCount, NAME_LIMITS.retryMaxMs);
    entry.failureCount++;
    entry.failure = { reason, families, sinceMs: entry.failure?.sinceMs ?? nowMs };
    entry.askAtMs = nowMs + backoffMs * (0.5 + 0.5 * this.random());
    entry.dueAtMs = entry.askAtMs;
  }
}

/** A failed name for people, with what it means for its rules; `nowMs` by the monotonic clock. */
export function failedNameText({ name, reason, sinceMs, meaning }: FailedName, nowMs: number): string {
  return `${name} does not resolve${ageText(nowMs - sinceMs)} (${reason}): ${meaning}`;
}

/** The names that stand for something else than before, sorted. */
export function changedNames(
  before: Resolved['resolutions'],
  after: Resolved['resolutions'],
): readonly string[] {
  const names = new Set([...before.keys(), ...after.keys()]);
  return [...names].filter((name) => before.get(name) !== after.get(name)).sort();
}

/** Nothing for less than a minute. */
function ageText(ageMs: number): string {
  const minutes = Math.floor(ageMs / 60_000);
  if (minutes < 1) return '';
  if (minutes < 120) return ` for ${minutes} min`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? ` for ${hours} h` : ` for ${Math.floor(hours / 24)} d`;
}

function meaningOf(failure: Failure, held: PrefixSet | undefined, set: PrefixSet | undefined): string {
  if (held === undefined || prefixCount(held) === 0) return 'its rules match nothing';
  if (set === undefined || prefixCount(set) === 0) return 'its accept rules match nothing any more';
  if (failure.families.length === FAMILIES.length) return 'its rules keep the addresses they had';
  const kept = { v4: 'IPv4', v6: 'IPv6' }[failure.families[0] ?? 'v4'];
  return `its rules keep the ${kept} addresses they had`;
}

/** The names whose addresses some drop rule needs. */
function namesOfDrops(ruleSet: RuleSet): ReadonlySet<string> {
  const policies = new Map(
    [...ruleSet.policies].map(([name, policy]) => {
      const { egress, ingress } = policy;
      const drops = { egress: egress.filter(isDrop), ingress: ingress.filter(isDrop) };
      return [name, { ...policy, ...drops }] as const;
    }),
  );
  return new Set(usedNames({ ...ruleSet, policies }));
}

function isDrop({ match }: Run): boolean {
  return match.action === 'drop';
}

function sameSet(a: PrefixSet, b: PrefixSet): boolean {
  return a === b || (sameColumn(a.v4, b.v4) && sameColumn(a.v6, b.v6));
}

function sameColumn(a: Prefixes, b: Prefixes): boolean {
  if (a.lengths.length !== b.lengths.length) return false;
  return (
    a.lengths.every((length, i) => length === b.lengths[i]) && a.words.every((word, i) => word === b.words[i])
  );
}
