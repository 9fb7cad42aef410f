/**
 * Sums of the firewalls' counters since this publisher started. They grow by the difference between two
 * reads, so that a firewall that restarts lowers none of them. Drops by lists and rules are also kept by
 * hour.
 */

import { boundText, RULE_TEXT_MAX_BYTES } from '@rulecast/protocol';
import {
  type Action,
  type Direction,
  formatRule,
  type Policy,
  type RuleSet,
  ruleAt,
  ruleCount,
  runsOf,
} from '@rulecast/rules';

/** Rules that drop and are counted by the same counter. */
export interface RuleSum {
  readonly policy: string;
  readonly direction: Direction;
  readonly block: 'own' | 'exceptions';
  /** The canonical line of the first one; or `drop`: of all that are counted together, or `default`. */
  readonly rule: string;
  /** The index of the run's first rule in the block, from 0. */
  readonly ruleIndex: number | undefined;
  readonly packets: number;
}

/** Drops in some hours, most packets first. */
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

/** One reading of a firewall's counters. */
export interface CounterLook {
  readonly counters: ReadonlyMap<string, number>;
  /** The released rule set: only sums of its lists and policies are kept, whatever a firewall sends. */
  readonly ruleSet: RuleSet;
  /** Whether that was in force there all the while, so that rules are known by their numbers. */
  readonly isInForce: boolean;
}

const HOUR_MS = 3_600_000;
/** Hours of history. Our choice. */
export const HOURS_KEPT = 48;
/** Rules that drop, of an hour: those beyond are in no hour. Our choice: 10 MB in all. */
const RULES_MAX = 2048;
/** Counters of all firewalls that are remembered from one look to the next. Our choice: 26 MB. */
const REMEMBERED_MAX = 262_144;
/** Outcomes of DNS questions, as in the counters' names. */
const OUTCOMES = ['Answered', 'Blocked', 'Private', 'OtherFamily', 'Failed', 'Full', 'Refused'];
/** Counters of a firewall as a whole. */
const WHOLE: ReadonlySet<string> = new Set([
  ...['nftDecided', 'nftDropped', 'nftRepairs', 'unmatched', 'refusedLost', 'dnsHeard', 'dnsHeardMs'],
  ...OUTCOMES.map((outcome) => `dns${outcome}`),
]);
/** Counters of firewalls that are states, not sums. */
const STATES: ReadonlySet<string> = new Set(['stale', 'nftOpen', 'refusedKept', 'logOff']);
const OF_PART = /^(?:accept|drop)\.(list|policy)\.(.+)$/;
const OF_RULE = /^rule\.(.+)\.(in)?(x)?(accept|drop|default|[1-9]\d{0,6})$/;
const DROPPED_BY_LIST = /^drop\.list\.(.+)$/;

interface RememberedLook {
  /** Counters of rules are from the last read at which their numbers were known. */
  readonly counters: ReadonlyMap<string, number>;
  /** The number of the reading; 0: none. */
  readonly rulesAt: number;
}

interface Hour {
  readonly fromMs: number;
  readonly beganMs: number;
  /** By name. */
  readonly lists: Map<string, number>;
  readonly rules: Map<string, RuleSum>;
}

export class CounterSums {
  readonly #options: CounterSumsOptions;
  readonly #last = new Map<string, RememberedLook>();
  #lookCount = 0;
  #policies: RuleSet['policies'] = new Map();
  /** By policy: the look since which its rules have had the same numbers. */
  #numberedAt: ReadonlyMap<string, number> = new Map();
  /** Sums of whole firewalls, by counter. */
  readonly #whole = new Map<string, Map<string, number>>();
  /** Sums over all firewalls, forgotten ones included; and by list and policy. */
  readonly #total = new Map<string, number>();
  /** The newest is the last. */
  readonly #hours: Hour[] = [];

  constructor(options: CounterSumsOptions) {
    this.#options = options;
  }

  /** Adds the difference to the reading before; nothing for the first one. */
  take(subscriber: string, { counters, ruleSet, isInForce }: CounterLook): void {
    this.#lookCount += 1;
    this.#noteNumbers(ruleSet.policies);
    const before = this.#last.get(subscriber);
    const now = new Map(
      [...counters].filter(([name]) => isKept(name, ruleSet) && (isInForce || !isRule(name))),
    );
    if (!isInForce)
      for (const [name, value] of before?.counters ?? []) if (isRule(name)) now.set(name, value);
    let size = now.size;
    for (const [name, look] of this.#last) if (name !== subscriber) size += look.counters.size;
    if (size > REMEMBERED_MAX) return this.forget(subscriber);
    this.#last.set(subscriber, {
      counters: now,
      rulesAt: isInForce ? this.#lookCount : (before?.rulesAt ?? 0),
    });
    // If the last read left counters out, one that is new to us may be old.
    const isWhole = before !== undefined && !counters.has('nftLeftOut');
    const hour = this.#hour(ruleSet);
    for (const [name, value] of now) {
      const isKnown = !isRule(name) || this.#areNumbersOf(name, before?.rulesAt ?? 0);
      const had = (isKnown ? before?.counters.get(name) : value) ?? (isWhole ? 0 : value);
      this.#add(subscriber, name, value >= had ? value - had : value, hour, ruleSet);
    }
  }

  /** Notes which policies changed since the last reading. */
  #noteNumbers(policies: RuleSet['policies']): void {
    if (policies === this.#policies) return;
    const at = (policy: Policy): number =>
      (this.#policies.get(policy.name) === policy ? this.#numberedAt.get(policy.name) : undefined) ??
      this.#lookCount;
    this.#numberedAt = new Map([...policies].map(([name, policy]) => [name, at(policy)]));
    this.#policies = policies;
  }

  /** Whether a rule's number in a counter meant the same rule at a reading. */
  #areNumbersOf(counter: string, look: number): boolean {
    const [, policy = ''] = OF_RULE.exec(counter) ?? [];
    return (this.#numberedAt.get(policy) ?? look + 1) <= look;
  }

  #add(subscriber: string, name: string, gain: number, hour: Hour, ruleSet: RuleSet): void {
    if (WHOLE.has(name)) return this.#addWhole(subscriber, name, gain);
    if (gain === 0 || STATES.has(name)) return;
    if (isRule(name)) return addRule(hour.rules, gain, dropped(name, ruleSet), RULES_MAX);
    add(this.#total, name, gain);
    const list = DROPPED_BY_LIST.exec(name)?.[1];
    if (list !== undefined) add(hour.lists, list, gain);
  }

  #addWhole(subscriber: string, name: string, gain: number): void {
    const own = this.#whole.get(subscriber) ?? new Map<string, number>();
    this.#whole.set(subscriber, own);
    for (const sums of [own, this.#total]) add(sums, name, gain);
  }

  /** The current hour. A new hour drops the sums of parts that are no longer released. */
  #hour(ruleSet: RuleSet): Hour {
    const { nowMs, monotonicMs } = this.#options;
    const last = this.#hours.at(-1);
    const beganMs = monotonicMs();
    if (last !== undefined && beganMs - last.beganMs < HOUR_MS) return last;
    for (const name of this.#total.keys()) if (!isKept(name, ruleSet)) this.#total.delete(name);
    const hour: Hour = { fromMs: nowMs(), beganMs, lists: new Map(), rules: new Map() };
    this.#hours.push(hour);
    if (this.#hours.length > HOURS_KEPT) this.#hours.shift();
    return hour;
  }

  /** A firewall is forgotten: its sums by firewall go, those by list and policy stay. */
  forget(subscriber: string): void {
    this.#last.delete(subscriber);
    this.#whole.delete(subscriber);
  }

  /** The subscribers with sums. */
  subscribers(): readonly string[] {
    return [...this.#last.keys()];
  }

  /** Packets that a list or a policy decided, since the publisher started. */
  of(kind: 'list' | 'policy', name: string): Readonly<Record<Action, number>> {
    return { accept: this.total(`accept.${kind}.${name}`), drop: this.total(`drop.${kind}.${name}`) };
  }

  /** Sums of a whole firewall, by counter. */
  whole(subscriber: string): ReadonlyMap<string, number> {
    return this.#whole.get(subscriber) ?? new Map();
  }

  /** The last counters of a firewall, by name. */
  last(subscriber: string): ReadonlyMap<string, number> {
    return this.#last.get(subscriber)?.counters ?? new Map();
  }

  /** The sum of a counter of all firewalls. */
  total(counter: string): number {
    return this.#total.get(counter) ?? 0;
  }

  /** DNS questions of all firewalls by outcome: `dnsBlocked` as `blocked`. */
  questions(): ReadonlyMap<string, number> {
    const sums = new Map<string, number>();
    for (const outcome of OUTCOMES) {
      const count = this.#total.get(`dns${outcome}`);
      if (count !== undefined) sums.set(outcome.replace(/\B[A-Z]/, '-$&').toLowerCase(), count);
    }
    return sums;
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
      for (const { packets, ...rule } of hour.rules.values()) addRule(rules, packets, rule);
      for (const [name, packets] of hour.lists) add(lists, name, packets);
    }
    return {
      fromMs: hours[0]?.fromMs ?? this.#options.nowMs(),
      lists: [...lists].sort(([, a], [, b]) => b - a),
      rules: [...rules.values()].sort((a, b) => b.packets - a.packets),
    };
  }
}

/** Whether anything is made of a counter: nothing is of lists, policies and rules that are not released. */
function isKept(name: string, ruleSet: RuleSet): boolean {
  if (isRule(name)) return ruleOf(name, ruleSet) !== undefined;
  const [, kind, part = ''] = OF_PART.exec(name) ?? [];
  if (kind === undefined) return WHOLE.has(name) || STATES.has(name);
  return ruleSet[kind === 'list' ? 'lists' : 'policies'].has(part);
}

function isRule(counter: string): boolean {
  return counter.startsWith('rule.');
}

/** The rules of a counter; undefined: the rule set has none such. */
function ruleOf(counter: string, { policies }: RuleSet) {
  const [, name = '', ingress, exception, what = ''] = OF_RULE.exec(counter) ?? [];
  const policy = policies.get(name);
  if (policy === undefined) return undefined;
  const direction: Direction = ingress === undefined ? 'egress' : 'ingress';
  const block: RuleSum['block'] = exception === undefined ? 'own' : 'exceptions';
  const ruleIndex = /^[1-9]/.test(what) ? Number(what) - 1 : undefined;
  const runs = runsOf(policy, direction, block);
  if (ruleIndex !== undefined && ruleIndex >= ruleCount(runs)) return undefined;
  return { policy, direction, block, what, runs, ruleIndex };
}

/** Likewise, in the form of a record, if it drops. */
function dropped(counter: string, ruleSet: RuleSet): Omit<RuleSum, 'packets'> | undefined {
  const found = ruleOf(counter, ruleSet);
  if (found === undefined) return undefined;
  const { policy, direction, block, what, runs, ruleIndex } = found;
  const first = ruleIndex === undefined ? undefined : ruleAt(runs, ruleIndex);
  const action = first?.action ?? (what === 'default' ? policy.defaultAction : what);
  if (action !== 'drop') return undefined;
  const rule = first === undefined ? what : boundText(formatRule(first, direction), RULE_TEXT_MAX_BYTES);
  return { policy: policy.name, direction, block, rule, ruleIndex };
}

function addRule(
  sums: Map<string, RuleSum>,
  gain: number,
  rule: Omit<RuleSum, 'packets'> | undefined,
  max = Number.POSITIVE_INFINITY,
): void {
  if (rule === undefined) return;
  const key = `${rule.policy} ${rule.direction} ${rule.block} ${rule.rule}`;
  const known = sums.get(key);
  if (known === undefined && sums.size >= max) return;
  sums.set(key, { ...rule, packets: plus(known?.packets, gain) });
}

/** No sum is more than a message can carry. */
function plus(sum: number | undefined, gain: number): number {
  return Math.min(Number.MAX_SAFE_INTEGER, (sum ?? 0) + gain);
}

function add(sums: Map<string, number>, name: string, gain: number): void {
  sums.set(name, plus(sums.get(name), gain));
}
