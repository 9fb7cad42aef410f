/**
 * The addresses of the names in rules, over time: resolved again when their time to live ends; without an
 * answer they keep their last addresses. The current addresses are always available without a wait.
 *
 *   unknown ─ask─▶ good ──ttl──▶ (ask) ─answer─▶ good
 *      │ no answer   ▲             │ no answer
 *      ▼             └──answer── failing: keeps what it had; asked again after 5 s, 10 s, … 5 min
 *   failing                        │ longer than the age limit
 *                                  └▶ nothing, if accept rules alone use it; drop rules keep what they have
 *
 * Families fail on their own: a server that breaks on AAAA does not freeze the IPv4 addresses. A name in an
 * accept rule and in a drop rule keeps its addresses, see docs/contribute/adr/0007. Time here is monotonic:
 * setting the wall clock ages nothing.
 */

import {
  type DirectedRuns,
  EMPTY_PREFIX_SET,
  formsChosen,
  nameUses,
  type Prefix,
  type Prefixes,
  type PrefixSet,
  prefixAt,
  prefixCount,
  prefixSetOf,
  privateNames,
  type RuleForm,
  type RuleSet,
  usedNames,
} from '@rulecast/rules';
import type { Clock } from '@rulecast/sources';
import { Questions } from './questions.ts';
import { addressesOf, type ResolveName } from './resolve.ts';

/** Our choice. */
export const NAME_LIMITS = {
  /** Names asked for at once: a resolver on the same host is not to be flooded by a list of 4,096 names. */
  queries: 32,
  /** At most so many are refreshes, or belong to one list or policy: dead names do not hold up a push. */
  someQueries: 24,
  /** How long a push waits for its new names: two tries of a lost query, and the answer. */
  bringMs: 5000,
  /**
   * A name that changes again within this time keeps the addresses of its answers for as long: servers that
   * hand out a few of many at a time, or another view each time, come to rest so.
   */
  graceMs: 600_000,
  /** Answers kept for that, and addresses that they may have together before the oldest go. */
  graceAnswers: 32,
  graceAddresses: 256,
  /**
   * The shortest and the longest that an answer is taken to hold, whatever its time to live: between a flood
   * and a rule that is a day late.
   */
  ttlMinMs: 30_000,
  ttlMaxMs: 3_600_000,
  /** Chance added to each time to live, as a share, so that names asked for together part. */
  ttlJitter: 0.1,
  /** After a first failure, and after the last of many: a failure is remembered for that long. */
  retryMinMs: 5000,
  retryMaxMs: 300_000,
  /** Names due within this are asked for together: their changes are one release. */
  batchMs: 5000,
  /** How long accept rules keep the addresses of a name that fails to resolve. */
  acceptAgeMs: 24 * 3_600_000,
} as const;

/** A name that does not resolve. */
export interface FailedName {
  readonly name: string;
  readonly reason: string;
  /** The first failure since it was good, by the monotonic clock. */
  readonly sinceMs: number;
  /** The consequence for its rules, for people. */
  readonly meaning: string;
}

export interface NameResolutions {
  /** The addresses by name; the same map as before if nothing changed. */
  readonly resolutions: ReadonlyMap<string, PrefixSet>;
  /** Sorted by name. */
  readonly failed: readonly FailedName[];
}

export interface NamesOptions {
  readonly resolve: ResolveName;
  readonly clock: Clock;
  /** 0 to 1, for jitter. */
  readonly random: () => number;
  /** Default 24 hours. */
  readonly acceptAgeMs?: number;
}

interface Answer {
  readonly set: PrefixSet;
  /** Time of the last answer. */
  readonly atMs: number;
}

interface Entry {
  /** The addresses from before this process started, until an answer comes. */
  readonly before: PrefixSet | undefined;
  /**
   * The last good addresses of each family, the last answer last; those that count in the grace time before
   * it.
   */
  answers: readonly Answer[];
  /** When the answer last differed from the one before. */
  changedAtMs: number;
  /** While it changes again and again, all its answers count. */
  unionUntilMs: number;
  /** The union of the answers, cached on first use. */
  union: { readonly answers: readonly Answer[]; readonly set: PrefixSet } | undefined;
  readonly goodAtMs: { v4: number; v6: number };
  /** When a release resolves it again. */
  askAtMs: number;
  /** The time of its next refresh; undefined: never. */
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
  readonly #resolve: ResolveName;
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #acceptAgeMs: number;
  readonly #entries = new Map<string, Entry>();
  /** Names that a rule allows to resolve to private addresses. */
  #privateNames: ReadonlySet<string> = new Set();
  readonly #questions: Questions;
  readonly #closing = new AbortController();

  constructor(options: NamesOptions) {
    this.#resolve = options.resolve;
    this.#clock = options.clock;
    this.#random = options.random;
    this.#acceptAgeMs = options.acceptAgeMs ?? NAME_LIMITS.acceptAgeMs;
    const { queries, someQueries } = NAME_LIMITS;
    this.#questions = new Questions({ most: queries, mostOfSome: someQueries }, (name) => this.#ask(name));
  }

  /**
   * Resolves the names of a rule set that are new or due and for which `isBrought` holds, and returns the
   * addresses of all its names. Waits at most `NAME_LIMITS.bringMs`. Never throws.
   */
  async settle(
    ruleSet: RuleSet,
    isBrought: (name: string) => boolean = () => true,
  ): Promise<NameResolutions> {
    await this.bring(ruleSet, isBrought);
    return this.resolved(ruleSet);
  }

  /** Like `settle`, without the result. */
  async bring(ruleSet: RuleSet, isBrought: (name: string) => boolean): Promise<void> {
    this.#learn(ruleSet);
    const nowMs = this.#clock.monotonicMs();
    const due = usedNames(ruleSet).filter((name) => {
      const entry = this.#entries.get(name);
      const isWanted = isBrought(name) || (entry !== undefined && isNeverDue(entry));
      return isWanted && (entry?.askAtMs ?? nowMs) <= nowMs;
    });
    await this.#askFor(due, ruleSet, 'front');
  }

  /**
   * Asks for all names of a rule set that are due now or soon; resolves when all were answered for. Never
   * throws.
   */
  async refresh(ruleSet: RuleSet): Promise<void> {
    this.#learn(ruleSet);
    const soonMs = this.#clock.monotonicMs() + NAME_LIMITS.batchMs;
    const due = usedNames(ruleSet).filter((name) => {
      const entry = this.#entries.get(name);
      return entry === undefined || (entry.dueAtMs !== undefined && entry.dueAtMs <= soonMs);
    });
    await this.#askFor(due, ruleSet, 'back');
  }

  /**
   * Drops the answers of a name whose permission for private addresses changed, so that it is resolved again.
   */
  #learn({ policies }: RuleSet): void {
    const before = this.#privateNames;
    this.#privateNames = privateNames(policies.values());
    for (const name of new Set([...before, ...this.#privateNames]))
      if (before.has(name) !== this.#privateNames.has(name)) this.#entries.delete(name);
  }

  /**
   * How long until the next name of a rule set is due, leaving out questions under way; undefined if none
   * ever is.
   */
  dueInMs(ruleSet: RuleSet): number | undefined {
    const nowMs = this.#clock.monotonicMs();
    let nextMs: number | undefined;
    for (const name of usedNames(ruleSet)) {
      if (this.#questions.has(name)) continue;
      const entry = this.#entries.get(name);
      const dueAtMs = entry === undefined ? nowMs : entry.dueAtMs;
      if (dueAtMs !== undefined) nextMs = Math.min(nextMs ?? dueAtMs, dueAtMs);
    }
    return nextMs === undefined ? undefined : Math.max(0, nextMs - nowMs);
  }

  /** Whether no question is under way. */
  get isIdle(): boolean {
    return this.#questions.isIdle;
  }

  /** Sends no further question, and ends all waits. */
  close(): void {
    this.#closing.abort();
    this.#questions.close();
  }

  /** Forgets names that no rule set of these uses. */
  keepOnly(...ruleSets: readonly RuleSet[]): void {
    const used = new Set(ruleSets.flatMap((ruleSet) => usedNames(ruleSet)));
    for (const name of this.#entries.keys()) if (!used.has(name)) this.#entries.delete(name);
  }

  /** Asks, and waits for all answers, or, of those in front, for as long as a push waits. */
  async #askFor(names: readonly string[], ruleSet: RuleSet, place: 'front' | 'back'): Promise<void> {
    if (names.length === 0 || this.#closing.signal.aborted) return;
    for (const name of names) this.#add(name, ruleSet.resolutions.get(name));
    const { owners } = nameUses(ruleSet);
    const failed = (name: string): boolean => this.#entries.get(name)?.failure !== undefined;
    const requests = names.map((name) => ({ name, owner: owners.get(name) ?? '', hasFailed: failed(name) }));
    const answered = this.#questions.askAll(requests, place);
    if (place === 'back') return answered;
    let isLate = false;
    await new Promise<void>((resolve) => {
      const cancel = this.#clock.after(NAME_LIMITS.bringMs, () => {
        isLate = true;
        resolve();
      });
      void answered.then(() => {
        cancel();
        resolve();
      });
    });
    if (isLate) this.#questions.leave(names);
  }

  #add(name: string, before: PrefixSet | undefined): void {
    if (this.#entries.has(name)) return;
    const nowMs = this.#clock.monotonicMs();
    this.#entries.set(name, {
      before,
      answers: [],
      changedAtMs: Number.NEGATIVE_INFINITY,
      unionUntilMs: Number.NEGATIVE_INFINITY,
      union: undefined,
      goodAtMs: { v4: nowMs, v6: nowMs },
      askAtMs: nowMs,
      dueAtMs: nowMs,
      failure: undefined,
      failureCount: 0,
    });
  }

  /**
   * The current addresses of a rule set's names; the rule set's own for names without an answer yet. Sends no
   * question.
   */
  resolved(ruleSet: RuleSet): NameResolutions {
    const names = usedNames(ruleSet);
    if (names.length === 0 && ruleSet.resolutions.size === 0)
      return { resolutions: ruleSet.resolutions, failed: [] };
    const dropped = namesOfDrops(ruleSet);
    const resolutions = new Map<string, PrefixSet>();
    const failed: FailedName[] = [];
    for (const name of names) {
      const entry = this.#entries.get(name);
      const before = ruleSet.resolutions.get(name);
      const known = entry === undefined ? undefined : this.#heldBy(entry);
      const held = known ?? before;
      const failure = entry?.failure ?? (held === undefined ? this.#unanswered(entry) : undefined);
      const isAging = failure !== undefined && !dropped.has(name);
      const set =
        isAging && entry !== undefined && known !== undefined ? this.#unaged(entry, known, failure) : held;
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

  /** The addresses that a failing name keeps, if only accept rules use it. */
  #unaged(entry: Entry, held: PrefixSet, failure: Failure): PrefixSet {
    const nowMs = this.#clock.monotonicMs();
    const isOld = (family: 'v4' | 'v6'): boolean => {
      return failure.families.includes(family) && nowMs - entry.goodAtMs[family] >= this.#acceptAgeMs;
    };
    return {
      v4: isOld('v4') ? EMPTY_PREFIX_SET.v4 : held.v4,
      v6: isOld('v6') ? EMPTY_PREFIX_SET.v6 : held.v6,
    };
  }

  /** The failure of a name that was never answered. */
  #unanswered(entry: Entry | undefined): Failure {
    const reason =
      entry === undefined ? 'not asked for yet' : `no answer within ${NAME_LIMITS.bringMs / 1000} s`;
    return { reason, sinceMs: entry?.askAtMs ?? this.#clock.monotonicMs(), families: FAMILIES };
  }

  /** The last answer; while it changes again and again, all that are kept. */
  #heldBy(entry: Entry): PrefixSet | undefined {
    const { before, answers, unionUntilMs } = entry;
    const last = answers.at(-1);
    if (last === undefined || this.#clock.monotonicMs() >= unionUntilMs) return last?.set ?? before;
    if (entry.union?.answers !== answers) entry.union = { answers, set: unionOf(answers) };
    return entry.union.set;
  }

  async #ask(name: string): Promise<void> {
    const mayBePrivate = this.#privateNames.has(name);
    try {
      const answer = await this.#resolve(name, mayBePrivate);
      const entry = this.#entries.get(name);
      if (entry === undefined) return; // no rule uses it any more
      // its permission for private addresses changed while we waited
      if (this.#privateNames.has(name) !== mayBePrivate) return;
      const { failed, ttlMs } = answer;
      this.#take(entry, addressesOf(answer, entry.answers.at(-1)?.set ?? entry.before));
      this.#good(entry, failed?.family, ttlMs);
      if (failed === undefined) return;
      this.#failing(entry, [failed.family], failed.reason);
    } catch (error) {
      const entry = this.#entries.get(name);
      if (entry === undefined) return;
      this.#failing(entry, FAMILIES, error instanceof Error ? error.message : String(error));
    }
  }

  #take(entry: Entry, set: PrefixSet): void {
    const nowMs = this.#clock.monotonicMs();
    const { graceMs, graceAnswers } = NAME_LIMITS;
    const last = entry.answers.at(-1)?.set ?? entry.before;
    if (last !== undefined && !sameSet(last, set)) {
      if (nowMs - entry.changedAtMs < graceMs) entry.unionUntilMs = nowMs + graceMs;
      entry.changedAtMs = nowMs;
    }
    const others = entry.answers.filter((answer) => {
      return nowMs - answer.atMs < graceMs && !sameSet(answer.set, set);
    });
    entry.answers = [...others.slice(1 - graceAnswers), { set, atMs: nowMs }];
  }

  #good(entry: Entry, except: 'v4' | 'v6' | undefined, ttlMs: number | undefined): void {
    const nowMs = this.#clock.monotonicMs();
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
    entry.askAtMs = nowMs + heldMs * (1 + NAME_LIMITS.ttlJitter * this.#random());
    entry.dueAtMs = entry.askAtMs;
  }

  #failing(entry: Entry, families: readonly ('v4' | 'v6')[], reason: string): void {
    const nowMs = this.#clock.monotonicMs();
    const backoffMs = Math.min(NAME_LIMITS.retryMinMs * 2 ** entry.failureCount, NAME_LIMITS.retryMaxMs);
    entry.failureCount++;
    entry.failure = { reason, families, sinceMs: entry.failure?.sinceMs ?? nowMs };
    entry.askAtMs = nowMs + backoffMs * (0.5 + 0.5 * this.#random());
    entry.dueAtMs = entry.askAtMs;
  }
}

/**
 * The addresses of answers, the last of them in any case and of the others as many as there is room for, the
 * newest first.
 */
function unionOf(answers: readonly Answer[]): PrefixSet {
  const all: Prefix[] = [];
  for (const { set } of answers.toReversed()) {
    if (all.length > 0 && all.length + prefixCount(set) > NAME_LIMITS.graceAddresses) break;
    for (const column of [set.v4, set.v6]) {
      for (let i = 0; i < column.lengths.length; i++) all.push(prefixAt(column, i));
    }
  }
  return prefixSetOf(all);
}

/** Whether it is asked for with each push, and not for its own sake. */
function isNeverDue({ dueAtMs, failure }: Entry): boolean {
  return dueAtMs === undefined && failure === undefined;
}

/** A failed name for people, with what it means for its rules; `nowMs` by the monotonic clock. */
export function failedNameText({ name, reason, sinceMs, meaning }: FailedName, nowMs: number): string {
  return `${name} does not resolve${ageText(nowMs - sinceMs)} (${reason}): ${meaning}`;
}

/** The names with other addresses than before, sorted. */
export function changedNames(
  before: NameResolutions['resolutions'],
  after: NameResolutions['resolutions'],
): readonly string[] {
  const names = new Set([...before.keys(), ...after.keys()]);
  return [...names].filter((name) => before.get(name) !== after.get(name)).sort();
}

/** Empty below a minute. */
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
      const exceptions = dropsOf(policy.exceptions);
      return [name, { ...policy, exceptions, ...dropsOf(policy) }] as const;
    }),
  );
  return new Set(usedNames({ ...ruleSet, policies }));
}

function dropsOf({ egress, ingress }: DirectedRuns): DirectedRuns {
  return { egress: formsChosen(egress, isDrop), ingress: formsChosen(ingress, isDrop) };
}

function isDrop({ match }: RuleForm): boolean {
  return match.action !== 'accept';
}

function sameSet(a: PrefixSet, b: PrefixSet): boolean {
  return a === b || (sameColumn(a.v4, b.v4) && sameColumn(a.v6, b.v6));
}

function sameColumn(a: Prefixes, b: Prefixes): boolean {
  if (a.lengths.length !== b.lengths.length) return false;
  for (let i = 0; i < a.lengths.length; i++) if (a.lengths[i] !== b.lengths[i]) return false;
  for (let i = 0; i < a.words.length; i++) if (a.words[i] !== b.words[i]) return false;
  return true;
}
