/**
 * Compiling programs: from outlines and classes to one block of words (program.ts).
 *
 *   blocks ─▶ parts (part.ts) ─▶ port classes (ports.ts) ─▶ rows (rows.ts) ─▶ shapes (shape.ts) or nodes (node.ts)
 *
 * Equal parts are made once: qubes of one template share all, and where `common` would multiply classes and
 * programs it is a part of its own, shared by all. Classes that come later, by edits, are added in place;
 * rules that change compile anew.
 */

import type { Action } from '@rulecast/rules';
import type { ClassSets } from '../classes/classes.ts';
import { ANY_ADDRESS } from '../classes/predicate.ts';
import { RemoteKind } from '../classes/rule-columns.ts';
import { reachableLimits, TableLimitCode, TableLimitError, type TableLimits } from '../limits.ts';
import { GroupClasses } from './class.ts';
import {
  type Block,
  blocksOf,
  type PredicateGroups,
  type ProgramOutline,
  type ProgramOutlines,
} from './outline.ts';
import { ProgramPart } from './part.ts';
import { PortClasses } from './ports.ts';
import {
  BLOCK_WORDS,
  BlockField,
  CODE_ACTION_BITS,
  CodeAction,
  DIRECTIONS,
  NO_MATCH,
  NO_VERDICT_CODE,
  PROGRAM_HEADER_WORDS,
  PROGRAM_WORDS,
  ProgramField,
  ProgramHeader,
} from './program.ts';
import { type PartRows, RowMaker } from './rows.ts';
import { PORT_CLASSES_MAX, ShapeMaker } from './shape.ts';
import { WordBuffer } from './words.ts';

/**
 * Our choice: words left free at the end, for the nodes of classes that edits bring: an eighth, and as many
 * as this.
 */
const SPARE_WORDS = 4096;
/** Our choice: rows up to which `common` is compiled into each program, which then answers with one row. */
const JOINED_ROWS = 2 ** 20;

/**
 * Turns outlines into programs. `sets` are the classes of each group of `groups`; a program's classes are
 * numbers in them. Throws TableLimitError.
 */
export function compilePrograms(
  outlines: ProgramOutlines,
  groups: PredicateGroups,
  sets: readonly ClassSets[],
  limits: TableLimits,
): Programs {
  return new Programs(outlines, groups, sets, reachableLimits(limits));
}

/** All programs of a rule set. */
export class Programs {
  /** The block of words that `decide` reads, wherever it is copied to, with some to spare at its end. */
  readonly blob: Int32Array;
  /** One more than the largest outcome. */
  readonly outcomeCount: number;
  readonly policyNames: readonly string[];
  readonly listNames: readonly string[];
  readonly #words: WordBuffer;
  readonly #classes: readonly GroupClasses[];
  readonly #sets: readonly ClassSets[];
  readonly #rows: RowMaker;
  readonly #made: readonly PartRows[];
  readonly #asked: PartRows[][][] = []; // by group and predicate: the parts that ask about it, once needed

  constructor(
    outlines: ProgramOutlines,
    groups: PredicateGroups,
    sets: readonly ClassSets[],
    limits: TableLimits,
  ) {
    this.#sets = sets;
    this.#words = new WordBuffer(limits.lists, () => {
      return new TableLimitError(TableLimitCode.lists, limits.lists, 'words of all policies');
    });
    this.#classes = groups.groups.map(({ dnsPredicate }, group) => {
      return new GroupClasses(sets[group]!, dnsPredicate); // one of each group
    });
    const chains = new Chains(outlines, groups, this.#classes[0]?.room ?? 0, limits.outcomes);
    const records = chains.chains.reduce((sum, { links }) => sum + links.length, 0);
    // One record at least, for decideTile to look at where no program judges.
    this.#words.take(PROGRAM_HEADER_WORDS + Math.max(records, 1) * PROGRAM_WORDS, 0);
    const parts = [...new Set(chains.chains.flatMap(({ links }) => links.map(({ part }) => part)))];
    const start = this.#words.count;
    const hasOneRecordEach = this.#classes.length === 1 && records === chains.chains.length && records > 0;
    let made = hasOneRecordEach ? this.#compiled(parts, limits, true) : undefined;
    if (made === undefined) {
      this.#words.count = start;
      made = this.#compiled(parts, limits, false);
    }
    if (made === undefined) throw new TypeError('rows without shapes are always made');
    this.#rows = made.rows;
    this.#made = made.parts;
    this.#writeRecords(outlines, chains, new Map(this.#made.map((rows) => [rows.part, rows])));
    this.outcomeCount = chains.outcomeCount;
    this.policyNames = outlines.policies.map(({ name }) => name);
    this.listNames = this.#writeBlocks(outlines.blocks);
    this.blob = this.#words.withSpare((this.#words.count >> 3) + SPARE_WORDS);
  }

  /** Compiles all parts, with shapes or with nodes; undefined where shapes take too much. */
  #compiled(
    parts: readonly ProgramPart[],
    limits: TableLimits,
    isShaped: boolean,
  ): { readonly rows: RowMaker; readonly parts: readonly PartRows[] } | undefined {
    const words = this.#words;
    const ports = new PortClasses(parts, !isShaped);
    if (isShaped && ports.count > PORT_CLASSES_MAX) return undefined;
    words.set(ProgramHeader.ports, ports.write(words, isShaped));
    const shapes = isShaped ? new ShapeMaker(words, ports, limits.combined) : undefined;
    const nothing = shapes === undefined ? 0 : shapes.record(parts[0]!, new Int32Array(0), 0);
    if (shapes?.isFull === true) return undefined; // also where no program needs another
    words.set(ProgramHeader.shapeless, nothing);
    const rows = new RowMaker(words, this.#classes, limits, ports, shapes);
    const made: PartRows[] = [];
    for (const part of parts) {
      const one = rows.make(part);
      if (one === undefined) return undefined;
      made.push(one);
    }
    return { rows, parts: made };
  }

  /** How many words are used. */
  get usedWords(): number {
    return this.#words.count;
  }

  /**
   * Takes in the classes that the sets have got since, for the same outlines: in `blob`, a copy of ours that
   * readers may be deciding by, of classes known so far. False if they do not fit, and these programs are to
   * be compiled anew. Costs nothing if there are none.
   */
  extend(blob: Int32Array): boolean {
    const start = this.#words.count;
    const put = (at: number, word: number): void => {
      this.#words.set(at, word);
      if (at < start) blob[at] = word;
    };
    for (const [group, classes] of this.#classes.entries()) {
      const sets = this.#sets[group]!; // one of each group
      if (sets.count > classes.room) return false;
      while (classes.count < sets.count) {
        const classId = classes.count;
        classes.follow(this.#words, put);
        const parts = new Set<PartRows>();
        for (const predicate of sets.membersOf(classId)) {
          for (const part of this.#askedBy(group, predicate)) parts.add(part);
        }
        // Nodes go to the end before what leads to them is stored.
        for (const part of parts) if (!this.#rows.add(part, classId, put)) return false;
        if (this.#words.count > blob.length) return false;
      }
    }
    blob.set(this.#words.view().subarray(start), start);
    return true;
  }

  /** The parts with a run that asks about a predicate of a group. */
  #askedBy(group: number, predicate: number): readonly PartRows[] {
    if (this.#asked.length === 0) {
      for (const { predicateCount } of this.#sets)
        this.#asked.push(Array.from({ length: predicateCount }, () => []));
      for (const rows of this.#made) {
        for (const asked of new Set(rows.part.predicates)) this.#asked[rows.part.group]?.[asked]?.push(rows);
      }
    }
    return this.#asked[group]?.[predicate] ?? [];
  }

  #writeRecords(outlines: ProgramOutlines, chains: Chains, made: ReadonlyMap<ProgramPart, PartRows>): void {
    const words = this.#words;
    const { all: programs } = outlines;
    words.set(ProgramHeader.programCount, programs.length);
    words.set(ProgramHeader.groupCount, this.#classes.length);
    let further = programs.length; // records that go on for others
    for (const [index, outline] of programs.entries()) {
      const { firstOutcome, links } = chains.chains[index]!; // one of each program
      const groupMask = links.reduce((mask, { part }) => mask | (1 << part.group), 0);
      for (const [l, { part, base }] of links.entries()) {
        const record = l === 0 ? index : further - 1;
        const put = (name: keyof typeof ProgramField, value: number): void =>
          words.set(PROGRAM_HEADER_WORDS + record * PROGRAM_WORDS + ProgramField[name], value);
        const rows = made.get(part)!; // all parts of chains are made
        put('rows', rows.rows);
        put('classMask', rows.classMask);
        put('base', base);
        put('noMatch', l + 1 < links.length ? ~further++ : otherwiseCode(outline, firstOutcome));
        put('wildcards', rows.wildcards);
        put('group', part.group);
        put('firstOutcome', firstOutcome);
        put('policy', outline.policy === undefined ? -1 : outlines.policies.indexOf(outline.policy));
        put('direction', DIRECTIONS.indexOf(outline.direction));
        put('exceptionsBlock', outline.exceptions);
        put('commonBlock', outline.common);
        put('ownBlock', outline.own);
        put('groupMask', groupMask);
        put('isPlain', part.isPlain && (rows.kind === 'rows' || rows.kind === 'one') ? 1 : 0);
      }
    }
  }

  /** Writes the records of blocks and the lists of their runs; returns the names of lists. */
  #writeBlocks(blocks: readonly Block[]): readonly string[] {
    const words = this.#words;
    const records = words.take(blocks.length * BLOCK_WORDS, 0);
    const runLists = words.count;
    words.set(ProgramHeader.blocks, records);
    words.set(ProgramHeader.runLists, runLists);
    const places = new Map<string, number>();
    for (const [index, { policy, runs }] of blocks.entries()) {
      const record = records + index * BLOCK_WORDS;
      const hasLists = runs.kinds.includes(RemoteKind.list);
      words.set(record + BlockField.policy, policy);
      words.set(record + BlockField.runCount, runs.count);
      words.set(record + BlockField.firstRunList, hasLists ? words.count - runLists : -1);
      if (!hasLists) continue;
      for (let run = 0; run < runs.count; run++) {
        const list = runs.kinds[run] === RemoteKind.list ? runs.names[runs.remotes[run]!] : undefined; // run < count
        if (list !== undefined && !places.has(list)) places.set(list, places.size);
        words.push(list === undefined ? -1 : (places.get(list) ?? -1));
      }
    }
    return [...places.keys()];
  }
}

/** A program's records: their parts, and what is added to the codes of each. */
interface Chain {
  readonly firstOutcome: number;
  readonly links: readonly { readonly part: ProgramPart; readonly base: number }[];
}

/** The parts of all programs, each once, and how they hang together. */
class Chains {
  readonly chains: readonly Chain[];
  /** One more than the largest outcome. */
  readonly outcomeCount: number;
  readonly #outlines: ProgramOutlines;
  readonly #groups: PredicateGroups;
  readonly #isJoined: boolean;
  readonly #byHash = new Map<number, ProgramPart[]>();
  readonly #byBlocks = new Map<string, ProgramPart>();

  constructor(outlines: ProgramOutlines, groups: PredicateGroups, rowsEach: number, outcomesMax: number) {
    this.#outlines = outlines;
    this.#groups = groups;
    this.#isJoined = groups.groups.length === 1 && outlines.all.length * rowsEach <= JOINED_ROWS;
    let firstOutcome = 1; // outcome 0 would make code 0
    this.chains = outlines.all.map((outline) => {
      const runs = blocksOf(outline).reduce((sum, block) => sum + this.#runCount(block), 0);
      if (firstOutcome + runs + 1 > outcomesMax)
        throw new TableLimitError(TableLimitCode.outcomes, outcomesMax, 'runs over all policies');
      const chain = this.#chain(outline, firstOutcome);
      firstOutcome += runs + 1;
      return chain;
    });
    this.outcomeCount = firstOutcome;
  }

  #chain(outline: ProgramOutline, firstOutcome: number): Chain {
    const base = firstOutcome << CODE_ACTION_BITS;
    const hasOne =
      this.#groups.groups.length === 1 && (this.#runCount(outline.common) === 0 || this.#isJoined);
    if (hasOne) {
      const byDefault = outline.otherwise === 'none' ? NO_MATCH : actionCode(outline.otherwise);
      return { firstOutcome, links: [{ part: this.#part(blocksOf(outline), 0, byDefault), base }] };
    }
    let outcome = firstOutcome; // one below that of the block's first run
    const links = blocksOf(outline).flatMap((block) => {
      const blockBase = outcome << CODE_ACTION_BITS;
      outcome += this.#runCount(block);
      return this.#spread(block).map((part) => ({ part, base: blockBase }));
    });
    return { firstOutcome, links: links.length > 0 ? links : [{ part: this.#part([], 0, NO_MATCH), base }] };
  }

  /** A part for each group that a block has predicates in; the first has the runs for any address too. */
  #spread(block: number): readonly ProgramPart[] {
    const parts: ProgramPart[] = [];
    const hasWildcards = this.#blocks(block)[0]?.predicates.includes(ANY_ADDRESS) === true;
    for (let group = 0; group < this.#groups.groups.length; group++) {
      const part = this.#part([block], group, NO_MATCH);
      if ((group === 0 && hasWildcards) || part.asksAddress) parts.push(part);
    }
    return parts;
  }

  #part(blocks: readonly number[], group: number, byDefault: number): ProgramPart {
    const key = `${blocks.join()} ${group} ${byDefault}`;
    let part = this.#byBlocks.get(key);
    if (part === undefined) {
      part = this.#known(
        new ProgramPart(
          blocks.flatMap((block) => this.#blocks(block)),
          this.#groups,
          group,
          group === 0,
          byDefault,
        ),
      );
      this.#byBlocks.set(key, part);
    }
    return part;
  }

  /** The part that is equal to a new one, which may be that itself. */
  #known(part: ProgramPart): ProgramPart {
    const alike = this.#byHash.get(part.hash) ?? [];
    const equal = alike.find((other) => other.sameAs(part));
    if (equal !== undefined) return equal;
    this.#byHash.set(part.hash, [...alike, part]);
    return part;
  }

  #runCount(block: number): number {
    return this.#outlines.blocks[block]?.runs.count ?? 0;
  }

  #blocks(block: number): readonly Block[] {
    const found = this.#outlines.blocks[block];
    return found === undefined ? [] : [found];
  }
}

/** The code of what a program does where no run matches. */
function otherwiseCode({ otherwise }: ProgramOutline, firstOutcome: number): number {
  if (otherwise === 'none') return NO_VERDICT_CODE;
  return (firstOutcome << CODE_ACTION_BITS) | actionCode(otherwise);
}

function actionCode(action: Action): number {
  return action === 'accept' ? CodeAction.accept : CodeAction.drop;
}
