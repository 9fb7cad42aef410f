/**
 * Which runs of a block are which of another, so that what is counted for them goes on: those that say the
 * same, wherever they stand, and those of which only the addresses are others, after the same run as before.
 */

import { atOnce, commonEnds, type Pieces, type Run, sameMatch, sameRun } from '@rulecast/rules';

/** Our choice: runs of one hash that are looked at for one; the hash tells all apart that people write. */
const LOOKS_MAX = 64;
const GOLDEN = 0x9e3779b1;
/** Our choice: runs that are looked at in a piece, each in places of memory of its own: 10 ms at most. */
const PIECE_LOOKS = 4096;

/** When a piece of looks at runs is over. */
export class Looks {
  #left = PIECE_LOOKS;

  /** One more run is looked at: whether the piece is over with it. */
  get isOver(): boolean {
    if (--this.#left > 0) return false;
    this.#left = PIECE_LOOKS;
    return true;
  }
}

/** By run of the one, its place in the other, or -1. */
export function pairedRuns(before: readonly Run[], after: readonly Run[]): Int32Array {
  return atOnce(pairedRunPieces(before, after, new Looks()));
}

/** The same in pieces: 2^18 runs that are all others take 0.7 s. */
export function* pairedRunPieces(
  before: readonly Run[],
  after: readonly Run[],
  looks: Looks,
): Pieces<Int32Array> {
  const pairs = new Int32Array(before.length);
  const shift = after.length - before.length;
  const [head, tail] = yield* sameEndPieces(before, after, looks);
  const end = before.length - tail;
  const between = yield* pairPiecesBetween(before.slice(head, end), after.slice(head, end + shift), looks);
  for (let run = 0; run < head; run++) pairs[run] = run;
  for (let run = head; run < end; run++)
    pairs[run] = between[run - head]! < 0 ? -1 : head + between[run - head]!; // as long
  for (let run = end; run < before.length; run++) pairs[run] = run + shift;
  return pairs;
}

/** The same between what both begin and end with. */
function* pairPiecesBetween(before: readonly Run[], after: readonly Run[], looks: Looks): Pieces<Int32Array> {
  const pairs = new Int32Array(before.length).fill(-1);
  const taken = new Uint8Array(after.length);
  const pair = (run: number, other: number): void => {
    pairs[run] = other;
    taken[other] = 1;
  };
  const isSame = (run: number, other: number): boolean =>
    run < before.length && other < after.length && sameRun(before[run]!, after[other]!); // so they are there
  // In their order, where one came, went or gave way to another.
  for (let run = 0, other = 0; run < before.length && other < after.length; run++, other++) {
    if (looks.isOver) yield;
    if (isSame(run, other)) pair(run, other);
    else if (isSame(run + 1, other)) other--;
    else if (isSame(run, other + 1)) run--;
  }
  const index = new RunIndex(after);
  for (let run = after.length - 1; run >= 0; run--) {
    if (looks.isOver) yield;
    if (taken[run] === 0) index.add(run);
  }
  for (let run = 0; run < before.length; run++) {
    if (looks.isOver) yield;
    const other = pairs[run]! < 0 ? index.take(before[run]!) : -1; // run < length, as below
    if (other >= 0) pair(run, other);
  }
  for (let run = 0; run < before.length; run++) {
    if (looks.isOver) yield;
    const next = run === 0 ? 0 : pairs[run - 1]! + 1; // 0: after none
    const isNext = pairs[run]! < 0 && taken[next] === 0 && (run === 0 || next > 0);
    if (isNext && isAkin(before[run]!, after[next]!)) pair(run, next); // what is not taken is there
  }
  return pairs;
}

/** How many runs two blocks begin and end with that say the same. */
export function sameEnds(
  runs: readonly Run[],
  others: readonly Run[],
): readonly [head: number, tail: number] {
  return atOnce(sameEndPieces(runs, others, new Looks()));
}

function* sameEndPieces(
  runs: readonly Run[],
  others: readonly Run[],
  looks: Looks,
): Pieces<readonly [head: number, tail: number]> {
  if (runs === others) return [runs.length, 0];
  let { head, tail } = commonEnds(runs, others);
  const least = Math.min(runs.length, others.length);
  for (; head + tail < least && sameRun(runs[head]!, others[head]!); head++) if (looks.isOver) yield; // within both, as below
  const isSameTail = (): boolean => sameRun(runs[runs.length - 1 - tail]!, others[others.length - 1 - tail]!);
  for (; head + tail < least && isSameTail(); tail++) if (looks.isOver) yield;
  return [head, tail];
}

/** Whether only the addresses of two runs are others. */
function isAkin({ match, remote }: Run, other: Run): boolean {
  return (
    remote.kind === 'prefixes' &&
    other.remote.kind === 'prefixes' &&
    remote.prefixes.family === other.remote.prefixes.family &&
    sameMatch(match, other.match)
  );
}

/** Runs by what they say, those that say the same in their order. */
class RunIndex {
  readonly #runs: readonly Run[];
  readonly #heads: Int32Array; // by the low bits of the hash: a run, or -1
  readonly #next: Int32Array; // by run: the next in the chain, or -1

  constructor(runs: readonly Run[]) {
    this.#runs = runs;
    this.#heads = new Int32Array(2 ** Math.ceil(Math.log2(runs.length + 1))).fill(-1);
    this.#next = new Int32Array(runs.length);
  }

  /** To be called from the last run that may be taken to the first. */
  add(run: number): void {
    const slot = this.#slotOf(this.#runs[run]!); // the caller's run
    this.#next[run] = this.#heads[slot]!; // a slot
    this.#heads[slot] = run;
  }

  /** A run that says the same, which is not given again; -1 if there is none. */
  take(wanted: Run): number {
    const slot = this.#slotOf(wanted);
    let prior = -1;
    let run = this.#heads[slot]!; // a slot
    for (let looks = 0; run >= 0 && looks < LOOKS_MAX; looks++) {
      const next = this.#next[run]!; // a run, here and below
      if (sameRun(this.#runs[run]!, wanted)) {
        if (prior < 0) this.#heads[slot] = next;
        else this.#next[prior] = next;
        return run;
      }
      prior = run;
      run = next;
    }
    return -1;
  }

  #slotOf(run: Run): number {
    return hashOf(run) & (this.#heads.length - 1);
  }
}

function hashOf({ match, remote }: Run): number {
  const { action, proto, dns, ports, icmpType, expire, comment } = match;
  let hash = mixedText(dns ? 1 : 0, `${action}${proto ?? ''}`);
  for (const asked of [ports?.first, ports?.last, icmpType, expire]) hash = mixed(hash, asked ?? -1);
  if (comment !== undefined) hash = mixedText(hash, comment);
  if (remote.kind === 'list') return mixedText(hash, remote.list);
  if (remote.kind === 'name') return mixedText(hash, remote.name);
  if (remote.kind === 'any') return hash;
  const { words, lengths } = remote.prefixes;
  hash = mixed(mixed(hash, lengths.length), lengths[0] ?? 0);
  const most = Math.min(words.length, 4); // of the first one and the last
  for (let w = 0; w < most; w++) hash = mixed(mixed(hash, words[w]!), words[words.length - 1 - w]!); // below the length
  return hash;
}

function mixedText(hash: number, text: string): number {
  let mix = hash;
  for (let i = 0; i < text.length; i++) mix = mixed(mix, text.charCodeAt(i));
  return mix;
}

function mixed(hash: number, part: number): number {
  const product = Math.imul(hash ^ part, GOLDEN);
  return product ^ (product >>> 15);
}
