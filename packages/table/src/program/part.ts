/**
 * Parts: the runs of one record of the programs, as columns, for making nodes. A program has one part, or a
 * chain of them: its exceptions, `common` and its own.
 *
 * Codes are relative: the run with label l has outcome l + 1, the labels of its blocks being one after the
 * other, so that parts of equal runs are one part.
 */

import { ACCEPTS, ALL_PROTOS, ASKS_DETAIL, ASKS_DNS, checksOf, rangeOf } from '../classes/match-checks.ts';
import { ANY_ADDRESS, NO_ADDRESS } from '../classes/predicate.ts';
import type { Labels } from './labels.ts';
import type { Block } from './outline.ts';
import { CODE_ACTION_BITS, CodeAction, NO_MATCH } from './program.ts';

/** Runs in their order, as making nodes reads them. */
export interface Candidates {
  /** By position, as `checksOf` and `rangeOf` have them. */
  readonly checks: ArrayLike<number>;
  readonly ranges: ArrayLike<number>;
  /** By position: outcome and action, relative to the part's. */
  codeOf(position: number): number;
}

/** Whether the run at a position matches whatever a packet has besides its remote address. */
export function asksNothing({ checks }: Pick<Candidates, 'checks'>, position: number): boolean {
  return (checks[position]! & (ALL_PROTOS | ASKS_DETAIL)) === ALL_PROTOS; // a position of the part
}

/** The relative code of a run, by its label among those of its part, and its checks. */
export function codeOfRun(label: number, checks: number): number {
  return ((label + 1) << CODE_ACTION_BITS) | ((checks & ACCEPTS) === 0 ? CodeAction.drop : CodeAction.accept);
}

export class ProgramPart implements Candidates {
  readonly count: number;
  /**
   * By position: a predicate, ANY_ADDRESS, or NO_ADDRESS for what is never reached.
   */
  readonly predicates: Int32Array;
  readonly checks: Uint8Array;
  readonly ranges: Uint32Array;
  /** By position: the index of its label among those of all blocks of the part. */
  readonly labels: Int32Array;
  /** Positions of the runs for any address, to the first that asks nothing. */
  readonly wildcards: Int32Array;
  /** The decision if no run matches: a relative code, or NO_MATCH if the record has it. */
  readonly defaultCode: number;
  /** Whether any run has an address condition of its own. */
  readonly asksAddress: boolean;
  /** Whether any run has both an address condition and the DNS condition. */
  readonly asksDns: boolean;
  /**
   * Whether no run asks for a protocol or more, so that every class, also one that comes later, has a code
   * for its row.
   */
  readonly isPlain: boolean;
  /** A hash of all fields above. */
  readonly hash: number;

  constructor(blocks: readonly Block[], defaultCode: number, labels: Labels) {
    this.defaultCode = defaultCode;
    this.count = blocks.reduce((sum, { runs }) => sum + runs.count, 0);
    this.predicates = new Int32Array(this.count);
    this.checks = new Uint8Array(this.count);
    this.ranges = new Uint32Array(this.count);
    this.labels = new Int32Array(this.count);
    let at = 0;
    let firstLabel = 0;
    for (const { runs, predicates } of blocks) {
      this.predicates.set(predicates, at);
      const checks = runs.forms.map(({ match }) => checksOf(match));
      const ranges = runs.forms.map(({ match }) => rangeOf(match));
      for (let run = 0; run < runs.count; run++) {
        const form = runs.formOf[run]!; // a run and its form
        this.checks[at + run] = checks[form]!;
        this.ranges[at + run] = ranges[form]!;
        this.labels[at + run] = firstLabel + labels.of(run);
      }
      at += runs.count;
      firstLabel += labels.room(runs.count);
    }
    const wildcards: number[] = [];
    let end = this.count; // of the reachable runs
    let dnsRuns = 0;
    let isPlain = true;
    for (let p = 0; p < this.count; p++) {
      const predicate = this.predicates[p]!; // p < count, as all positions below
      if (p >= end) this.predicates[p] = NO_ADDRESS;
      if (this.predicates[p] === NO_ADDRESS) continue;
      if (!asksNothing(this, p)) isPlain = false;
      if (predicate === ANY_ADDRESS) {
        wildcards.push(p);
        if (asksNothing(this, p)) end = p + 1;
      } else {
        if ((this.checks[p]! & ASKS_DNS) !== 0) dnsRuns++;
      }
    }
    this.wildcards = Int32Array.from(wildcards);
    this.asksAddress = this.predicates.some((predicate) => predicate >= 0);
    this.asksDns = dnsRuns > 0;
    this.isPlain = isPlain && (defaultCode !== NO_MATCH || this.wildcardsEnd !== NO_MATCH);
    this.hash = this.#hashOf();
  }

  codeOf(position: number): number {
    return codeOfRun(this.labels[position]!, this.checks[position]!); // p < count
  }

  /** The decision if no wildcard with checks matches. */
  get wildcardsEnd(): number {
    const last = this.wildcards.at(-1);
    return last !== undefined && asksNothing(this, last) ? this.codeOf(last) : NO_MATCH;
  }

  /** Whether another part of the same classes decides alike. */
  sameAs(other: ProgramPart): boolean {
    if (other.hash !== this.hash || other.count !== this.count) return false;
    if (other.defaultCode !== this.defaultCode || other.wildcards.length !== this.wildcards.length)
      return false;
    for (let p = 0; p < this.count; p++) {
      if (other.predicates[p] !== this.predicates[p] || other.checks[p] !== this.checks[p]) return false;
      if (other.ranges[p] !== this.ranges[p] || other.labels[p] !== this.labels[p]) return false;
    }
    return true;
  }

  #hashOf(): number {
    let hash = mix(this.defaultCode, this.wildcards.length);
    for (let p = 0; p < this.count; p++) {
      hash = mix(mix(hash, this.predicates[p]!), this.ranges[p]! ^ (this.checks[p]! << 13));
    }
    return hash;
  }
}

function mix(hash: number, value: number): number {
  const mixed = Math.imul(hash ^ value, 0x9e3779b1);
  return mixed ^ (mixed >>> 15);
}
