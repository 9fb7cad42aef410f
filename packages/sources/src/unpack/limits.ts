/** The limits of unpacking. Each is checked before the work that it bounds. */

/** Our choice. */
export const UNPACK_LIMITS = {
  /** Nested compressions: one is usual, and two happen if a server compresses a compressed file. */
  depth: 3,
  /** Entries of an archive, wanted or not, before it is refused: reading their headers is work too. */
  entries: 65_536,
  /** The limit for output on the way, such as unwanted members, as a multiple of that for wanted ones. */
  passedFactor: 8,
  /** Longest name of a member, in characters. */
  nameChars: 1024,
} as const;
