/**
 * The owner of the content: rule sets, the table as its writer, and the plans of the sink. All long work on a
 * release is done here, one question at a time, in a thread of its own (content-thread.ts). The caller
 * decides what is in force.
 */

import { applyChain, decodeManifest, ErrorCode, ProtocolError, verifyRuleSet } from '@rulecast/protocol';
import {
  bootBehindFirst,
  EMPTY_RULE_SET,
  type Environment,
  type ListChanges,
  needsFirewallDns,
  opensByName,
  type RuleSet,
  saysAnything,
} from '@rulecast/rules';
import { type Prepared, Table } from '@rulecast/table';
import { endsOf } from '../clock/expiry.ts';
import { snapshotStream, verify } from '../verify/verify.ts';
import type {
  Compiled,
  ContentAnswer,
  ContentOptions,
  ContentQuestion,
  ContentQuestions,
  ReleaseFacts,
} from './messages.ts';

/** A rule set, and which release it is of. */
interface Content {
  readonly hash: Uint8Array;
  readonly ruleSet: RuleSet;
  /** The changes of its last delta to lists, if known. */
  readonly changes: ListChanges | undefined;
}

/** The rule set to enforce next, and for which environment. */
interface Aim {
  readonly of: Content | undefined;
  readonly ruleSet: RuleSet;
  readonly environment: Environment;
  readonly changes: ListChanges | undefined;
}

/** Plans for a sink that asked for it in its options. */
export interface Planner {
  /** Gathers in `moved` the memory that the answer takes with it. */
  answer(question: never, source: Aim, moved: Set<ArrayBuffer>): unknown;
}

/** Parts from other packages, created only if needed. */
export interface OwnerParts {
  readonly planner: Planner | undefined;
  /** Extracts the names part of a rule set. */
  readonly portionOf: ((ruleSet: RuleSet) => RuleSet) | undefined;
}

export class ContentOwner {
  readonly #table: Table;
  readonly #options: ContentOptions;
  readonly #parts: OwnerParts;
  #active: Content | undefined;
  #candidate: Content | undefined;
  /** Undefined until the first `aim`. */
  #aim: Aim | undefined;
  #prepared: Prepared | undefined;
  /** The table in force is one that was compiled here. */
  #hasCompiled: boolean;

  /** Throws TableEngineError. */
  constructor({ options, handle }: ContentQuestions['begin']['asks'], parts: OwnerParts) {
    this.#options = options;
    this.#parts = parts;
    this.#table = new Table({ ...options.table, ...(handle && { handle }) });
    this.#hasCompiled = handle === undefined;
  }

  /**
   * Gathers in `moved` the memory that the answer takes with it; `onWork` is called now and then. Throws as
   * what it does.
   */
  answer(question: ContentQuestion, moved: Set<ArrayBuffer>, onWork: () => void): ContentAnswer {
    switch (question.kind) {
      case 'begin':
        return this.#table.handle();
      case 'verify':
        return this.#verify(question, onWork);
      case 'restore':
        return this.#restore(question);
      case 'snapshot':
        return this.#snapshot(question.of, moved);
      case 'aim':
        return this.#take(question);
      case 'compile':
        return this.#compile();
      case 'flipped':
        return this.#flipped(question.generation);
      case 'dropped':
        this.#candidate = undefined;
        return undefined;
      case 'plans':
        return this.#planned(question.question, moved);
      case 'ruleSet':
        return this.#aimed.ruleSet;
      case 'names':
        return this.#parts.portionOf?.(this.#aimed.ruleSet) ?? EMPTY_RULE_SET;
      case 'explain': {
        const { packet, told } = question;
        if (!this.#hasCompiled) throw new TypeError('the rules are being loaded again');
        return this.#table.explain(packet, told.length === 0 ? undefined : (list) => told.includes(list));
      }
      case 'hits':
        return this.#table.hits();
      case 'stats':
        return this.#table.stats();
      case 'evict':
        this.#table.evictReader(question.slot);
        return undefined;
    }
  }

  #verify(
    { hash, base, stream, manifestBytes, entriesMax }: ContentQuestions['verify']['asks'],
    onWork: () => void,
  ): ReleaseFacts {
    this.#candidate = undefined;
    if (base !== undefined && (this.#active === undefined || !isSame(base, this.#active.hash)))
      throw new ProtocolError(
        ErrorCode.badBase,
        'the transfer starts from a release that is not in force here',
      );
    const from = base === undefined ? EMPTY_RULE_SET : (this.#active?.ruleSet ?? EMPTY_RULE_SET);
    const made = verify({ base: from, stream, manifestBytes, entriesMax }, onWork);
    this.#candidate = { hash, ...made };
    return factsOf(made.ruleSet);
  }

  #restore({ hash, streams, manifestBytes }: ContentQuestions['restore']['asks']): ReleaseFacts {
    let ruleSet: RuleSet = EMPTY_RULE_SET;
    for (const stream of streams) ruleSet = applyChain(ruleSet, stream);
    verifyRuleSet(decodeManifest(manifestBytes), ruleSet);
    this.#active = { hash, ruleSet, changes: undefined };
    return factsOf(ruleSet);
  }

  #snapshot(of: 'active' | 'candidate', moved: Set<ArrayBuffer>): Uint8Array {
    const { ruleSet } = found(of === 'active' ? this.#active : this.#candidate);
    const stream = snapshotStream(ruleSet);
    moved.add(stream.buffer as ArrayBuffer); // nothing here is shared memory
    return stream;
  }

  #take({ at, isShut, environment }: ContentQuestions['aim']['asks']): undefined {
    const { boot, shut } = this.#options;
    const of = at === 'boot' ? undefined : found(at === 'active' ? this.#active : this.#candidate);
    // A release of lists only must not open what the boot mode closes.
    const isOwn = of !== undefined && !isShut && saysAnything(of.ruleSet);
    const other = isShut ? shut : of === undefined ? boot : bootBehindFirst(boot, of.ruleSet);
    const ruleSet = isOwn ? of.ruleSet : other;
    const changes = isOwn && at === 'candidate' ? of.changes : undefined;
    this.#aim = { of: at === 'candidate' ? of : undefined, ruleSet, environment, changes };
  }

  /** The selected rule set. It is gone with a dead predecessor, and must be selected again. */
  get #aimed(): Aim {
    if (this.#aim === undefined) throw new TypeError('the rules are being loaded again');
    return this.#aim;
  }

  #compile(): Compiled {
    const { ruleSet, environment, changes } = this.#aimed;
    const prepared = this.#table.prepare(ruleSet, environment, changes);
    this.#prepared = prepared;
    const { generation, header, memoryBytes } = prepared;
    return { generation, header, memoryBytes };
  }

  #flipped(generation: number): undefined {
    if (this.#prepared?.generation !== generation)
      throw new TypeError(`generation ${generation} is not what was compiled last`);
    this.#table.settle(generation);
    this.#prepared = undefined;
    this.#hasCompiled = true;
    const { of } = this.#aimed;
    if (of === undefined) return;
    this.#active = { ...of, changes: undefined };
    this.#candidate = undefined;
  }

  #planned(question: unknown, moved: Set<ArrayBuffer>): unknown {
    const { planner } = this.#parts;
    if (planner === undefined) throw new TypeError('nothing is planned here');
    return planner.answer(question as never, this.#aimed, moved); // the caller began with its options
  }
}

function found(content: Content | undefined): Content {
  if (content === undefined) throw new TypeError('there is no such content');
  return content;
}

function factsOf(ruleSet: RuleSet): ReleaseFacts {
  return { needsDns: needsFirewallDns(ruleSet), opensNames: opensByName(ruleSet), ends: endsOf(ruleSet) };
}

function isSame(one: Uint8Array, other: Uint8Array): boolean {
  return Buffer.compare(one, other) === 0;
}
