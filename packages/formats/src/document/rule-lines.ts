/**
 * Files of bare rule lines, as `qvm-firewall VM list --raw` prints them: one rule a line, blank lines and `#`
 * lines between them.
 *
 * Lines that differ from one before only in the address of their remote side are the bulk of long files. They
 * are recognised by their bytes and read without a string; the rule parser reads all other lines, and all
 * refused ones.
 */

import {
  type Direction,
  FIRST_ACCEPTS,
  formatRule,
  newPrefixScratch,
  type PrefixScratch,
  parsePrefixBytes,
  parseRule,
  type Rule,
  type RuleMatch,
  RuleSetProblemCode,
  RunBuilder,
  type Runs,
} from '@rulecast/rules';
import { SHOWN_RULES } from '../list/detect-file.ts';
import { COLON, EQUALS, FOUR, HASH, SPACE } from '../text/ascii.ts';
import { columnAt, lineEndAt, lineFault, nextLineAt, skipBlanks, textStart } from '../text/bytes.ts';
import type { EntrySink } from '../text/entry.ts';
import { type FormatLimits, withLimits } from '../text/limits.ts';
import { type Reject, RejectLog, TextFault } from '../text/reject.ts';

/** The first letters of the options that name the remote side. */
const REMOTE_STEM = { egress: 'dst', ingress: 'src' } as const;
const NOT_RAW = 'this is the table of qvm-firewall: take the lines of `qvm-firewall QUBE list --raw`';
/** Kinds of lines that are recognised at once. Our choice: more take as long to compare as to parse. */
const MODELS_MAX = 16;
/** Longer lines are left to the rule parser, which has a limit of its own. */
const MODEL_MAX_BYTES = 1024;

export interface RuleLinesOptions {
  /** Receives each rule; `canonical` makes its line. */
  readonly onEntry?: EntrySink;
  /** Receives every reject, even those not kept. */
  readonly onReject?: (reject: Reject) => void;
  readonly limits?: Partial<FormatLimits>;
  /** For the policy `first`: an accept is refused. */
  readonly dropsOnly?: boolean;
}

export interface RuleLines {
  readonly runs: Runs;
  readonly ruleCount: number;
  /** The first rejects, in the order of the text. */
  readonly rejects: readonly Reject[];
  readonly rejectCount: number;
  readonly lineCount: number;
}

/**
 * Reads a file of rule lines. `now` is in seconds since 1970; `expire=+SECONDS` counts from it. Never throws
 * on account of the bytes.
 */
export function parseRuleLines(
  bytes: Uint8Array,
  direction: Direction,
  now: number,
  options: RuleLinesOptions = {},
): RuleLines {
  return new RuleLinesReader(bytes, direction, now, options).read();
}

class RuleLinesReader {
  readonly #bytes: Uint8Array;
  readonly #direction: Direction;
  readonly #now: number;
  readonly #limits: FormatLimits;
  readonly #onEntry: EntrySink | undefined;
  readonly #dropsOnly: boolean;
  readonly #rejects: RejectLog;
  readonly #runs = new RunBuilder();
  readonly #decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  readonly #scratch = newPrefixScratch();
  /** Models of earlier lines, the last used first. */
  readonly #models: LineModel[] = [];
  #ruleCount = 0;
  #line = 0; // number of the present line
  /** The rest is for people, too, so one refusal is enough. */
  #isShown = false;

  constructor(bytes: Uint8Array, direction: Direction, now: number, options: RuleLinesOptions) {
    this.#bytes = bytes;
    this.#direction = direction;
    this.#now = now;
    this.#limits = withLimits(options.limits);
    this.#onEntry = options.onEntry;
    this.#dropsOnly = options.dropsOnly === true;
    this.#rejects = new RejectLog(this.#limits.rejectsKept, options.onReject);
  }

  read(): RuleLines {
    const bytes = this.#bytes;
    const text = textStart(bytes, this.#limits.inputBytes);
    if (text.kind === 'fault') this.#rejects.add(text.reject);
    else {
      for (let at = text.start; at < bytes.length; ) {
        const end = lineEndAt(bytes, at);
        this.#line++;
        if (!this.#readLikeModel(at, end)) this.#readLine(at, end);
        if (this.#isOverfull() || this.#isShown) break;
        at = nextLineAt(bytes, end);
      }
    }
    return {
      runs: this.#runs.build(),
      ruleCount: this.#ruleCount,
      rejects: this.#rejects.kept,
      rejectCount: this.#rejects.count,
      lineCount: this.#line,
    };
  }

  #isOverfull(): boolean {
    if (this.#ruleCount <= this.#limits.entries) return false;
    const reason = `more than ${this.#limits.entries} rules: put the addresses into a list and use it with ${REMOTE_STEM[this.#direction]}=@LIST`;
    this.#rejects.add({ line: this.#line, column: 1, code: TextFault.tooManyEntries, reason });
    return true;
  }

  /**
   * Reads the line if it differs from one before only in its address. Returns false, having done nothing, if
   * not.
   */
  #readLikeModel(start: number, end: number): boolean {
    const scratch = this.#scratch;
    if (end - start > this.#limits.lineBytes) return false;
    const models = this.#models;
    const at = models.findIndex((model) => readByModel(this.#bytes, start, end, model, scratch));
    const model = models[at];
    if (model === undefined) return false;
    models.copyWithin(1, 0, at);
    models[0] = model;
    this.#runs.pushPrefix(model.match, scratch.family, scratch.words, 0, scratch.length);
    this.#ruleCount++;
    return true;
  }

  #readLine(start: number, end: number): void {
    const bytes = this.#bytes;
    const line = this.#line;
    const unreadable = lineFault(bytes, start, end, line, this.#limits);
    if (unreadable !== undefined) {
      this.#rejects.add(unreadable);
      return;
    }
    const from = skipBlanks(bytes, start, end);
    if (from === end || bytes[from] === HASH) return;
    const text = this.#decoder.decode(bytes.subarray(start, end));
    if (SHOWN_RULES.test(text)) {
      this.#isShown = true;
      this.#rejects.add({ line, column: 1, code: 'not-raw', reason: NOT_RAW });
      return;
    }
    const result = parseRule(text, this.#direction, this.#now);
    if (result.kind === 'fault') {
      this.#rejects.add({ line, column: result.column, code: result.code, reason: result.reason });
      return;
    }
    const { rule } = result;
    if (this.#dropsOnly && rule.action !== 'drop') {
      const column = columnAt(bytes, start, from);
      this.#rejects.add({ line, column, code: RuleSetProblemCode.reservedPolicy, reason: FIRST_ACCEPTS });
      return;
    }
    this.#runs.push(rule);
    this.#ruleCount++;
    const model = this.#onEntry === undefined ? modelOf(bytes, start, end, rule, this.#direction) : undefined;
    if (model !== undefined) this.#models.unshift(model);
    if (this.#models.length > MODELS_MAX) this.#models.pop();
    this.#onEntry?.(line, columnAt(bytes, start, from), () => formatRule(rule, this.#direction));
  }
}

/**
 * A line that was read: head, address, tail. A line with the same head and tail means the same but for the
 * address.
 */
interface LineModel {
  readonly match: RuleMatch;
  readonly head: Uint8Array;
  readonly tail: Uint8Array;
  /** The family that `dst4=` or `dst6=` in the head requires. */
  readonly family: 4 | 6;
}

/** The model of a line with a literal address. */
function modelOf(
  bytes: Uint8Array,
  start: number,
  end: number,
  rule: Rule,
  direction: Direction,
): LineModel | undefined {
  const { remote, ...match } = rule;
  if (remote.kind !== 'prefix' || end - start > MODEL_MAX_BYTES) return undefined;
  // The rule parser took the line, so its first token of this form is the remote side: a comment, which is
  // last, holds no "=".
  const stem = REMOTE_STEM[direction];
  for (let at = start; at < end; at++) {
    if (at > start && bytes[at - 1] !== SPACE) continue;
    const digit = bytes[at + 3];
    const isRemote =
      bytes[at] === stem.charCodeAt(0) &&
      bytes[at + 1] === stem.charCodeAt(1) &&
      bytes[at + 2] === stem.charCodeAt(2) &&
      (digit === FOUR || digit === FOUR + 2) &&
      bytes[at + 4] === EQUALS;
    if (!isRemote) continue;
    const valueAt = at + 5;
    const valueEnd = tokenEndAt(bytes, valueAt, end);
    return {
      match,
      head: bytes.subarray(start, valueAt),
      tail: bytes.subarray(valueEnd, end),
      family: digit === FOUR ? 4 : 6,
    };
  }
  return undefined; // written as dsthost=ADDRESS
}

function readByModel(
  bytes: Uint8Array,
  start: number,
  end: number,
  model: LineModel,
  out: PrefixScratch,
): boolean {
  const { head, tail } = model;
  const valueAt = start + head.length;
  const tailAt = end - tail.length;
  if (valueAt >= tailAt || end - start > MODEL_MAX_BYTES) return false;
  for (let i = 0; i < head.length; i++) if (bytes[start + i] !== head[i]) return false;
  for (let i = 0; i < tail.length; i++) if (bytes[tailAt + i] !== tail[i]) return false;
  if (parsePrefixBytes(bytes, valueAt, tailAt, out) !== undefined || out.family !== model.family)
    return false;
  // An IPv4-mapped address after dst4= comes out as IPv4 and is refused all the same.
  if (model.family === 4) for (let i = valueAt; i < tailAt; i++) if (bytes[i] === COLON) return false;
  return true;
}

function tokenEndAt(bytes: Uint8Array, from: number, end: number): number {
  let at = from;
  while (at < end && bytes[at] !== SPACE) at++;
  return at;
}
