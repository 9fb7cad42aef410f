/**
 * Programs: what each policy does with each class of remote addresses, in one direction.
 *
 *   program ─▶ rows[class] ──┬── ~code: a verdict, whatever else the packet has
 *                            └── at ─▶ lists[at …]: candidates in rule order, the last of them a ~code
 *
 * A candidate is a run that can match in that class and has more to ask: protocol, ports, ICMP type. Lists are cut at
 * the first run with nothing more to ask, contain no run that has expired, and are kept once however many classes use
 * them. A program that asks about no address has one row.
 *
 * A code names a verdict within one image: `outcome << 2 | action`. A program's outcomes are numbered from its
 * `firstOutcome`: its default action, then the runs of `common`, then the policy's own. Code 0 is the verdict none.
 */

import {
  type Action,
  COMMON_POLICY,
  DEFAULT_POLICY,
  type Direction,
  type Environment,
  type Family,
  IpProtocol,
} from '@rulecast/rules';
import type { ClassSets } from './classes.ts';
import { TableLimitCode, TableLimitError, type TableLimits } from './limits.ts';
import { ANY_ADDRESS, NO_ADDRESS, type Predicates } from './predicate.ts';
import {
  ACCEPTS,
  ALL_PROTOS,
  ASKS_DETAIL,
  ASKS_DNS,
  type PolicyColumns,
  ProtoBit,
  RemoteKind,
  type RunColumns,
  RunPrefixes,
} from './rule-columns.ts';

/** The action in the low bits of a code. */
export const CodeAction = { none: 0, accept: 1, drop: 2 } as const;
export const CODE_ACTION_BITS = 2;
export const CODE_ACTION_MASK = 3;
/** The code of the verdict none. */
export const NO_VERDICT_CODE = 0;

/** The words of a program's record. */
export const ProgramField = {
  rowStart: 0,
  /** 0 for a program with one row, else all ones. */
  classMask: 1,
  firstOutcome: 2,
  policy: 3,
  /** A Direction's place in DIRECTIONS. */
  direction: 4,
  /** Block of `common`, or -1. */
  commonBlock: 5,
  ownBlock: 6,
} as const;
export const PROGRAM_WORDS = 8;

/** The words of a block's record: the runs of one policy in one direction. */
export const BlockField = { policy: 0, runCount: 1, firstRunList: 2 } as const;
export const BLOCK_WORDS = 4;

/** The words of a candidate: what it asks; the range of its port or ICMP type, first | last << 16; its code. */
export const CANDIDATE_WORDS = 3;

export const DIRECTIONS = ['egress', 'ingress'] as const;

/** All programs, in arrays of their own. */
export interface Programs {
  readonly programs: Int32Array;
  readonly rows: Int32Array;
  readonly lists: Int32Array;
  readonly candidates: Int32Array;
  readonly blocks: Int32Array;
  /** By block and run: the place of the run's list in `listNames`, or -1. Empty if no run has a list. */
  readonly runLists: Int32Array;
  readonly outcomeCount: number;
  readonly policyNames: readonly string[];
  readonly listNames: readonly string[];
}

/** What `decide` reads. */
export interface ProgramViews {
  readonly programs: Int32Array;
  readonly rows: Int32Array;
  readonly lists: Int32Array;
  readonly candidates: Int32Array;
}

/** The protocol bit of a packet of a family, by its protocol number. */
export function protoBitOf(family: Family, proto: number): number {
  return (family === 4 ? PROTO_BITS4 : PROTO_BITS6)[proto & 0xff]!; // the mask keeps within the table
}

const PROTO_BITS4 = protoBits(IpProtocol.icmp);
const PROTO_BITS6 = protoBits(IpProtocol.icmp6);

function protoBits(icmp: number): Uint8Array {
  const bits = new Uint8Array(256).fill(ProtoBit.other);
  bits[IpProtocol.tcp] = ProtoBit.tcp;
  bits[IpProtocol.udp] = ProtoBit.udp;
  bits[icmp] = ProtoBit.icmp;
  return bits;
}

/**
 * The code of what a program does with a packet whose remote side has the class `classId`. `detail` is the destination
 * port of tcp and udp, the type of ICMP, or negative where it cannot be read.
 */
export function decide(
  views: ProgramViews,
  program: number,
  classId: number,
  protoBit: number,
  detail: number,
): number {
  const { programs } = views;
  const record = program * PROGRAM_WORDS;
  // All indices here and in `scan` were made by `compilePrograms` for this image.
  const row = views.rows[programs[record]! + (classId & programs[record + 1]!)]!;
  return row < 0 ? ~row : scan(views, row, protoBit, detail);
}

/** Tries the candidates of a list in turn. Apart from `decide`, which so stays small enough to be inlined everywhere. */
function scan({ lists, candidates }: ProgramViews, list: number, protoBit: number, detail: number): number {
  for (let at = list; ; at++) {
    const entry = lists[at]!;
    if (entry < 0) return ~entry;
    const candidate = entry * CANDIDATE_WORDS;
    const asks = candidates[candidate]!;
    if ((asks & protoBit) === 0) continue;
    const code = candidates[candidate + 2]!;
    if ((asks & ASKS_DETAIL) === 0) return code;
    if (detail < 0) return (code & ~CODE_ACTION_MASK) | CodeAction.drop; // it could match and cannot be read
    const range = candidates[candidate + 1]!;
    if (detail >= (range & 0xffff) && detail <= range >>> 16) return code;
  }
}

/** The runs of one policy in one direction, in an environment. */
interface Block {
  readonly policy: number;
  readonly runs: RunColumns;
  /** By run: a predicate, ANY_ADDRESS or NO_ADDRESS. */
  readonly predicates: Int32Array;
}

/** A program before its rows. */
export interface ProgramPlan {
  readonly policy: PolicyColumns;
  readonly direction: Direction;
  readonly common: number;
  readonly own: number;
}

/** The programs of a rule set before classes exist; making one registers every predicate. */
export class ProgramPlans {
  readonly plans: ProgramPlan[] = [];
  readonly blocks: Block[] = [];
  readonly policies: readonly PolicyColumns[];
  /** NO_ADDRESS if the environment has none. */
  readonly dnsPredicate: number;
  private readonly environment: Environment;
  private readonly predicates: Predicates;

  constructor(policies: readonly PolicyColumns[], environment: Environment, predicates: Predicates) {
    this.environment = environment;
    this.predicates = predicates;
    this.policies = policies;
    this.dnsPredicate = predicates.ofDns(environment.dns);
    const common = policies.find(({ name }) => name === COMMON_POLICY);
    for (const direction of DIRECTIONS) {
      const commonBlock = common === undefined ? -1 : this.block(common, direction);
      for (const policy of policies) {
        if (policy.name === COMMON_POLICY) continue;
        if (direction === 'ingress' && (policy.name === DEFAULT_POLICY || policy.ingress.count === 0))
          continue;
        this.plans.push({ policy, direction, common: commonBlock, own: this.block(policy, direction) });
      }
    }
  }

  private block(policy: PolicyColumns, direction: Direction): number {
    const runs = policy[direction];
    const predicates = new Int32Array(runs.count);
    const prefixes = new RunPrefixes(runs);
    for (let run = 0; run < runs.count; run++) predicates[run] = this.predicateOf(runs, run, prefixes);
    return this.blocks.push({ policy: this.policies.indexOf(policy), runs, predicates }) - 1;
  }

  private predicateOf(runs: RunColumns, run: number, runPrefixes: RunPrefixes): number {
    const kind = runs.kinds[run]!; // run < count, here and below
    const hasPrefixes = kind === RemoteKind.prefixes4 || kind === RemoteKind.prefixes6;
    if (hasPrefixes) runPrefixes.next(run); // also for a run that can match nothing
    const checks = runs.checks[run]!;
    if (this.environment.now >= runs.expires[run]! || (checks & ALL_PROTOS) === 0) return NO_ADDRESS;
    if (hasPrefixes) return this.predicates.ofPrefixes(runPrefixes);
    const name = runs.names[runs.remotes[run]!] ?? '';
    if (kind === RemoteKind.name) return this.predicates.ofName(name);
    if (kind === RemoteKind.list) return this.predicates.ofList(name);
    return (checks & ASKS_DNS) !== 0 ? this.dnsPredicate : ANY_ADDRESS;
  }
}

/** Turns plans into programs, class by class. Throws TableLimitError. */
export function compilePrograms(plans: ProgramPlans, sets: ClassSets, limits: TableLimits): Programs {
  return new ProgramCompiler(plans, sets, limits).compile();
}

class ProgramCompiler {
  private readonly plans: ProgramPlans;
  private readonly sets: ClassSets;
  private readonly rows: Int32Buffer;
  private readonly lists: Int32Buffer;
  private readonly candidates = new Int32Buffer();
  private readonly limits: TableLimits;
  private readonly known: ListIndex;
  private readonly isDnsClass: Uint8Array;
  private readonly heads: Int32Array; // by predicate: its first run in the program at hand, or -1
  // Of the program at hand, by position among its runs:
  private next = new Int32Array(0); // the next run of the same predicate, or -1
  private candidateOf = new Int32Array(0); // its candidate, or -1
  private predicates = new Int32Array(0);
  private checks = new Uint8Array(0);
  private ranges = new Uint32Array(0);
  private anywhere: number[] = []; // positions of the runs for any address, to the first that asks nothing
  private firstOutcome = 1; // outcome 0 would make code 0
  private defaultAction: Action = 'drop';

  constructor(plans: ProgramPlans, sets: ClassSets, limits: TableLimits) {
    this.plans = plans;
    this.sets = sets;
    this.limits = limits;
    this.rows = new Int32Buffer(limits.rows, () => rowsError(limits));
    this.lists = new Int32Buffer(limits.lists, () => {
      return new TableLimitError(TableLimitCode.lists, limits.lists, 'candidates in all lists');
    });
    this.known = new ListIndex(this.lists);
    this.isDnsClass = new Uint8Array(sets.count);
    for (let classId = 0; classId < sets.count; classId++) {
      if (sets.membersOf(classId).includes(plans.dnsPredicate)) this.isDnsClass[classId] = 1;
    }
    this.heads = new Int32Array(sets.predicateCount).fill(-1);
  }

  compile(): Programs {
    const { plans } = this.plans;
    const programs = new Int32Array(plans.length * PROGRAM_WORDS);
    for (const [index, plan] of plans.entries()) {
      const record = programs.subarray(index * PROGRAM_WORDS, (index + 1) * PROGRAM_WORDS);
      this.load(plan);
      record[ProgramField.firstOutcome] = this.firstOutcome;
      record[ProgramField.policy] = this.plans.policies.indexOf(plan.policy);
      record[ProgramField.direction] = DIRECTIONS.indexOf(plan.direction);
      record[ProgramField.commonBlock] = plan.common;
      record[ProgramField.ownBlock] = plan.own;
      record[ProgramField.rowStart] = this.rows.count;
      record[ProgramField.classMask] = this.fillRows();
      this.unload();
    }
    const { blocks, runLists, listNames } = this.blockRecords();
    return {
      programs,
      rows: this.rows.view(),
      lists: this.lists.view(),
      candidates: this.candidates.view(),
      blocks,
      runLists,
      outcomeCount: this.firstOutcome,
      policyNames: this.plans.policies.map((policy) => policy.name),
      listNames,
    };
  }

  /** Puts the runs of a program side by side: `common`, then its own. */
  private load(plan: ProgramPlan): void {
    const blocks = [plan.common, plan.own].flatMap((block) => this.plans.blocks[block] ?? []);
    const count = blocks.reduce((sum, block) => sum + block.runs.count, 0);
    if (this.firstOutcome + count + 1 > this.limits.outcomes) {
      throw new TableLimitError(TableLimitCode.outcomes, this.limits.outcomes, 'runs over all policies');
    }
    this.predicates = new Int32Array(count);
    this.checks = new Uint8Array(count);
    this.ranges = new Uint32Array(count);
    let at = 0;
    for (const { runs, predicates } of blocks) {
      this.predicates.set(predicates, at);
      this.checks.set(runs.checks, at);
      this.ranges.set(runs.ranges, at);
      at += runs.count;
    }
    this.next = new Int32Array(count).fill(-1);
    this.candidateOf = new Int32Array(count).fill(-1);
    this.defaultAction = plan.policy.defaultAction;
    this.anywhere = [];
    for (let p = 0; p < count; p++) {
      if (this.predicates[p] !== ANY_ADDRESS) continue;
      this.anywhere.push(p);
      if (this.asksNothing(p)) break;
    }
  }

  private unload(): void {
    for (const predicate of this.predicates) if (predicate >= 0) this.heads[predicate] = -1;
    this.firstOutcome += this.predicates.length + 1;
  }

  /** Fills the rows of the program at hand; returns its class mask. */
  private fillRows(): number {
    const end = this.reach();
    let asksAddress = false;
    for (let p = end - 1; p >= 0; p--) {
      const predicate = this.predicates[p]!; // p < count
      if (predicate < 0) continue;
      asksAddress = true;
      this.next[p] = this.heads[predicate]!; // a predicate of these plans
      this.heads[predicate] = p;
    }
    const elsewhere = this.rowOf([]);
    if (!asksAddress) {
      this.rows.push(elsewhere);
      return 0;
    }
    if (this.rows.count + this.sets.count > this.limits.rows) throw rowsError(this.limits);
    for (let classId = 0; classId < this.sets.count; classId++) {
      const found = this.runsIn(classId);
      this.rows.push(found.length === 0 ? elsewhere : this.rowOf(found));
    }
    return -1;
  }

  /** The position after the last run that can be reached. */
  private reach(): number {
    const last = this.anywhere.at(-1);
    return last !== undefined && this.asksNothing(last) ? last : this.predicates.length;
  }

  private asksNothing(position: number): boolean {
    return (this.checks[position]! & (ALL_PROTOS | ASKS_DETAIL)) === ALL_PROTOS; // position < count
  }

  /** The runs that ask about addresses and hold in a class, in order. */
  private runsIn(classId: number): readonly number[] {
    const found: number[] = [];
    for (const predicate of this.sets.membersOf(classId)) {
      for (let p = this.heads[predicate] ?? -1; p >= 0; p = this.next[p]!) {
        if ((this.checks[p]! & ASKS_DNS) === 0 || this.isDnsClass[classId] === 1) found.push(p); // p < count
      }
    }
    return found.length > 1 ? found.sort((a, b) => a - b) : found;
  }

  /** The row for a class in which `found` and the runs for any address hold. */
  private rowOf(found: readonly number[]): number {
    const start = this.lists.count;
    let decided = 0; // protocols that some run before decides whatever the port
    let f = 0;
    let a = 0;
    while (f < found.length || a < this.anywhere.length) {
      const fromFound = f < found.length && (a >= this.anywhere.length || found[f]! < this.anywhere[a]!); // both in range
      const position = fromFound ? found[f++]! : this.anywhere[a++]!; // likewise
      if (this.asksNothing(position)) return this.finish(start, this.codeOf(position));
      const checks = this.checks[position]!; // position < count
      if ((checks & ALL_PROTOS & ~decided) === 0) continue;
      if ((checks & ASKS_DETAIL) === 0) decided |= checks & ALL_PROTOS;
      this.lists.push(this.candidate(position));
    }
    const action = this.defaultAction === 'accept' ? CodeAction.accept : CodeAction.drop;
    return this.finish(start, (this.firstOutcome << CODE_ACTION_BITS) | action);
  }

  /** Ends the list from `start` with a verdict; a list of nothing else becomes the row itself. */
  private finish(start: number, code: number): number {
    if (this.lists.count === start) return ~code;
    this.lists.push(~code);
    return this.known.intern(start);
  }

  private codeOf(position: number): number {
    const action = (this.checks[position]! & ACCEPTS) !== 0 ? CodeAction.accept : CodeAction.drop; // position < count
    return ((this.firstOutcome + 1 + position) << CODE_ACTION_BITS) | action;
  }

  private candidate(position: number): number {
    let candidate = this.candidateOf[position]!; // position < count
    if (candidate < 0) {
      candidate = this.candidates.count / CANDIDATE_WORDS;
      this.candidates.push(this.checks[position]! & (ALL_PROTOS | ASKS_DETAIL)); // likewise
      this.candidates.push(this.ranges[position]!); // likewise
      this.candidates.push(this.codeOf(position));
      this.candidateOf[position] = candidate;
    }
    return candidate;
  }

  private blockRecords(): Pick<Programs, 'blocks' | 'runLists' | 'listNames'> {
    const { blocks } = this.plans;
    const records = new Int32Array(blocks.length * BLOCK_WORDS);
    const runLists = new Int32Buffer();
    const places = new Map<string, number>();
    for (const [index, { policy, runs }] of blocks.entries()) {
      const hasLists = runs.kinds.includes(RemoteKind.list);
      records[index * BLOCK_WORDS + BlockField.policy] = policy;
      records[index * BLOCK_WORDS + BlockField.runCount] = runs.count;
      records[index * BLOCK_WORDS + BlockField.firstRunList] = hasLists ? runLists.count : -1;
      if (!hasLists) continue;
      for (let run = 0; run < runs.count; run++) {
        const list = runs.kinds[run] === RemoteKind.list ? runs.names[runs.remotes[run]!] : undefined; // run < count
        if (list !== undefined && !places.has(list)) places.set(list, places.size);
        runLists.push(list === undefined ? -1 : (places.get(list) ?? -1));
      }
    }
    return { blocks: records, runLists: runLists.view(), listNames: [...places.keys()] };
  }
}

function rowsError(limits: TableLimits): TableLimitError {
  return new TableLimitError(TableLimitCode.rows, limits.rows, 'address classes over all policies');
}

/** A growing Int32Array with an end. */
class Int32Buffer {
  count = 0;
  private words = new Int32Array(256);
  private readonly limit: number;
  private readonly error: () => Error;

  constructor(limit = Number.POSITIVE_INFINITY, error: () => Error = () => new RangeError('unlimited')) {
    this.limit = limit;
    this.error = error;
  }

  push(word: number): void {
    if (this.count >= this.limit) throw this.error();
    if (this.count === this.words.length) {
      const larger = new Int32Array(this.words.length * 2);
      larger.set(this.words);
      this.words = larger;
    }
    this.words[this.count++] = word;
  }

  at(index: number): number {
    return this.words[index]!; // the caller's index is below `count`
  }

  /** The words so far, without a copy. */
  view(): Int32Array {
    return this.words.subarray(0, this.count);
  }
}

/** Finds lists that exist already. A list ends with its first negative word, so equal ones end together. */
class ListIndex {
  private readonly lists: Int32Buffer;
  private slots = new Int32Array(256).fill(-1); // open addressing: hash -> first word of a list
  private used = 0;

  constructor(lists: Int32Buffer) {
    this.lists = lists;
  }

  /** Where the list that was just pushed from `start` stands for good; takes it back if it stands elsewhere. */
  intern(start: number): number {
    const mask = this.slots.length - 1;
    let slot = this.hashAt(start) & mask;
    for (let known = this.slots[slot]!; known >= 0; known = this.slots[slot]!) {
      if (this.same(known, start)) {
        this.lists.count = start;
        return known;
      }
      slot = (slot + 1) & mask;
    }
    this.slots[slot] = start;
    if (++this.used * 2 > this.slots.length) this.rehash();
    return start;
  }

  private same(a: number, b: number): boolean {
    for (let i = 0; ; i++) {
      const word = this.lists.at(a + i);
      if (word !== this.lists.at(b + i)) return false;
      if (word < 0) return true;
    }
  }

  private hashAt(start: number): number {
    let hash = 0;
    for (let i = start; ; i++) {
      const word = this.lists.at(i);
      hash = Math.imul(hash ^ word, 0x9e3779b1);
      hash ^= hash >>> 15;
      if (word < 0) return hash;
    }
  }

  private rehash(): void {
    const old = this.slots;
    const mask = old.length * 4 - 1;
    this.slots = new Int32Array(mask + 1).fill(-1);
    for (const start of old) {
      if (start < 0) continue;
      let slot = this.hashAt(start) & mask;
      while (this.slots[slot]! >= 0) slot = (slot + 1) & mask; // the mask keeps within the slots
      this.slots[slot] = start;
    }
  }
}
