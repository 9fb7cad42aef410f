/**
 * Labels: the numbers by which the runs of a block are counted and compared. They ascend in the order of
 * runs, with gaps, so that a run added later gets a number between those of its neighbours, and few or none
 * of the others change (edit/programs.ts).
 */

/** Free ones before the first run. Our choice, as those below: many rules come at the top. */
const FREE_BEFORE = 4;
const FREE_AFTER = 4;
/** One is left free after 2 ** this many runs, which is the part that hit counters take more for it. */
const FREE_SHIFT = 3;

/** The numbering of the runs of blocks at a compile. */
export interface Labels {
  /** The number of labels of a block with so many runs. */
  readonly room: (runs: number) => number;
  readonly of: (run: number) => number;
}

export const SPACED: Labels = {
  room: (runs) => FREE_BEFORE + runs + (runs >> FREE_SHIFT) + FREE_AFTER,
  of: (run) => FREE_BEFORE + run + (run >> FREE_SHIFT),
};

/** With none left free: where there would be too many. */
export const DENSE: Labels = { room: (runs) => runs, of: (run) => run };

/** Runs that may be relabelled for an added one. Our choice: the rows of each are made again. */
const MOVED_MAX = 512;

/**
 * The labels of a block in which the runs [first, first + removed) were replaced by `added` others; undefined
 * if there is no room. Few of the other labels change.
 */
export function relabelled(
  labels: Int32Array,
  first: number,
  removed: number,
  added: number,
  room: number,
): Int32Array | undefined {
  const after = new Int32Array(labels.length - removed + added);
  after.set(labels.subarray(0, first));
  after.set(labels.subarray(first + removed), first + added);
  if (added === 0) return after;
  let from = first; // the runs [from, to) get labels within (below, above)
  let to = first + added;
  for (;;) {
    const below = from === 0 ? -1 : after[from - 1]!; // from - 1 < length
    const above = to === after.length ? room : after[to]!; // to < length
    const free = above - below - 1;
    if (free >= to - from) {
      const step = (free + 1) / (to - from + 1);
      for (let run = from; run < to; run++) after[run] = below + Math.floor(step * (run - from + 1));
      return after;
    }
    if (to - from >= MOVED_MAX + added || (from === 0 && to === after.length)) return undefined;
    from = Math.max(0, from - (to - from));
    to = Math.min(after.length, to + (to - from));
  }
}
