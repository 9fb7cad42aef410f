/** The timings of the watch over files. */

/** Our choice. */
export const WATCH_LIMITS = {
  /** A file is whole when nothing has been heard of it for so long, */
  settleMs: 500,
  /** and it is still the same so much later. */
  pollMs: 100,
  /** A file that does not come to rest is reported at last: its reader finds out the reason. */
  settleMaxMs: 30_000,
  /** A file that vanishes may be on its way back: editors remove and create. */
  goneMs: 1000,
  /** A look at everything, for file systems that tell nothing, such as those of a network. */
  recheckMs: 60_000,
  /** Links on the way to a file before it counts as a circle; Linux follows as many. */
  links: 40,
} as const;
