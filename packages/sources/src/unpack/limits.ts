/** What unpacking may take. Each limit is checked before the work that it bounds. */

/** Our choice. */
export const UNPACK_LIMITS = {
  /**
   * Compressions around each other: one is usual, and two happen where a server compresses what is
   * compressed.
   */
  depth: 3,
  /** Entries of an archive, wanted or not, before it is refused: reading their headers is work too. */
  entries: 65_536,
  /** What a zstd frame may ask to remember, as the `zstd` program has it; xz has less, 64 MiB. */
  windowBytes: 128 * 1024 * 1024,
  /**
   * What may come out on the way, such as members that nobody wants, as a multiple of what is wanted at most.
   */
  passedFactor: 8,
  /** Longest name of a member, in characters. */
  nameChars: 1024,
} as const;

/** Our choice, of a program of the system that decompresses. */
export const PROGRAM_LIMITS = {
  /**
   * Of processor and of wall; less than all of unpacking has. Half a minute undoes the largest download on a
   * slow machine.
   */
  timeMs: 50_000,
  /** What it says of what is wrong, before it is killed; bzip2 needs 500. */
  stderrBytes: 4096,
  /** How much of that is told. */
  shownChars: 200,
  /** Its three, and what its start needs. */
  openFiles: 16,
} as const;
