/**
 * Makes plans and the steps between them: the long part of enforcement, done where the rule sets are. The
 * reconciler, which has the applier, may be in another thread, so questions and answers are plain data. An
 * answer contains rules only as bytes for the applier.
 *
 *   plan ─▶ planned ─▶ take ─▶ desired ─▶ whole, names, probes, drift, elements, hits
 *      └──── the next plan ◀── builds on what is desired ──┘
 */

import { concernsFirewallDns, type Environment, type Family } from '@rulecast/rules';
import type { Request } from '../apply/message.ts';
import type { KernelState } from '../kernel/listing.ts';
import { ruleCount } from '../kernel/script.ts';
import {
  CHANGED_STEPS_MAX,
  GONE_MAX,
  LISTED_ELEMENTS_MAX,
  MEMBERS_OF_A_RULE,
  RENDERING,
  WHOLE_MEMBERS_MAX,
} from '../limits.ts';
import {
  type ChangeWithBody,
  type NameSet,
  nameSetsOf,
  namesOf,
  probesOf,
  type Tag,
  transition,
  wholeChange,
} from '../plan/change.ts';
import {
  capacityOf,
  hexAt,
  keyOf,
  type Plan,
  type PlanSource,
  parseClassMapName,
  parseSetName,
  type Step as Rule,
  setNames,
} from '../plan/plan.ts';
import { type Planned, planOf } from '../plan/planner.ts';
import { sameElements } from './comparison.ts';
import { type CounterValues, hitsFrom, type NftHits, sumsOf } from './hits.ts';

export interface PlansOptions {
  readonly downstreamGroup: number;
  readonly answer: 'reject' | 'silent';
  /** The NFLOG group of refused packets; undefined: they are not logged. */
  readonly logGroup?: number | undefined;
  /** Whether flows that a release accepts are marked. */
  readonly marksFlows: boolean;
  readonly capturesDns: boolean;
}

/** A change as it is sent: its header in JSON, and the body that its elements lie in. */
export interface EncodedChange {
  readonly isFresh: boolean;
  readonly json: Uint8Array;
  readonly body: Uint8Array;
  readonly elementCount: number;
}

/** A plan, as far as the reconciler knows it. */
export interface PlanHead {
  readonly tag: Tag;
  /** Resolvers whose questions are captured, in hex; null: none are. */
  readonly resolvers: readonly string[] | null;
  /** Families in which names open addresses. */
  readonly nameFamilies: readonly Family[];
}

/** A step to the next desired plan. */
export interface PlannedStep {
  readonly next: PlanHead;
  /** Undefined: the kernel has it already. */
  readonly first: EncodedChange | undefined;
  /** Changes that alter no verdict. */
  readonly afterwards: readonly EncodedChange[];
}

type ElementsRequest = Extract<Request, { readonly kind: 'look' }>;

/** The questions, each with its answer. */
export interface PlanQuestions {
  /** Plans a release. `isInForce`: the kernel has the desired state, as far as is known. */
  plan: {
    readonly asks: { readonly hash: Uint8Array; readonly isInForce: boolean; readonly mark: number };
    readonly answer: PlannedStep;
  };
  /** That plan is desired from now on, with a mark that may be another than it was planned with. */
  take: { readonly asks: { readonly tag: Tag }; readonly answer: undefined };
  /** All of a plan, in place of whatever the kernel has. */
  whole: { readonly asks: { readonly tag: Tag }; readonly answer: EncodedChange };
  /** The name sets of the desired plan. */
  names: { readonly asks: object; readonly answer: readonly NameSet[] };
  /** Why the kernel does not hold what is desired, elements aside; undefined: it does. */
  drift: { readonly asks: { readonly state: KernelState }; readonly answer: string | undefined };
  /** A request for the applier about elements. */
  probes: {
    readonly asks: object;
    readonly answer: { readonly request: ElementsRequest; readonly body: Uint8Array };
  };
  /** As `drift`, of the elements that came of that. */
  elements: {
    readonly asks: { readonly state: KernelState; readonly body: Uint8Array };
    readonly answer: string | undefined;
  };
  hits: { readonly asks: { readonly counters: CounterValues }; readonly answer: NftHits };
  /** The same in few sums. */
  sums: {
    readonly asks: { readonly counters: CounterValues };
    readonly answer: Readonly<Record<string, number>>;
  };
}

export type PlanQuestion = {
  readonly [K in keyof PlanQuestions]: { readonly kind: K } & PlanQuestions[K]['asks'];
}[keyof PlanQuestions];
export type PlanAnswer = PlanQuestions[keyof PlanQuestions]['answer'];

/** A plan with its tag. */
interface Desired extends Planned {
  readonly tag: Tag;
}

export class Plans {
  readonly #options: PlansOptions;
  /** Buffers moved with the present answer. */
  #moved = new Set<ArrayBuffer>();
  #desired: Desired | undefined;
  #planned: Desired | undefined;
  /** Digests by chain; most chains stay the same objects from one plan to the next. */
  #digests: ReadonlyMap<readonly Rule[], string> = new Map();

  constructor(options: PlansOptions) {
    this.#options = options;
  }

  /**
   * Gathers in `moved` the memory that the answer takes with it. Throws RangeError for a plan beyond what we
   * load into a kernel, and TypeError for one that is gone.
   */
  answer(question: PlanQuestion, source: PlanSource, moved: Set<ArrayBuffer>): PlanAnswer {
    this.#moved = moved;
    switch (question.kind) {
      case 'plan':
        return this.#plan(question, source);
      case 'take':
        this.#desired = this.#marked(question);
        return undefined;
      case 'whole':
        return this.#whole(this.#marked(question));
      case 'names':
        return nameSetsOf(this.#inForce().plan.nameSets);
      case 'drift':
        return this.#drift(this.#inForce(), question.state);
      case 'probes':
        return this.#probes(this.#inForce().plan);
      case 'elements':
        return elementDrift(this.#inForce().plan, question.state, question.body);
      case 'hits':
        return hitsFrom(this.#desired?.counters ?? [], question.counters);
      case 'sums':
        return sumsOf(this.#desired?.counters ?? [], question.counters);
    }
  }

  #plan({ hash, isInForce, mark }: Extract<PlanQuestion, { kind: 'plan' }>, source: PlanSource): PlannedStep {
    const desired = this.#desired;
    const known = (key: string) => desired?.plan.sets.get(key);
    const { ruleSet, environment } = source;
    const planned = planOf(source, known, desired?.basis);
    const conditions = this.#conditions(planned.plan, environment);
    const tag: Tag = { release: Buffer.from(hash).toString('hex'), conditions, mark };
    const isCaptured = this.#options.capturesDns && concernsFirewallDns(ruleSet);
    const resolvers = isCaptured ? environment.dns.map(({ words, family }) => hexAt(words, 0, family)) : null;
    const plan = { ...planned, tag };
    this.#planned = plan;
    const sets = [...planned.plan.nameSets.values()];
    const nameFamilies = [...new Set(sets.map(({ qubes }) => qubes.family))];
    const next: PlanHead = { tag, resolvers, nameFamilies };
    if (desired !== undefined && isInForce) {
      if (sameTag(desired.tag, tag)) return { next, first: undefined, afterwards: [] };
      const { release, afterwards } = transition(desired, plan.plan, { ...this.#rendering, tag });
      if (isWorthIt(plan.plan, [release, ...afterwards]))
        return {
          next,
          first: this.#encoded(release),
          afterwards: afterwards.map((each) => this.#encoded(each)),
        };
    }
    return { next, first: this.#whole(plan), afterwards: [] };
  }

  get #rendering(): Pick<PlansOptions, 'downstreamGroup' | 'answer' | 'logGroup'> {
    const { downstreamGroup, answer, logGroup } = this.#options;
    return { downstreamGroup, answer, logGroup };
  }

  /** A digest of what the rules depend on besides the release. */
  #conditions(plan: Plan, { dns }: Environment): string {
    const maps = [...plan.maps].map(([name, keys]) => [name, [...keys]]);
    const addresses = dns.map(({ words }) => [...words]);
    const digests = new Map<readonly Rule[], string>();
    const chains = [...plan.chains].map(([name, steps]) => {
      const digest = this.#digests.get(steps) ?? keyOf(JSON.stringify(steps));
      digests.set(steps, digest);
      return [name, digest];
    });
    this.#digests = digests;
    return keyOf(
      JSON.stringify([RENDERING, this.#rendering, this.#options.marksFlows, chains, maps, addresses]),
    );
  }

  /** The plan with that tag. The caller may know it from a thread that died since. */
  #marked({ tag }: { readonly tag: Tag }): Desired {
    const plan = [this.#planned, this.#desired].find((each) => each && sameTag(each.tag, tag));
    if (plan === undefined) throw new TypeError(`there is no plan of release ${tag.release} any more`);
    return { ...plan, tag };
  }

  #inForce(): Desired {
    if (this.#desired === undefined) throw new TypeError('no plan is desired');
    return this.#desired;
  }

  #whole({ plan, tag }: Desired): EncodedChange {
    return this.#encoded(wholeChange(plan, { ...this.#rendering, tag }, this.#desired?.plan));
  }

  #drift({ plan, tag }: Desired, state: KernelState): string | undefined {
    if (!holds(state, plan, tag)) return 'the table is not the one that was loaded';
    if (state.rules !== ruleCount(plan.kernelChains.values(), { ...this.#rendering, tag }))
      return 'rules were added or taken out';
    return undefined;
  }

  #encoded({ change, body, elementCount }: ChangeWithBody): EncodedChange {
    const json = this.#given(new TextEncoder().encode(JSON.stringify(change)));
    return { isFresh: change.base === 'fresh', json, body: this.#joined(body), elementCount };
  }

  /** All elements of small sets, and samples of large ones. */
  #probes(plan: Plan): PlanQuestions['probes']['answer'] {
    const sets = listedSets(plan).flatMap(setNames);
    const maps = [...plan.maps].filter(([, keys]) => keys.size <= LISTED_ELEMENTS_MAX).map(([name]) => name);
    const { body, ...probes } = probesOf(plan);
    return { request: { kind: 'look', sets, maps, ...probes }, body: this.#joined(body) };
  }

  /** A copy, since the pieces are of the plan. */
  #joined(pieces: readonly Uint8Array[]): Uint8Array {
    const all = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
    let at = 0;
    for (const piece of pieces) {
      all.set(piece, at);
      at += piece.length;
    }
    return this.#given(all);
  }

  #given(bytes: Uint8Array<ArrayBuffer>): Uint8Array {
    if (bytes.length > 0) this.#moved.add(bytes.buffer);
    return bytes;
  }
}

function elementDrift(plan: Plan, state: KernelState, body: Uint8Array): string | undefined {
  if (state.lackingSets.length > 0) return 'a set lacks elements';
  if (state.spoiledMaps.length > 0) return 'elements of a map were changed';
  const isSame = listedSets(plan).every((set) => sameElements(set, state.elements, body));
  return isSame ? undefined : 'elements of a set were changed';
}

function listedSets(plan: Plan) {
  return [...plan.sets.values()].filter(({ members }) => members.lengths.length <= LISTED_ELEMENTS_MAX);
}

/**
 * Whether to change the table in force rather than stage another one: only if most of a large table stays,
 * and nothing large is removed. Removals delay the next transaction, while a replaced table is emptied in
 * pieces.
 */
function isWorthIt(plan: Plan, changes: readonly ChangeWithBody[]): boolean {
  let members = 0;
  for (const set of plan.sets.values()) members += set.members.lengths.length;
  for (const map of plan.classMaps.values()) members += map.verdicts.length;
  for (const steps of plan.chains.values()) members += steps.length * MEMBERS_OF_A_RULE;
  let steps = 0;
  let gone = 0;
  let loaded = 0;
  for (const { change, elementCount } of changes) {
    loaded += elementCount;
    for (const chain of change.chains) steps += chain.steps.length;
    for (const name of [...change.oldSets, ...change.oldMaps]) {
      const { tier } = parseSetName(name) ?? parseClassMapName(name) ?? {};
      if (tier !== undefined) gone += capacityOf(tier.bucketsLog2);
    }
  }
  return (
    members > Math.max(WHOLE_MEMBERS_MAX, loaded * 2) && steps <= CHANGED_STEPS_MAX * 2 && gone <= GONE_MAX
  );
}

/** Whether the kernel has all of a plan and nothing else, by name, under a tag. */
function holds(kernel: KernelState, plan: Plan, tag: Tag): boolean {
  const expected = namesOf(plan);
  return (
    kernel.framed &&
    kernel.tag !== undefined &&
    sameTag(kernel.tag, tag) &&
    (['sets', 'maps', 'chains', 'counters'] as const).every((kind) => sameNames(kernel[kind], expected[kind]))
  );
}

/** Whether two tags are of the same rules, whatever flows are marked with. */
function sameTag(a: Tag, b: Tag): boolean {
  return a.release === b.release && a.conditions === b.conditions;
}

function sameNames(a: readonly string[], b: readonly string[]): boolean {
  const names = new Set(a);
  return names.size === b.length && b.every((name) => names.has(name));
}
