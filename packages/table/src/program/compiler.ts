/**
 * Compiling programs: from outlines and classes to one block of words (program.ts).
 *
 *   blocks ─▶ parts (part.ts) ─▶ port classes (ports.ts) ─▶ rows (rows.ts) ─▶ shapes (shape.ts) or nodes (node.ts)
 *
 * Equal parts are made once: qubes of one template share all of them, and if `common` would multiply classes
 * and programs, it is a part of its own, shared by all. Later classes and changed rules are put into the
 * compiled programs (edit/programs.ts).
 */

import { type Action, type Direction, FIRST_POLICY, formAt } from '@rulecast/rules';
import type { ClassSets } from '../classes/classes.ts';
import { reachableLimits, TableLimitCode, TableLimitError, type TableLimits } from '../limits.ts';
import { ProgramClasses } from './class.ts';
import { ClassRows, sharedPages } from './class-rows.ts';
import { DENSE, type Labels, SPACED } from './labels.ts';
import { type Block, blocksOf, type ProgramOutline, type ProgramOutlines } from './outline.ts';
import { ProgramPart } from './part.ts';
import { askKeys, PortClasses } from './ports.ts';
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
 * Our choice: words left free at the end, for what edits bring: an eighth, and as many as this.
 */
const SPARE_WORDS = 4096;
/** A record that decides by all blocks of its program. */
const ALL_BLOCKS = 7;
/** Up to so many rows of all programs, they lie one after another, as for few small programs. Our choice. */
const PAGED_ROWS = 2 ** 14;
/** Our choice: rows up to which `common` is compiled into each program, which then answers with one row. */
const JOINED_ROWS = 2 ** 20;

/** Turns outlines into programs of the classes `sets`. Throws TableLimitError. */
export function compilePrograms(outlines: ProgramOutlines, sets: ClassSets, limits: TableLimits): Programs {
  return new Programs(outlines, sets, reachableLimits(limits));
}

/** All programs of a rule set. */
export class Programs {
  /** The block of words that `decide` reads, wherever it is copied to, with some to spare at its end. */
  readonly blob: Int32Array;
  /** One more than the largest outcome. */
  readonly outcomeCount: number;
  /** Runs over all programs, common ones once per program. */
  readonly runCount: number;
  readonly policyNames: readonly string[];
  readonly listNames: readonly string[];
  /** The checks of runs, from which edits compute port classes (ports.ts). */
  readonly asks: readonly number[];
  readonly #words: WordBuffer;
  readonly #classes: ProgramClasses;

  constructor(outlines: ProgramOutlines, sets: ClassSets, limits: TableLimits) {
    this.#words = new WordBuffer(limits.lists, () => {
      return new TableLimitError(TableLimitCode.lists, limits.lists, 'words of all policies');
    });
    this.#classes = new ProgramClasses(sets, outlines.dnsPredicate);
    const chains = new Chains(outlines, this.#classes.room, limits.outcomes);
    const records = chains.chains.reduce((sum, { links }) => sum + links.length, 0);
    this.#words.take(PROGRAM_HEADER_WORDS + (records + 1) * PROGRAM_WORDS, 0);
    const parts = [...new Set(chains.chains.flatMap(({ links }) => links.map(({ part }) => part)))];
    const start = this.#words.count;
    const hasOneRecordEach = records === chains.chains.length && records > 0;
    let made = hasOneRecordEach ? this.#compiled(parts, limits, true) : undefined;
    if (made === undefined) {
      this.#words.count = start;
      made = this.#compiled(parts, limits, false);
    }
    if (made === undefined) throw new TypeError('rows without shapes are always made');
    this.#writeRecords(outlines, chains, new Map(made.parts.map((rows) => [rows.part, rows])), made.rows);
    this.asks = made.ports.keys;
    this.outcomeCount = chains.outcomeCount;
    this.runCount = chains.runCount;
    this.policyNames = outlines.policies.map(({ name }) => name);
    this.listNames = this.#writeBlocks(outlines.blocks, chains.labels);
    this.blob = this.#words.withSpare((this.#words.count >> 3) + SPARE_WORDS);
  }

  /** Compiles all parts, with shapes or with nodes; undefined if shapes take too much. */
  #compiled(
    parts: readonly ProgramPart[],
    limits: TableLimits,
    isShaped: boolean,
  ):
    | { readonly ports: PortClasses; readonly rows: ClassRows; readonly parts: readonly PartRows[] }
    | undefined {
    const words = this.#words;
    const ports = new PortClasses(askKeys(parts, !isShaped));
    if (isShaped && ports.count > PORT_CLASSES_MAX) return undefined;
    words.set(ProgramHeader.ports, ports.write(words, isShaped));
    const shapes = isShaped ? new ShapeMaker(words, ports, limits.combined) : undefined;
    const nothing = shapes === undefined ? 0 : shapes.record(parts[0]!, new Int32Array(0), 0);
    if (shapes?.isFull === true) return undefined; // also if no program adds any
    words.set(ProgramHeader.shapeless, nothing);
    const classes = this.#classes;
    const isPaged = isShaped && parts.length > 1 && parts.length * classes.room > PAGED_ROWS;
    const shared = isPaged ? sharedPages(classes.count) : -1;
    words.set(ProgramHeader.sharedPages, shared);
    const rows = new ClassRows(words, shared);
    const maker = new RowMaker(words, classes, limits, ports, shapes, rows);
    const made: PartRows[] = [];
    for (const part of parts) {
      const one = maker.make(part);
      if (one === undefined) return undefined;
      made.push(one);
    }
    return { ports, rows, parts: made };
  }

  /** The number of words used. */
  get usedWords(): number {
    return this.#words.count;
  }

  #writeRecords(
    outlines: ProgramOutlines,
    chains: Chains,
    made: ReadonlyMap<ProgramPart, PartRows>,
    classRows: ClassRows,
  ): void {
    const words = this.#words;
    const { all: programs } = outlines;
    words.set(ProgramHeader.programCount, programs.length);
    for (const [place, direction] of DIRECTIONS.entries())
      words.set(ProgramHeader.first + place, firstOf(programs, direction));
    let further = programs.length; // records that continue others
    for (const [index, outline] of programs.entries()) {
      const { firstOutcome, links } = chains.chains[index]!; // one for each program
      for (const [l, { part, base, blockMask }] of links.entries()) {
        const record = l === 0 ? index : further - 1;
        const put = (name: keyof typeof ProgramField, value: number): void =>
          words.set(PROGRAM_HEADER_WORDS + record * PROGRAM_WORDS + ProgramField[name], value);
        const rows = made.get(part)!; // all parts of chains are made
        put('rows', rows.rows);
        put('classMask', rows.classMask);
        put('base', base);
        put('noMatch', l + 1 < links.length ? ~further++ : otherwiseCode(outline, firstOutcome));
        put('wildcards', rows.wildcards);
        put('firstOutcome', firstOutcome);
        put('policy', outline.policy === undefined ? -1 : outlines.policies.indexOf(outline.policy));
        put('direction', DIRECTIONS.indexOf(outline.direction));
        put('exceptionsBlock', outline.exceptions);
        put('commonBlock', outline.common);
        put('ownBlock', outline.own);
        put('blockMask', blockMask);
        const isOneLoad = !classRows.isPaged && (rows.kind === 'rows' || rows.kind === 'one');
        put('isPlain', part.isPlain && isOneLoad ? 1 : 0);
      }
    }
    words.set(ProgramHeader.recordCount, further);
    const nobody = classRows.append(Int32Array.of(~NO_VERDICT_CODE));
    words.set(PROGRAM_HEADER_WORDS + further * PROGRAM_WORDS + ProgramField.rows, nobody);
  }

  /** Writes the records of blocks, and what has which label; returns the names of lists. */
  #writeBlocks(blocks: readonly Block[], labels: Labels): readonly string[] {
    const words = this.#words;
    const records = words.take(blocks.length * BLOCK_WORDS, 0);
    words.set(ProgramHeader.blocks, records);
    const places = new Map<string, number>();
    const known = new Map<number, number>(); // by runs: which labels have as many
    for (const [index, { policy, runs }] of blocks.entries()) {
      const put = (name: keyof typeof BlockField, value: number): void =>
        words.set(records + index * BLOCK_WORDS + BlockField[name], value);
      const hasLists = runs.forms.some(({ remote }) => remote.kind === 'list');
      const room = labels.room(runs.count);
      const runsAt = known.get(runs.count) ?? words.take(room, -1);
      known.set(runs.count, runsAt);
      const listsAt = hasLists ? words.take(room, -1) : -1;
      put('policy', policy);
      put('runCount', runs.count);
      put('room', room);
      put('runs', runsAt);
      put('lists', listsAt);
      for (let run = 0; run < runs.count; run++) {
        words.set(runsAt + labels.of(run), run);
        const { remote } = formAt(runs, run);
        if (remote.kind !== 'list') continue;
        const place = places.get(remote.list) ?? places.size;
        places.set(remote.list, place);
        words.set(listsAt + labels.of(run), place);
      }
    }
    return [...places.keys()];
  }
}

/** A program's records: their parts, and the base of the codes of each. */
interface Chain {
  readonly firstOutcome: number;
  readonly links: readonly {
    readonly part: ProgramPart;
    readonly base: number;
    readonly blockMask: number;
  }[];
}

/** The parts of all programs, each once, and how they hang together. */
class Chains {
  readonly chains: readonly Chain[];
  /** One more than the largest outcome. */
  readonly outcomeCount: number;
  readonly runCount: number;
  readonly labels: Labels;
  readonly #outlines: ProgramOutlines;
  readonly #isJoined: boolean;
  readonly #byHash = new Map<number, ProgramPart[]>();
  readonly #byBlocks = new Map<string, ProgramPart>();

  constructor(outlines: ProgramOutlines, rowsEach: number, outcomesMax: number) {
    this.#outlines = outlines;
    this.#isJoined = outlines.all.length * rowsEach <= JOINED_ROWS;
    const sum = (count: (runs: number) => number): number =>
      outlines.all.reduce((all, outline) => all + this.#sumOf(outline, count), 0);
    const most = outcomesMax - 1 - outlines.all.length; // outcome 0 would make code 0, and each has a default
    this.runCount = sum(DENSE.room);
    if (this.runCount > most)
      throw new TableLimitError(TableLimitCode.outcomes, outcomesMax, 'runs over all policies');
    this.labels = sum(SPACED.room) > most ? DENSE : SPACED;
    let firstOutcome = 1;
    this.chains = outlines.all.map((outline) => {
      const chain = this.#chain(outline, firstOutcome);
      firstOutcome += 1 + this.#sumOf(outline, this.labels.room);
      return chain;
    });
    this.outcomeCount = firstOutcome;
  }

  /** Over the blocks of a program. */
  #sumOf(outline: ProgramOutline, count: (runs: number) => number): number {
    return blocksOf(outline).reduce((sum, block) => sum + this.#labelled(block, count), 0);
  }

  #labelled(block: number, count: (runs: number) => number): number {
    const found = this.#outlines.blocks[block];
    return found === undefined ? 0 : count(found.runs.count);
  }

  #chain(outline: ProgramOutline, firstOutcome: number): Chain {
    const base = firstOutcome << CODE_ACTION_BITS;
    if (this.#isJoined || this.#labelled(outline.common, DENSE.room) === 0) {
      const byDefault = outline.otherwise === 'none' ? NO_MATCH : actionCode(outline.otherwise);
      return {
        firstOutcome,
        links: [{ part: this.#part(blocksOf(outline), byDefault), base, blockMask: ALL_BLOCKS }],
      };
    }
    let outcome = firstOutcome; // one below that of the block's first label
    const links = blocksOf(outline).flatMap((block, place) => {
      const blockBase = outcome << CODE_ACTION_BITS;
      outcome += this.#labelled(block, this.labels.room);
      const part = this.#part([block], NO_MATCH);
      const isAsked = part.asksAddress || part.wildcards.length > 0;
      return isAsked ? [{ part, base: blockBase, blockMask: 1 << place }] : [];
    });
    const none = { part: this.#part([], NO_MATCH), base, blockMask: 0 };
    return { firstOutcome, links: links.length > 0 ? links : [none] };
  }

  #part(blocks: readonly number[], byDefault: number): ProgramPart {
    const key = `${blocks.join()} ${byDefault}`;
    let part = this.#byBlocks.get(key);
    if (part === undefined) {
      part = this.#known(
        new ProgramPart(
          blocks.flatMap((block) => this.#blocks(block)),
          byDefault,
          this.labels,
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

  #blocks(block: number): readonly Block[] {
    const found = this.#outlines.blocks[block];
    return found === undefined ? [] : [found];
  }
}

/** The place of the program of the policy `first`, or -1. */
function firstOf(programs: readonly ProgramOutline[], direction: Direction): number {
  return programs.findIndex((one) => one.policy?.name === FIRST_POLICY && one.direction === direction);
}

/** The code of a program if no run matches. */
function otherwiseCode({ otherwise }: ProgramOutline, firstOutcome: number): number {
  if (otherwise === 'none') return NO_VERDICT_CODE;
  return (firstOutcome << CODE_ACTION_BITS) | actionCode(otherwise);
}

function actionCode(action: Action): number {
  return action === 'accept' ? CodeAction.accept : CodeAction.drop;
}
