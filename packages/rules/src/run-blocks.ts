/**
 * Blocks of runs and the blocks that were made of them: what both begin and end with, and what can be told of
 * one from the other, so that one rule of 2^18 costs little more than itself.
 */

/** An immutable block of runs, whatever these are. */
type Block<Run> = readonly Run[];

/** How many runs two blocks begin and end with that are the same objects. */
export interface CommonEnds {
  readonly head: number;
  readonly tail: number;
}

/** What a block was made of. */
export interface MadeOf<Run> extends CommonEnds {
  readonly of: Block<Run>;
}

/**
 * Of so few runs everything is found out faster than remembered: ten thousand policies have forty thousand
 * blocks.
 */
const FEW_RUNS = 16;

/** The block before is not kept for its successor's sake: there may be a long line of them. */
const known = new WeakMap<Block<unknown>, CommonEnds & { readonly of: WeakRef<Block<unknown>> }>();

const NONE: CommonEnds = { head: 0, tail: 0 };

/**
 * Looked for once for each immutable block and the one before it, from `sure` on: whoever made the one of the
 * other knows of so many.
 */
export function commonEnds(before: Block<unknown>, after: Block<unknown>, sure = NONE): CommonEnds {
  const made = known.get(after);
  if (made?.of.deref() === before) return made;
  const least = Math.min(before.length, after.length);
  let { head, tail } = sure;
  while (head < least - tail && before[head] === after[head]) head++;
  while (tail < least - head && before[before.length - 1 - tail] === after[after.length - 1 - tail]) tail++;
  const ends = { head, tail };
  if (before !== after && after.length > FEW_RUNS) known.set(after, { of: new WeakRef(before), ...ends });
  return ends;
}

/** The block that it was compared with last, if that is there. */
export function madeOf<Run>(runs: Block<Run>): MadeOf<Run> | undefined {
  const made = known.get(runs);
  const of = made?.of.deref() as Block<Run> | undefined; // of the same runs
  return made === undefined || of === undefined ? undefined : { of, head: made.head, tail: made.tail };
}

/**
 * Something about blocks that is found out once for each: from all of its runs, or where it is known of the
 * block that it was made of, `after` that.
 */
export function factOfBlocks<Run, T>(
  whole: (runs: Block<Run>) => T,
  after: (before: T, made: MadeOf<Run>, runs: Block<Run>) => T,
): (runs: Block<Run>) => T {
  const facts = new WeakMap<Block<Run>, { readonly fact: T }>();
  return (runs) => {
    if (runs.length <= FEW_RUNS) return whole(runs);
    const own = facts.get(runs);
    if (own !== undefined) return own.fact;
    const made = madeOf(runs);
    const before = made && facts.get(made.of);
    const fact = made === undefined || before === undefined ? whole(runs) : after(before.fact, made, runs);
    facts.set(runs, { fact });
    return fact;
  };
}

/** A sum over the runs of a block. */
export function sumOfBlocks<Run>(of: (run: Run) => number): (runs: Block<Run>) => number {
  const sum = (runs: Block<Run>, first: number, end: number): number => {
    let total = 0;
    for (let at = first; at < end; at++) total += of(runs[at]!); // within the runs
    return total;
  };
  return factOfBlocks(
    (runs) => sum(runs, 0, runs.length),
    (before, made, runs) =>
      before -
      sum(made.of, made.head, made.of.length - made.tail) +
      sum(runs, made.head, runs.length - made.tail),
  );
}

/** What the runs of a block mention, each once. */
export function mentionsOfBlocks<Run, T>(
  of: (run: Run) => T | undefined,
): (runs: Block<Run>) => ReadonlySet<T> {
  const none: ReadonlySet<T> = new Set(); // most blocks mention nothing
  const within = (runs: Block<Run>, first: number, end: number): ReadonlySet<T> => {
    let mentions: Set<T> | undefined;
    for (let at = first; at < end; at++) {
      const mention = of(runs[at]!); // within the runs
      if (mention !== undefined) mentions = (mentions ?? new Set()).add(mention);
    }
    return mentions ?? none;
  };
  return factOfBlocks<Run, ReadonlySet<T>>(
    (runs) => within(runs, 0, runs.length),
    (before, made, runs) => {
      const gone = within(made.of, made.head, made.of.length - made.tail);
      if (gone.size > 0) return within(runs, 0, runs.length); // others may mention it as well
      const added = within(runs, made.head, runs.length - made.tail);
      return added.size === 0 ? before : new Set([...before, ...added]);
    },
  );
}
