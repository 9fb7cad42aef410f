/** Why compressed data or an archive yields no files. */

export const UnpackErrorCode = {
  truncated: 'truncated',
  damaged: 'damaged',
  /** The output exceeds the limit. */
  tooLarge: 'too-large',
  tooManyMembers: 'too-many-members',
  /** No member of it is wanted. */
  noMember: 'no-member',
  encrypted: 'encrypted',
  /** A name that leads out of the archive: probably an attack. */
  unsafePath: 'unsafe-path',
  /** An archive inside an archive, or more nested compressions than are ever needed. */
  nested: 'nested',
  /** Sound as far as one can tell, but not a kind that we read. */
  unsupported: 'unsupported',
} as const;
export type UnpackErrorCode = (typeof UnpackErrorCode)[keyof typeof UnpackErrorCode];

/** Advice for an unsupported compression. */
export const ANOTHER_FORM = 'fetch it packed by gzip, xz or zip, or unpack it before';

/** Nothing of it can be used. The message has a remedy, if there is one. */
export class UnpackError extends Error {
  readonly code: UnpackErrorCode;

  constructor(code: UnpackErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
