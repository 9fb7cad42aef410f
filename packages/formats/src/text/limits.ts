/**
 * The limits of the parsers. Each is checked before the work it bounds, and every parser takes smaller ones
 * for tests.
 */

export interface FormatLimits {
  /** Longest list or rule file. */
  readonly inputBytes: number;
  /** Longest line of one, without its line end. */
  readonly lineBytes: number;
  /** Most prefixes, names or rules of one file, before duplicates are dropped. */
  readonly entries: number;
  /** The number of rejects kept with their reasons; the rest are counted. */
  readonly rejectsKept: number;
  /** After so many rejects the rest of a list is not read. */
  readonly rejects: number;
  /** Longest rule set document, without the files it names. */
  readonly documentBytes: number;
  /**
   * Most tokens (values, dashes, line ends, …) of one document, and most values after its aliases are
   * followed.
   */
  readonly documentTokens: number;
}

/** Our choice; the protocol has narrower limits for its transfers. */
export const FORMAT_LIMITS: FormatLimits = {
  inputBytes: 256 * 1024 * 1024, // 16M lines of the longest IPv4 address
  lineBytes: 64 * 1024, // the longest request of QubesDB, so no line of Qubes is longer
  entries: 16 * 1024 * 1024, // 16 times the million that docs/explain/design.md counts with
  rejectsKept: 1000, // more than a person reads
  rejects: 1_000_000, // each reject takes microseconds; nobody tolerates so many
  documentBytes: 16 * 1024 * 1024, // 2^18 rules written inline are 11 MB
  documentTokens: 2 * 1024 * 1024, // the same are 1.6M tokens; the YAML library takes some 250 bytes for each
};

/** The default limits with some replaced. */
export function withLimits(limits: Partial<FormatLimits> | undefined): FormatLimits {
  return limits === undefined ? FORMAT_LIMITS : { ...FORMAT_LIMITS, ...limits };
}
