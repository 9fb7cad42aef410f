/**
 * The limits of a download, and the timeouts of its fetcher. Each limit is checked before the work that it
 * bounds.
 */

/** Our choice, for a link that may be Tor and a feed of any quality. */
export const FETCH_LIMITS = {
  /** Longest URL, in characters: the limit of common servers. */
  urlChars: 8192,
  /** Redirects followed in one attempt. Real feeds need one or two; a CDN with a signed address three. */
  redirects: 8,
  /**
   * Tries of one fetch: after the first, each waits twice as long as the one before. A timeout ends them: it
   * has cost enough.
   */
  attempts: 4,
  /** The wait before the second try, on average half of it; see `FetcherOptions.random`. */
  backoffMs: 1000,
  /**
   * The longest wait between two tries. A server that asks for more (Retry-After) is left to the schedule.
   */
  backoffMaxMs: 60_000,
  /** The time for a connection, TLS included. */
  connectMs: 15_000,
  /** Between two pieces of a body; a whole attempt is bounded by the request. */
  idleMs: 30_000,
  /** A body must bring at least so much in each such time: 512 B/s, which Tor reaches at its worst. */
  leastSpeed: { bytes: 10_240, windowMs: 20_000 },
  /** Size of all headers of one answer. */
  headerBytes: 32 * 1024,
} as const;
