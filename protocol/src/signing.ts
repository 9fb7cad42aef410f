/**
 * Manifests, roots and signatures, without what a release contains: what the process with the keys (the
 * signer) needs. Whatever is exported here runs there, with all that it imports.
 */

export { hexOf } from './bytes/words.ts';
export { compareRelease, decodeManifest, type Manifest, manifestHash } from './content/manifest.ts';
export {
  encodeRoot,
  type Role,
  type Root,
  type Roots,
  readRoot,
  rootsFrom,
  withRoot,
} from './content/root.ts';
export type { Signed } from './content/signature-block.ts';
export { keyIdOf, publicBytes, signBytes } from './content/signatures.ts';
export { ErrorCode, ProtocolError } from './error.ts';
export { KEY_ID_BYTES, ROOT_KEYS_MAX } from './limits.ts';
export { formatRoots, parseRoots } from './peer/root-file.ts';
export type { Trust } from './peer/trust.ts';
export { boundText } from './wire/field.ts';
