/** Why compressed data or an archive gives no files. */

export const UnpackErrorCode = {
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
export type UnpackErrorCode = (typeof UnpackErrorCode)[keyof typeof UnpackErrorCode];

/** What helps where a kind of packing is not read. */
export const ANOTHER_FORM = 'fetch it packed by gzip, xz or zip, or unpack it before';

/** Nothing of it can be used. The message says what to do, where there is something. */
export class UnpackError extends Error {
  readonly code: UnpackErrorCode;

  constructor(code: UnpackErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
