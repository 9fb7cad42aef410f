/** The timings of the watch over files. */

/** Our choice. */
export const WATCH_LIMITS = {
  /** A file is whole after so long without an event, */
  settleMs: 500,
  /** and it is still the same so much later. */
  pollMs: 100,
  /** A file that does not come to rest is reported at last: its reader finds out the reason. */
  settleMaxMs: 30_000,
  /** A file that vanishes may come back: editors remove and create. */
  goneMs: 1000,
  /** The interval of looks at everything, for file systems without events, such as network ones. */
  recheckMs: 60_000,
  /** Links on the way to a file before it counts as a circle; Linux follows as many. */
  links: 40,
} as const;
