/**
 * What the sources take at most, and how patient they are. Every limit is checked before the work that it bounds; what a list may
 * hold is a limit of the formats and of the guards.
 */

/** Our choice, for a link that may be Tor and a feed that may be anybody's. */
export const FETCH_LIMITS = {
  /** Longest URL, in characters: what common servers take. */
  urlChars: 8192,
  /** Redirects followed in one attempt. Real feeds need one or two; a CDN with a signed address three. */
  redirects: 8,
  /** Tries of one fetch: after the first, each waits twice as long as the one before. A timeout ends them: it has cost enough. */
  attempts: 4,
  /** The wait before the second try, on average half of it; see `FetcherOptions.random`. */
  backoffMs: 1000,
  /** The longest wait between two tries. A server that asks for more (Retry-After) is left to the schedule. */
  backoffMaxMs: 60_000,
  /** Until a connection, TLS included, stands. */
  connectMs: 15_000,
  /** Between two pieces of a body; a whole attempt is bounded by the request. */
  idleMs: 30_000,
  /** Of a body at least so much comes within each such time: 512 B/s, which Tor has at its worst. */
  leastSpeed: { bytes: 10_240, windowMs: 20_000 },
  /** All headers of one answer. */
  headerBytes: 32 * 1024,
} as const;

/** Our choice. */
export const ARCHIVE_LIMITS = {
  /** Compressions around each other: one is usual, and two happen where a server compresses what is compressed. */
  depth: 3,
  /** Entries of an archive, wanted or not, before it is refused: reading their headers is work too. */
  entries: 65_536,
  /** What a zstd frame may ask to remember, as the `zstd` program has it; xz has less, 64 MiB. */
  windowBytes: 128 * 1024 * 1024,
  /** What may come out on the way, such as members that nobody wants, as a multiple of what is wanted at most. */
  passedFactor: 8,
  /** Longest name of a member, in characters. */
  nameChars: 1024,
} as const;

/** Our choice. */
export const WATCH_LIMITS = {
  /** A file is whole when nothing has been heard of it for so long, */
  settleMs: 500,
  /** and it is still the same so much later. */
  pollMs: 100,
  /** A file that does not come to rest is reported at last: whoever reads it finds out what it is. */
  settleMaxMs: 30_000,
  /** A file that vanishes may be on its way back: editors remove and create. */
  goneMs: 1000,
  /** A look at everything, for file systems that tell nothing, such as those of a network. */
  recheckMs: 60_000,
  /** Links on the way to a file before it counts as a circle; Linux follows as many. */
  links: 40,
} as const;
