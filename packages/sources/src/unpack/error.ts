/** Why an archive gives no files. */

export const ArchiveErrorCode = {
  truncated: 'truncated',
  damaged: 'damaged',
  /** More comes out than was allowed. */
  tooLarge: 'too-large',
  tooManyMembers: 'too-many-members',
  /** Nothing in it is wanted. */
  noMember: 'no-member',
  encrypted: 'encrypted',
  /** A name that leads out of the archive: somebody means harm. */
  unsafePath: 'unsafe-path',
  /** An archive inside an archive, or more compressions around each other than anybody needs. */
  nested: 'nested',
  /** Sound as far as one can tell, but not a kind that we read. */
  unsupported: 'unsupported',
} as const;
export type ArchiveErrorCode = (typeof ArchiveErrorCode)[keyof typeof ArchiveErrorCode];

/** No file of the archive can be used. The message names the archive and says what to do, where there is something. */
export class ArchiveError extends Error {
  readonly code: ArchiveErrorCode;

  constructor(code: ArchiveErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
