/**
 * What rules accept of all addresses of a family: the rules that judge a qube are laid over them as
 * intervals, the first on top, for a few packets that stand for the rest. So it does not matter how somebody
 * writes that everything is accepted. Pure; the slow evaluator says the same of each address.
 *
 *   rules, in order ─▶ layers ─▶ laid over one another, by halves ─▶ steps: address 0 drop, 1.0.0.0 accept, …
 *
 * Names, what a qube was told for them, and the DNS servers of firewalls are not known: such rules decide
 * nothing here. Cost: linear in the entries of lists and rules, times the logarithm of the number of runs;
 * and nothing of that where sums of sizes tell already.
 */

import { largestShare, partOfLengths, partOfSpace } from './coverage.ts';
import type { Pieces } from './pieces.ts';
import { COMMON_POLICY, FIRST_POLICY, judgesIngress, type Policy, runsOf } from './policy.ts';
import { compareWordsAt, type Family, PrefixBuilder, type Prefixes, strideOf } from './prefix.ts';
import { canonicalPrefixes, columnFor } from './prefix-set.ts';
import type { Action, Direction, Proto, RuleMatch } from './rule.ts';
import type { RuleSet } from './rule-set.ts';
import { formAt, prefixesIn, type RuleForm, type Runs } from './runs.ts';
import { specialPurposeSpace } from './special-purpose.ts';

/** A packet that stands for many others; for ICMP an echo request. */
export interface Probe {
  readonly text: string;
  readonly proto: Proto;
  readonly port: number | undefined;
}

export const PROBES: readonly Probe[] = [
  { text: 'TCP 80', proto: 'tcp', port: 80 },
  { text: 'TCP 443', proto: 'tcp', port: 443 },
  { text: 'UDP 53', proto: 'udp', port: 53 },
  { text: 'UDP 443', proto: 'udp', port: 443 },
  { text: 'ICMP', proto: 'icmp', port: undefined },
];
const ECHO_REQUEST = { 4: 8, 6: 128 } as const;

/** The rule set and policy that judge some qubes, at one time. */
export interface Judge {
  readonly ruleSet: RuleSet;
  /** Undefined: none does, `common` and then `unmatched` do; of ingress nobody does. */
  readonly policy: Policy | undefined;
  /** When rules of each action that end have ended, in seconds since 1970. */
  readonly at: Readonly<Record<Action, number>>;
}

/** The addresses to look at: one direction, one family, one kind of packet. */
export interface OpenView {
  readonly direction: Direction;
  readonly family: Family;
  readonly probe: Probe;
  /** Results for blocks that judge for many policies; starts empty. */
  readonly known: Map<RuleSet, SharedBlocks>;
  /** Shares of forms, which do not depend on the view; starts empty, and all views share it. */
  readonly shares: Map<Runs, readonly FormShare[]>;
}

/**
 * Budget: the number of entries that may still be laid over one another. When it is spent, no exact answer
 * comes.
 */
export interface LayingBudget {
  left: number;
}

/**
 * Ranges of addresses: `states` holds the decision from each entry up to the next. The first entry is address
 * 0.
 */
export interface Steps extends Pick<Prefixes, 'family' | 'words'> {
  readonly states: Uint8Array;
}

/** The values of `Steps.states`. */
export const StepState = { undecided: 0, accept: 1, drop: 2 } as const;
const { undecided: UNDECIDED, accept: ACCEPT } = StepState;

/** The rules of one block that fit, up to the first for all addresses. */
interface Block {
  readonly layers: Layers;
  /** The action for all other addresses; undefined: the next block decides. */
  readonly rest: Action | undefined;
  /** At most so large a share of the family, or of the Internet in it, is accepted or dropped. */
  readonly parts: Readonly<Record<Action, number>>;
  /** A rule drops anything of the family, be it another packet or a list that is empty. */
  readonly hasDrop: boolean;
}

interface Layer {
  readonly action: Action;
  readonly column: Prefixes;
}

/** Computed on use: there may be as many layers as rules, and sums of sizes often decide without them. */
interface Layers {
  readonly count: number;
  readonly entryCount: number;
  each(): Iterable<Layer>;
}

/** Those that are judged for all qubes: none or one each. */
interface SharedBlocks {
  readonly first: readonly Block[];
  readonly common: readonly Block[];
}

const NO_LAYERS: Layers = { count: 0, entryCount: 0, each: () => [] };

const HALF = 0.5;
/** The length of one piece of work, some milliseconds. Our choice. */
const PIECE_STEPS = 65_536;

/**
 * Whether a change opens half of the address space. True if half of a family, or of its part that the
 * Internet uses, is accepted that was not; the present share counts, so that many small steps count like one
 * big one. True also if a policy or `unmatched` now accepts everything with no rule that drops, and did not
 * before. True if the budget is spent before the answer is known.
 */
export function* opensHalf(
  before: Judge,
  after: Judge,
  view: OpenView,
  budget: LayingBudget,
): Pieces<boolean> {
  const [earlier, later] = [blocksOf(before, view), blocksOf(after, view)];
  const [past, now] = [roughPart(earlier), roughPart(later)];
  // Packets that no policy judges pass, except those that `first` drops: accepting them all is nothing new.
  const isUnjudged = view.direction === 'ingress' && (before.policy ?? after.policy) === undefined;
  const isAll = now === 'all' && !isUnjudged;
  if (now === 'few' || past === 'all' || (past === 'most' && !isAll)) return false;
  const was = yield* laid(earlier, view.family, budget);
  const is = was && (yield* laid(later, view.family, budget));
  if (was === undefined || is === undefined) return true;
  const isNew = yield* combined(was, is, (one, other) =>
    other === ACCEPT && one !== ACCEPT ? ACCEPT : UNDECIDED,
  );
  if (isAll && isNew.states.includes(ACCEPT)) return true;
  for (const special of [undefined, specialSteps(view.family)]) {
    if ((yield* share(isNew, special)) >= HALF) return true;
    if ((yield* share(is, special)) >= HALF && (yield* share(was, special)) < HALF) return true;
  }
  return false;
}

/** The blocks that judge, in their order; the last has a rest. */
export function blocksOf(judge: Judge, view: OpenView): readonly Block[] {
  const { ruleSet, policy } = judge;
  const { direction, known } = view;
  const all = (rest: Action): Block => ({
    layers: NO_LAYERS,
    rest,
    parts: { accept: 0, drop: 0 },
    hasDrop: false,
  });
  const blocksIn = (of: Policy | undefined, block: 'exceptions' | 'own' = 'own'): readonly Block[] =>
    of === undefined ? [] : [blockOf(runsOf(of, direction, block), judge, view)];
  const { policies, unmatched } = ruleSet;
  const { first, common } = known.get(ruleSet) ?? {
    first: blocksIn(policies.get(FIRST_POLICY)),
    common: blocksIn(policies.get(COMMON_POLICY)),
  };
  known.set(ruleSet, { first, common });
  const isJudged =
    direction === 'egress'
      ? (policy ?? unmatched) !== undefined
      : policy !== undefined && judgesIngress(policy);
  if (!isJudged) return [...first, all('accept')];
  const rest = policy === undefined ? unmatched : policy.defaultAction;
  const blocks = [...first, ...blocksIn(policy, 'exceptions'), ...common, ...blocksIn(policy)];
  return [...blocks, all(rest === 'accept' ? 'accept' : 'drop')];
}

function blockOf(runs: Runs, { ruleSet: { lists }, at }: Judge, view: OpenView): Block {
  const { family } = view;
  const shares = sharesOf(runs, view);
  const whole = 1 - partOfSpace(specialOf(family));
  const asked: (AskedForm | undefined)[] = runs.forms.map(({ match, remote }, form) => {
    const { action, expire } = match;
    const isNowhere = remote.kind === 'prefixes' && remote.family !== family;
    if (isNowhere || (expire !== undefined && at[action] >= expire)) return undefined;
    const list = remote.kind === 'list' ? lists.get(remote.list) : undefined;
    const column = list?.kind === 'prefixes' ? columnFor(list, family) : undefined;
    const { first, whole: wholeAt } = shares[form]!; // one for each form
    const isAll = remote.kind === 'any' || column?.lengths.includes(0) === true;
    return { action, remote, column, first, isFit: fits(match, view), allAt: isAll ? first : wholeAt };
  });
  const fit = asked.map((form) => (form?.isFit === true ? form : undefined));
  const end = fit.reduce((least, form) => Math.min(least, form?.allAt ?? runs.count), runs.count);
  const parts = { accept: 0, drop: 0 };
  const seen = new Set<string>(); // a list's second use decides nothing new
  let [count, entryCount] = [0, 0];
  for (const [form, one] of fit.entries()) {
    if (one === undefined || one.first >= end || one.remote.kind === 'any' || one.remote.kind === 'name')
      continue;
    const { runCount, part, prefixCount } = shares[form]!; // likewise
    if (one.remote.kind === 'prefixes') {
      parts[one.action] += part / whole; // at most: some may come after the end
      count += runCount;
      entryCount += prefixCount;
    } else if (one.column !== undefined && !seen.has(one.remote.list)) {
      seen.add(one.remote.list);
      parts[one.action] += largestShare(one.column);
      count++;
      entryCount += one.column.lengths.length;
    }
  }
  const each = function* (): Generator<Layer> {
    const used = new Set<string>();
    for (let run = 0; run < end; run++) {
      const one = fit[runs.formOf[run]!]; // a run
      if (one?.remote.kind === 'prefixes')
        yield { action: one.action, column: prefixesIn(runs, run, family) };
      if (one?.remote.kind !== 'list' || used.has(one.remote.list)) continue;
      used.add(one.remote.list);
      if (one.column !== undefined) yield { action: one.action, column: one.column };
    }
  };
  const rest = end < runs.count ? formAt(runs, end).match.action : undefined;
  const hasDrop = asked.some((form) => form?.action === 'drop' && form.first <= end);
  return { layers: { count, entryCount, each }, rest, parts, hasDrop };
}

/** A form that is in force, and of the family. */
interface AskedForm extends Pick<RuleForm, 'remote'> {
  readonly action: Action;
  readonly column: Prefixes | undefined;
  /** Its first run. */
  readonly first: number;
  readonly isFit: boolean;
  /** Its first run for all addresses. */
  readonly allAt: number;
}

/** The total of the runs that share a form. */
export interface FormShare {
  /** The index of the first of these runs. */
  first: number;
  /** The index of the first of them for all addresses (a prefix of 0 bits); infinity: there is none. */
  whole: number;
  runCount: number;
  prefixCount: number;
  /** Share of the family's addresses; overlapping prefixes count twice. */
  part: number;
}

/** By form. Counted once for all that is looked at. */
function sharesOf(runs: Runs, { shares }: OpenView): readonly FormShare[] {
  const known = shares.get(runs);
  if (known !== undefined) return known;
  const made = runs.forms.map(() => {
    return { first: runs.count, whole: Number.POSITIVE_INFINITY, runCount: 0, prefixCount: 0, part: 0 };
  });
  const hasPrefixes = runs.forms.map(({ remote }) => remote.kind === 'prefixes');
  for (let run = 0; run < runs.count; run++) {
    const form = runs.formOf[run]!; // a run, here and below
    const own = made[form]!;
    own.first = Math.min(own.first, run);
    own.runCount++;
    if (hasPrefixes[form] !== true) continue;
    const [from, to] = [runs.starts[run]!, runs.starts[run + 1]!];
    own.prefixCount += to - from;
    own.part += partOfLengths(runs.lengths, from, to);
    for (let rule = from; rule < to; rule++)
      if (runs.lengths[rule] === 0) own.whole = Math.min(own.whole, run);
  }
  shares.set(runs, made);
  return made;
}

/** Whether a rule is about the packet, by all but its remote side, as `evaluate` has it. */
function fits({ proto, ports, icmpType, dns }: RuleMatch, { probe, family }: OpenView): boolean {
  if (dns || (proto !== undefined && proto !== probe.proto)) return false;
  const { port } = probe;
  if (ports !== undefined && (port === undefined || port < ports.first || port > ports.last)) return false;
  return icmpType === undefined || (probe.proto === 'icmp' && icmpType === ECHO_REQUEST[family]);
}

/** By sums of sizes: how many of the addresses are accepted, by either measure; undefined: look. */
function roughPart(blocks: readonly Block[]): 'all' | 'most' | 'few' | undefined {
  const sums = { accept: 0, drop: 0 };
  let dropsAny = false;
  for (const { rest, parts, hasDrop } of blocks) {
    dropsAny ||= hasDrop;
    sums.accept += parts.accept;
    sums.drop += parts.drop;
    if (rest === 'accept') return !dropsAny ? 'all' : sums.drop < HALF ? 'most' : undefined;
    if (rest === 'drop') return sums.accept < HALF ? 'few' : undefined;
  }
  return undefined;
}

/** All blocks, laid over one another; undefined: that costs too much. */
export function* laid(
  blocks: readonly Block[],
  family: Family,
  budget: LayingBudget,
): Pieces<Steps | undefined> {
  const end = blocks.findIndex(({ rest }) => rest !== undefined);
  const layers = blocks.slice(0, end + 1).map((block) => block.layers);
  const depth = Math.ceil(Math.log2(layers.reduce((sum, { count }) => sum + count, 1))) + 1;
  for (const { entryCount } of layers) budget.left -= 2 * entryCount * depth;
  if (budget.left < 0) return undefined;
  const zero = new Uint32Array(strideOf(family));
  const rest = { family, words: zero, states: Uint8Array.of(StepState[blocks[end]?.rest ?? 'drop']) };
  return yield* overlaid(layers, rest);
}

/** Layers over what is below, by halves: each entry is copied as often as the number of layers has bits. */
function* overlaid(blocks: readonly Layers[], below: Steps): Pieces<Steps> {
  const trees: { readonly steps: Steps; readonly size: number }[] = [];
  for (const layers of blocks)
    for (const { action, column } of layers.each()) {
      let [steps, size] = [stepsOf(canonicalPrefixes(column), StepState[action]), 1];
      for (let top = trees.at(-1); top?.size === size; top = trees.at(-1)) {
        trees.pop();
        steps = yield* combined(top.steps, steps, firstSaid);
        size *= 2;
      }
      trees.push({ steps, size });
    }
  let result = below;
  for (const { steps } of trees.reverse()) {
    result = yield* combined(steps, result, firstSaid);
  }
  return result;
}

const firstSaid = (one: number, other: number): number => (one === UNDECIDED ? other : one);

/** A canonical column as steps. */
function stepsOf(column: Prefixes, state: number): Steps {
  const { family, words, lengths } = column;
  const stride = strideOf(family);
  const steps = new PrefixBuilder(family, 2 * lengths.length + 1);
  const next = new Uint32Array(stride); // behind the member before; address 0 at first
  let hasNext = true;
  for (let i = 0; i < lengths.length; i++) {
    const adjoins = compareWordsAt(next, 0, words, i, stride) === 0;
    if (!adjoins) steps.push(next, 0, UNDECIDED);
    if (!adjoins || i === 0) steps.push(words, i, state);
    next.set(words.subarray(i * stride, (i + 1) * stride));
    hasNext = addBlock(next, lengths[i]!); // i < length
  }
  if (hasNext) steps.push(next, 0, UNDECIDED);
  return toSteps(steps);
}

/** Adds 2^(bits - length), of which the word has no lower bits; false: that is behind the last address. */
function addBlock(words: Uint32Array, length: number): boolean {
  if (length === 0) return false;
  let word = (length - 1) >> 5;
  let more = 2 ** (31 - ((length - 1) & 31));
  for (; word >= 0; word--) {
    const sum = words[word]! + more; // word < stride
    words[word] = sum;
    if (sum < 2 ** 32) return true;
    more = 1;
  }
  return false;
}

/** Combines two sets of steps: `of` makes one state of the two states of each address. */
function* combined(a: Steps, b: Steps, of: (one: number, other: number) => number): Pieces<Steps> {
  const stride = strideOf(a.family);
  const out = new PrefixBuilder(a.family, a.states.length + b.states.length);
  let [i, j, one, other, last, looked] = [0, 0, 0, 0, -1, 0];
  while (i < a.states.length || j < b.states.length) {
    if (++looked % PIECE_STEPS === 0) yield;
    const order =
      i >= a.states.length ? 1 : j >= b.states.length ? -1 : compareWordsAt(a.words, i, b.words, j, stride);
    const [words, at] = order <= 0 ? [a.words, i] : [b.words, j];
    if (order <= 0) one = a.states[i++]!; // within, here and below
    if (order >= 0) other = b.states[j++]!;
    const state = of(one, other);
    if (state !== last) out.push(words, at, state);
    last = state;
  }
  return toSteps(out);
}

function toSteps(builder: PrefixBuilder): Steps {
  const { family, words, lengths } = builder.build();
  return { family, words, states: lengths };
}

/** The share of the addresses that is accepted, not counting those in `special` if it is given. */
function* share(steps: Steps, special: Steps | undefined): Pieces<number> {
  if (special === undefined) return sizeOf(steps);
  const inside = yield* combined(special, steps, (one, other) => (one === UNDECIDED ? other : UNDECIDED));
  return sizeOf(inside) / (1 - sizeOf(special));
}

/** The share that is accepted; of IPv6 to 2^-50. */
function sizeOf({ family, words, states }: Steps): number {
  const stride = strideOf(family);
  const placeOf = (at: number): number => {
    let place = 0;
    for (let w = 0; w < stride; w++) place += words[at * stride + w]! / 2 ** (32 * (w + 1)); // at < length
    return place;
  };
  let size = 0;
  for (let i = 0; i < states.length; i++)
    if (states[i] === ACCEPT) size += (i + 1 < states.length ? placeOf(i + 1) : 1) - placeOf(i);
  return size;
}

function specialOf(family: Family): Prefixes {
  return columnFor(specialPurposeSpace(), family);
}

/** The address space without hosts of the Internet, as steps that are accepted. */
function specialSteps(family: Family): Steps {
  return stepsOf(specialOf(family), ACCEPT);
}
