/** The change from one content of a list to the next, in numbers. */

export interface EntryCounts {
  readonly added: number;
  readonly removed: number;
}

/** When a list that is in force changed last, and by how many entries. */
export interface ListChange extends EntryCounts {
  /** Milliseconds since 1970. */
  readonly atMs: number;
}
