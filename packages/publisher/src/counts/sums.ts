/**
 * Sums of what firewalls count, since this publisher started: they grow by what each counted between two
 * looks, so that one that begins anew lowers none of them. What lists and rules drop is kept by hours, too.
 */

import type { Action, RuleSet } from '@rulecast/rules';
import { type CountedRule, RuleNames } from './rule-names.ts';

/** Packets by what became of them. */
export type ActionSums = Readonly<Record<Action, number>>;

export interface RuleSum {
  readonly rule: CountedRule;
  readonly packets: number;
}

/** What was dropped in some hours, most packets first. */
export interface HourlySums {
  /** Milliseconds since 1970 from which on they count. */
  readonly fromMs: number;
  readonly lists: readonly (readonly [name: string, packets: number])[];
  readonly rules: readonly RuleSum[];
}

export interface CounterSumsOptions {
  /** Milliseconds since 1970. */
  readonly nowMs: () => number;
  /** Milliseconds that only grow. */
  readonly monotonicMs: () => number;
}

/** One look at what a firewall counted. */
export interface CounterLook {
  readonly counters: ReadonlyMap<string, number>;
  /** What is released: of its lists and policies sums are kept, whatever a firewall says. */
  readonly ruleSet: RuleSet;
  /** Whether that was in force there all the while, so that rules are known by their numbers. */
  readonly isInForce: boolean;
}

const HOUR_MS = 3_600_000;
/** How far back sums go. Our choice. */
export const HOURS_KEPT = 48;
/** Rules that drop, of an hour: those beyond are in no hour. Our choice: 10 MB in all. */
const RULES_MAX = 2048;
/** Counters of all firewalls that are remembered from one look to the next. Our choice: 26 MB. */
const REMEMBERED_MAX = 262_144;
/** What became of names that were asked for. */
const OUTCOMES = ['Answered', 'Blocked', 'Private', 'OtherFamily', 'Failed', 'Full', 'Refused'];
/** Counters of a firewall as a whole; it may say others, of which nothing is kept. */
const WHOLE: ReadonlySet<string> = new Set([
  ...['nftDecided', 'nftDropped', 'nftRepairs', 'unmatched', 'refusedLost', 'dnsHeard', 'dnsHeardMs'],
  ...OUTCOMES.map((outcome) => `dns${outcome}`),
]);
const OF_PART = /^(?:accept|drop)\.(list|policy)\.(.+)$/;
const DROPPED_BY_LIST = /^drop\.list\.(.+)$/;

/** What a firewall said, by what is counted; keys of rules have spaces. */
interface Said {
  readonly counts: ReadonlyMap<string, number>;
  /** Its rules were known by their numbers, then or before. */
  readonly hasRules: boolean;
}

interface Hour {
  readonly fromMs: number;
  readonly beganMs: number;
  /** By name. */
  readonly lists: Map<string, number>;
  /** By key. */
  readonly rules: Map<string, RuleSum>;
}

export class CounterSums {
  readonly #options: CounterSumsOptions;
  readonly #names = new RuleNames();
  /** What each firewall said last. */
  readonly #last = new Map<string, Said>();
  #lastCount = 0;
  /** Of firewalls as a whole, by name of a counter. */
  readonly #whole = new Map<string, Map<string, number>>();
  /** Of all of them, those that are forgotten too; and of lists and policies. */
  readonly #total = new Map<string, number>();
  /** What each firewall said last that is no sum. */
  readonly #flags = new Map<string, ReadonlyMap<string, number>>();
  /** The newest is the last. */
  readonly #hours: Hour[] = [];

  constructor(options: CounterSumsOptions) {
    this.#options = options;
  }

  /** Adds what a firewall counted since the look before; of the first one nothing. */
  take(subscriber: string, { counters, ruleSet, isInForce }: CounterLook): void {
    const before = this.#last.get(subscriber);
    this.#flags.set(subscriber, flagsIn(counters));
    const rules = new Map<string, CountedRule>();
    const now = new Map<string, number>();
    if (!isInForce) for (const [key, value] of before?.counts ?? []) if (isRule(key)) now.set(key, value);
    for (const [name, value] of counters) {
      const rule = isInForce ? this.#names.of(name, ruleSet) : undefined;
      if (rule !== undefined) rules.set(rule.key, rule);
      const key = rule?.key ?? (isCounted(name, ruleSet) ? name : undefined);
      if (key !== undefined) now.set(key, plus(now.get(key), value));
    }
    const said = { counts: now, hasRules: isInForce || before?.hasRules === true };
    if (!this.#remember(subscriber, said)) return;
    for (const name of now.keys()) if (WHOLE.has(name)) this.#addWhole(subscriber, name, 0);
    if (before === undefined) return;
    // Of one that left some out a counter may be new to us and old to it.
    const isWhole = !counters.has('nftLeftOut');
    const hour = this.#hour(ruleSet);
    for (const [key, value] of now) {
      const isNew = isWhole && (before.hasRules || !isRule(key));
      const had = before.counts.get(key) ?? (isNew ? 0 : value);
      const gain = value >= had ? value - had : value;
      if (gain > 0) this.#add(subscriber, key, rules.get(key), gain, hour);
    }
  }

  /** False: there are too many of all firewalls, and nothing is known of this one. */
  #remember(subscriber: string, said: Said): boolean {
    const count = this.#lastCount - (this.#last.get(subscriber)?.counts.size ?? 0) + said.counts.size;
    if (count > REMEMBERED_MAX) {
      this.forget(subscriber);
      return false;
    }
    this.#last.set(subscriber, said);
    this.#lastCount = count;
    return true;
  }

  #add(subscriber: string, key: string, rule: CountedRule | undefined, gain: number, hour: Hour): void {
    if (rule !== undefined) {
      if (rule.action !== 'drop') return;
      const known = hour.rules.get(key);
      if (known === undefined && hour.rules.size >= RULES_MAX) return;
      hour.rules.set(key, { rule, packets: plus(known?.packets, gain) });
      return;
    }
    if (WHOLE.has(key)) return this.#addWhole(subscriber, key, gain);
    add(this.#total, key, gain);
    const list = DROPPED_BY_LIST.exec(key)?.[1];
    if (list !== undefined) add(hour.lists, list, gain);
  }

  #addWhole(subscriber: string, name: string, gain: number): void {
    const own = this.#whole.get(subscriber) ?? new Map<string, number>();
    this.#whole.set(subscriber, own);
    for (const sums of [own, this.#total]) add(sums, name, gain);
  }

  /** That of now. With each, sums go of what is not released any more. */
  #hour(ruleSet: RuleSet): Hour {
    const { nowMs, monotonicMs } = this.#options;
    const last = this.#hours.at(-1);
    const beganMs = monotonicMs();
    if (last !== undefined && beganMs - last.beganMs < HOUR_MS) return last;
    for (const name of this.#total.keys()) if (!isCounted(name, ruleSet)) this.#total.delete(name);
    const hour: Hour = { fromMs: nowMs(), beganMs, lists: new Map(), rules: new Map() };
    this.#hours.push(hour);
    if (this.#hours.length > HOURS_KEPT) this.#hours.shift();
    return hour;
  }

  /** A firewall is forgotten: its sums by firewall go, those by list and policy stay. */
  forget(subscriber: string): void {
    this.#lastCount -= this.#last.get(subscriber)?.counts.size ?? 0;
    this.#last.delete(subscriber);
    this.#whole.delete(subscriber);
    this.#flags.delete(subscriber);
  }

  /** Those that sums are kept of. */
  subscribers(): readonly string[] {
    return [...this.#last.keys()];
  }

  /** Packets that a list or a policy decided, since the publisher started. */
  of(kind: 'list' | 'policy', name: string): ActionSums {
    return { accept: this.total(`accept.${kind}.${name}`), drop: this.total(`drop.${kind}.${name}`) };
  }

  /** Sums of one firewall as a whole, by the names of its counters. */
  whole(subscriber: string): ReadonlyMap<string, number> {
    return this.#whole.get(subscriber) ?? new Map();
  }

  /** The sum of a counter of all firewalls. */
  total(counter: string): number {
    return this.#total.get(counter) ?? 0;
  }

  /** Names that were asked for, of all firewalls, by what became of them: `dnsBlocked` as `blocked`. */
  questions(): ReadonlyMap<string, number> {
    const sums = new Map<string, number>();
    for (const outcome of OUTCOMES) {
      const count = this.#total.get(`dns${outcome}`);
      if (count !== undefined) sums.set(outcome.replace(/\B[A-Z]/, '-$&').toLowerCase(), count);
    }
    return sums;
  }

  /** Of a firewall as it said last: `nftOpen`; 1 for yes `stale`, and `logOff`, if it is to keep a log. */
  flag(subscriber: string, flag: string): number | undefined {
    return this.#flags.get(subscriber)?.get(flag);
  }

  /** Sums of the last `sinceMs` milliseconds, from the start of the hour in which they begin. */
  since(sinceMs: number): HourlySums {
    const now = this.#options.monotonicMs();
    const hours = this.#hours.filter(
      ({ beganMs }, i) =>
        now - Math.min(this.#hours[i + 1]?.beganMs ?? now, beganMs + HOUR_MS) < Math.max(1, sinceMs),
    );
    const rules = new Map<string, RuleSum>();
    const lists = new Map<string, number>();
    for (const hour of hours) {
      for (const [key, { rule, packets }] of hour.rules)
        rules.set(key, { rule, packets: plus(rules.get(key)?.packets, packets) });
      for (const [name, packets] of hour.lists) add(lists, name, packets);
    }
    return {
      fromMs: hours[0]?.fromMs ?? this.#options.nowMs(),
      lists: [...lists].sort(([, a], [, b]) => b - a),
      rules: [...rules.values()].sort((a, b) => b.packets - a.packets),
    };
  }
}

function flagsIn(counters: ReadonlyMap<string, number>): ReadonlyMap<string, number> {
  const flags = new Map([...counters].filter(([name]) => name === 'stale' || name === 'nftOpen'));
  if (counters.has('refusedKept')) flags.set('logOff', counters.get('logOff') ?? 0);
  return flags;
}

function isRule(key: string): boolean {
  return key.includes(' ');
}

function isCounted(name: string, { lists, policies }: RuleSet): boolean {
  const [, kind, part = ''] = OF_PART.exec(name) ?? [];
  if (kind === undefined) return WHOLE.has(name);
  return kind === 'list' ? lists.has(part) : policies.has(part);
}

/** No sum is more than a message can carry. */
function plus(sum: number | undefined, gain: number): number {
  return Math.min(Number.MAX_SAFE_INTEGER, (sum ?? 0) + gain);
}

function add(sums: Map<string, number>, name: string, gain: number): void {
  sums.set(name, plus(sums.get(name), gain));
}
