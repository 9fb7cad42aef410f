/**
 * The judge: the verdict of a rule set on a qube's question for a name, in bytes of a message. The matcher
 * finds the lists and rules that contain the name, and the program of the qube's policy decides among them.
 */

import { listKeys, type Opening } from '@rulecast/nftables/openings';
import {
  type Address,
  type BlockedAnswer,
  CANARY_NAME,
  type Environment,
  FIRST_POLICY,
  formatAddress,
  formsOf,
  isOfPrivateNames,
  isPrivateName,
  judgingPolicy,
  type NameSet,
  NO_NAME_SET,
  nameSetOfTexts,
  namesOfFirewall,
  namesOpenedBy,
  privateNames,
  RESOLVED_LIST,
  type RuleSet,
} from '@rulecast/rules';
import {
  type MatcherOutcome,
  NameMatcher,
  type SetEdit,
  type SubjectChange,
  setEditOf,
} from '../match/matcher.ts';
import { nameBytes, nameText, sameName } from '../message/name.ts';
import { type NameProgram, type NameRule, programFor, subjectKey } from './program.ts';

/** The verdict on a name. */
export interface NameJudgement {
  readonly action: 'accept' | 'drop' | 'none';
  readonly answer: 'answer' | BlockedAnswer;
  readonly policy: string | undefined;
  /** Undefined: none matches. */
  readonly rule: NameRule | undefined;
}

/** The kernel's key of a list, in the state by which it is judged. */
export interface OpenedList extends Pick<Opening, 'key' | 'version'> {
  /** No rule is about the name: it is open because it is answered. */
  readonly isOfAll?: boolean;
  /** Whether it opens private addresses, too. */
  readonly isPrivate?: boolean;
}

/** Qubes whose policy is remembered. Our choice: more than a firewall has. */
const ASKERS_MAX = 4096;
const CANARY = nameBytes(CANARY_NAME);
const UNJUDGED: NameJudgement = { action: 'none', answer: 'answer', policy: undefined, rule: undefined };

interface ListKeys {
  readonly names: NameSet;
  readonly isPrivate: boolean;
  readonly keys: ReturnType<typeof listKeys>;
}

export class NameJudge {
  #ruleSet: RuleSet;
  /** Numbers of subjects, each `@LIST` or a name in rules. None is used again. */
  #subjects: ReadonlyMap<string, number>;
  #lastSubject: number;
  /** The lists, and names in rules, that may resolve to private addresses. */
  #privateSubjects: ReadonlySet<number>;
  readonly #matcher: NameMatcher;
  /** By policy; '' stands for qubes outside all policies. */
  readonly #programs = new Map<string, NameProgram>();
  readonly #policies = new Map<string, string>();
  /** The kernel's keys of lists that open addresses; computing one takes milliseconds for a large list. */
  readonly #keys = new Map<string, ListKeys>();

  private constructor(ruleSet: RuleSet, subjects: ReadonlyMap<string, number>, matcher: NameMatcher) {
    this.#ruleSet = ruleSet;
    this.#subjects = subjects;
    this.#privateSubjects = privateSubjects(subjects, ruleSet);
    this.#lastSubject = subjects.size - 1;
    this.#matcher = matcher;
  }

  /**
   * The judge of a rule set; yields about each millisecond. `key`: 16 random bytes, kept secret. Returns the
   * reason if names cannot be matched; `flooded`: try another key.
   */
  static *of(
    ruleSet: RuleSet,
    key: Uint8Array,
  ): Generator<undefined, NameJudge | Exclude<MatcherOutcome, 'done'>> {
    const keys = subjectKeys(ruleSet);
    const numbers = new Map(keys.map((subject, number) => [subject, number]));
    const subjects = keys.map((subject, number) => ({
      subject: number,
      set: subjectNames(subject, ruleSet),
    }));
    const matcher = new NameMatcher(
      subjects.reduce((sum, { set }) => sum + set.names.count + set.exceptions.count, 0),
      key,
    );
    const outcome = yield* matcher.fill(subjects);
    return outcome === 'done' ? new NameJudge(ruleSet, numbers, matcher) : outcome;
  }

  /**
   * Goes over to another rule set: each question until then is judged by the one before, each later one by
   * the other. `edits`: how lists that are in both differ, by name, where that is known. Yields about each
   * millisecond. Unless it ends with `done`, what was in force is, and this judge follows no more.
   */
  *follow(
    after: RuleSet,
    edits: ReadonlyMap<string, SetEdit> = new Map(),
  ): Generator<undefined, MatcherOutcome> {
    const before = this.#ruleSet;
    const subjects = new Map<string, number>();
    const changes: SubjectChange[] = [];
    for (const key of subjectKeys(after)) {
      const known = this.#subjects.get(key);
      const subject = known ?? ++this.#lastSubject;
      subjects.set(key, subject);
      const [old, next] = [
        known === undefined ? NO_NAME_SET : subjectNames(key, before),
        subjectNames(key, after),
      ];
      const said = known === undefined ? undefined : edits.get(key.slice(1));
      if (old !== next && key.startsWith('@')) changes.push({ subject, ...(said ?? setEditOf(old, next)) });
      else if (known === undefined) changes.push({ subject, ...setEditOf(NO_NAME_SET, next) });
    }
    for (const [key, subject] of this.#subjects)
      if (!subjects.has(key)) changes.push({ subject, ...setEditOf(subjectNames(key, before), NO_NAME_SET) });
    return yield* this.#matcher.change(changes, () => {
      this.#ruleSet = after;
      this.#subjects = subjects;
      this.#privateSubjects = privateSubjects(subjects, after);
      this.#programs.clear();
      this.#policies.clear();
      for (const list of this.#keys.keys()) if (!after.lists.has(list)) this.#keys.delete(list);
    });
  }

  /**
   * The verdict on a qube's question for the whole name at `at` of `name`, reached through `aliases`. In
   * constant time for a name, except for the first question of a qube and of a policy.
   */
  judge(
    asker: Address,
    name: Uint8Array,
    at: number,
    aliases: readonly Uint8Array[],
    time: Omit<Environment, 'dns'>,
  ): NameJudgement {
    const program = this.#programOf(this.#policyOf(asker), time);
    if (program === undefined) return UNJUDGED;
    const { accepts, rules, policy } = program;
    const rule = rules[Math.min(this.#lowest(accepts, name, at), this.#dropped(program, name, at, aliases))];
    if (rule !== undefined) {
      const blocked = isCanary(name, at) ? 'nxdomain' : program.blocked;
      const answer = rule.action === 'accept' ? 'answer' : blocked;
      return {
        action: rule.action,
        answer,
        policy: rule.policy === FIRST_POLICY ? FIRST_POLICY : policy,
        rule,
      };
    }
    if (!program.isJudged) return UNJUDGED;
    const action = program.unlisted === 'answer' ? 'accept' : 'drop';
    return { action, answer: program.unlisted, policy, rule: undefined };
  }

  /**
   * Whether the whole name at `at` may resolve to private addresses: by a list that allows it, or as a name
   * that does not exist on the Internet.
   */
  mayBePrivate(name: Uint8Array, at: number): boolean {
    if (this.#privateSubjects.size > 0) {
      let isPrivate = false;
      this.#matcher.visit(name, at, (subject) => {
        isPrivate ||= this.#privateSubjects.has(subject);
      });
      if (isPrivate) return true;
    }
    return isPrivateName(nameText(name, at));
  }

  /**
   * The lists by which rules accept a name for a qube that is answered, but for those behind a rule that
   * drops it: by each of them its addresses are to be opened.
   */
  openedBy(
    asker: Address,
    name: Uint8Array,
    at: number,
    aliases: readonly Uint8Array[],
    time: Omit<Environment, 'dns'>,
  ): readonly OpenedList[] {
    const program = this.#programOf(this.#policyOf(asker), time);
    if (program === undefined || (program.accepts.size === 0 && !program.opensAnswers)) return [];
    const dropped = this.#dropped(program, name, at, aliases);
    const lists = new Set<string>();
    this.#matcher.visit(name, at, (subject) => {
      const rank = program.accepts.get(subject) ?? Number.POSITIVE_INFINITY;
      const list = program.rules[rank]?.list;
      if (rank < dropped && list !== undefined) lists.add(list);
    });
    if (program.opensAnswers) lists.add(RESOLVED_LIST);
    return [...lists].flatMap((list) => {
      const names = namesOpenedBy(this.#ruleSet.lists, list);
      if (names === undefined) return [];
      const isPrivate = isOfPrivateNames(this.#ruleSet.lists.get(list));
      const marks = { ...(list === RESOLVED_LIST && { isOfAll: true }), ...(isPrivate && { isPrivate }) };
      return [{ ...this.#keysOf(list, names, isPrivate), ...marks }];
    });
  }

  #keysOf(list: string, names: NameSet, isPrivate: boolean): ReturnType<typeof listKeys> {
    let known = this.#keys.get(list);
    if (known?.names !== names || known.isPrivate !== isPrivate) {
      known = { names, isPrivate, keys: listKeys(list, names, isPrivate) };
      this.#keys.set(list, known);
    }
    return known.keys;
  }

  /** The lowest rank of a drop that is about a name, or about what it is an alias of. */
  #dropped(
    { drops, listDrop }: NameProgram,
    name: Uint8Array,
    at: number,
    aliases: readonly Uint8Array[],
  ): number {
    const dropOf = (each: Uint8Array, from: number): number =>
      Math.min(this.#lowest(drops, each, from), isCanary(each, from) ? listDrop : Number.POSITIVE_INFINITY);
    return aliases.reduce((rank, alias) => Math.min(rank, dropOf(alias, 0)), dropOf(name, at));
  }

  /** The lowest rank among the subjects that contain a name. */
  #lowest(ranks: ReadonlyMap<number, number>, name: Uint8Array, at: number): number {
    let lowest = Number.POSITIVE_INFINITY;
    if (ranks.size === 0) return lowest;
    this.#matcher.visit(name, at, (subject) => {
      lowest = Math.min(lowest, ranks.get(subject) ?? lowest);
    });
    return lowest;
  }

  #policyOf(asker: Address): string {
    const key = formatAddress(asker);
    const known = this.#policies.get(key);
    if (known !== undefined) return known;
    if (this.#policies.size >= ASKERS_MAX) this.#policies.clear();
    const policy = judgingPolicy(this.#ruleSet, asker, 'egress')?.name ?? '';
    this.#policies.set(key, policy);
    return policy;
  }

  /** Undefined: neither a policy nor `first` judges such a qube. */
  #programOf(name: string, time: Omit<Environment, 'dns'>): NameProgram | undefined {
    const known = this.#programs.get(name);
    if (known !== undefined && time.now < known.until) return known;
    const { policies, unmatched } = this.#ruleSet;
    const policy = policies.get(name);
    if ((policy ?? unmatched) === undefined && !policies.has(FIRST_POLICY)) return undefined;
    const program = programFor(this.#ruleSet, this.#subjects, policy, time);
    this.#programs.set(name, program);
    return program;
  }
}

function isCanary(name: Uint8Array, at: number): boolean {
  return sameName(name.subarray(at), CANARY, CANARY.length);
}

/** The subjects of rules, and lists of private names, each once. */
function subjectKeys(ruleSet: RuleSet): readonly string[] {
  const keys = new Set<string>();
  for (const [name, list] of ruleSet.lists) if (isOfPrivateNames(list)) keys.add(`@${name}`);
  for (const policy of ruleSet.policies.values()) {
    for (const form of formsOf([policy])) {
      const key = subjectKey(form, ruleSet);
      if (key !== undefined) keys.add(key);
    }
  }
  return [...keys];
}

function privateSubjects(
  subjects: ReadonlyMap<string, number>,
  { lists, policies }: RuleSet,
): ReadonlySet<number> {
  const names = privateNames(policies.values());
  const ofPrivate = [...subjects].filter(([key]) =>
    key.startsWith('@') ? isOfPrivateNames(lists.get(key.slice(1))) : names.has(key),
  );
  return new Set(ofPrivate.map(([, number]) => number));
}

function subjectNames(key: string, { lists }: RuleSet): NameSet {
  return (
    (key.startsWith('@') ? namesOfFirewall(lists.get(key.slice(1))) : undefined) ?? nameSetOfTexts([key])
  );
}
