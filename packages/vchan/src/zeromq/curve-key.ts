/**
 * Keys for CURVE (RFC 26/CurveZMQ) as people keep them: files of Z85 text (RFC 32). CURVE's pairs are those
 * of X25519 (RFC 7748), so that Node makes them and the public key follows from the secret one: a file holds
 * a single key.
 *
 * ```
 *   # what this is                       lines that are no key start with #, as no key does: its first word would overflow
 *   rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7       40 characters of Z85, and perhaps a remark after a space
 * ```
 */
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { closeSync, existsSync, openSync, readSync, statSync, writeFileSync } from 'node:fs';
import { EndpointError } from '../channel/endpoint.ts';

// Fixed by Z85 and X25519.

const Z85 = '0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#';
const KEY_CHARS = 40;
const KEY_BYTES = 32;
/** PKCS #8 of an X25519 private key (RFC 8410), up to the 32 bytes of the key. */
const PKCS8_LEAD = Buffer.from('302e020100300506032b656e04220420', 'hex');

// Our choice.

/** Readable and writable by its owner only. */
const SECRET_MODE = 0o600;
const OTHERS_MASK = 0o077;
/** The size of a file of keys: some thousands, with comments. */
const FILE_MAX_BYTES = 1024 * 1024;

/** One end's keys, Z85. */
export interface CurveKeyPair {
  readonly publicKey: string;
  readonly secretKey: string;
}

/**
 * Makes a pair. Its public key starts with a letter or digit, so that no command line takes it for an option.
 */
export function newCurveKeyPair(): CurveKeyPair {
  for (;;) {
    const { privateKey } = generateKeyPairSync('x25519');
    const publicKey = publicKeyOf(privateKey);
    if (!/^[0-9A-Za-z]/.test(publicKey)) continue;
    const der = privateKey.export({ format: 'der', type: 'pkcs8' });
    return { publicKey, secretKey: encodeZ85(der.subarray(PKCS8_LEAD.length)) };
  }
}

/** The pair of a secret key. Throws EndpointError `bad-key`, which does not show the key. */
export function curveKeyPairOf(secretKey: string): CurveKeyPair {
  const bytes = decodeZ85(secretKey);
  if (bytes === undefined) throw badKey('the secret key');
  const key = Buffer.concat([PKCS8_LEAD, bytes]);
  return {
    publicKey: publicKeyOf(createPrivateKey({ key, format: 'der', type: 'pkcs8' })),
    secretKey,
  };
}

/**
 * The pair of the secret key in a file. Throws EndpointError, also where others than its owner may read the
 * file.
 */
export function readCurveKeyPair(file: string): CurveKeyPair {
  const keys = readKeys(file);
  const [secretKey] = keys;
  if (secretKey === undefined || keys.length > 1) {
    throw new EndpointError('bad-key', `${file} holds ${keys.length} keys: it must hold one secret key`);
  }
  if ((statSync(file).mode & OTHERS_MASK) !== 0) {
    const message = `${file} holds a secret key and others may read or change it: chmod 600 ${file}`;
    throw new EndpointError('bad-key', message);
  }
  return curveKeyPairOf(secretKey);
}

/** The pair of a file, which is made, for its owner alone, if there is none. Throws EndpointError. */
export function openCurveKeyPair(file: string): CurveKeyPair {
  const pair = newCurveKeyPair();
  try {
    writeFileSync(file, curveKeyText(pair), { mode: SECRET_MODE, flag: 'wx' });
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'EEXIST') return readCurveKeyPair(file);
    throw unusable(file, 'cannot be written', cause);
  }
  return pair;
}

/** The content of a file with the secret key of a pair. */
export function curveKeyText({ publicKey, secretKey }: CurveKeyPair): string {
  return `# Secret key for CURVE: keep it to yourself. Give others the public key:\n# ${publicKey}\n${secretKey}\n`;
}

/** Public keys: one that is written out, or those in a file. Throws EndpointError. */
export function curvePeerKeys(keyOrFile: string): readonly string[] {
  // A few paths look like a key: if such a file exists, it is meant.
  if (decodeZ85(keyOrFile) !== undefined && !existsSync(keyOrFile)) return [keyOrFile];
  const keys = readKeys(keyOrFile);
  if (keys.length === 0) throw new EndpointError('bad-key', `${keyOrFile} holds no key`);
  return keys;
}

/** The keys in a file. Throws EndpointError that names file and line, and does not show the line. */
function readKeys(file: string): readonly string[] {
  let text: string;
  try {
    text = readBounded(file);
  } catch (cause) {
    throw unusable(file, 'is neither a key nor a file that can be read', cause);
  }
  if (text.length > FILE_MAX_BYTES) {
    throw new EndpointError('bad-key', `curve key: ${file} is too large for a file of keys: name another`);
  }
  const keys: string[] = [];
  for (const [i, line] of text.split('\n').entries()) {
    const [first = ''] = line.trim().split(/\s/);
    if (decodeZ85(first) !== undefined) keys.push(first);
    else if (first !== '' && !first.startsWith('#')) throw badKey(`${file}, line ${i + 1},`);
  }
  return keys;
}

/** The text of a file, and no more of it than shows that it is too large: a device may have no end. */
function readBounded(file: string): string {
  const fd = openSync(file, 'r');
  try {
    const bytes = Buffer.allocUnsafe(FILE_MAX_BYTES + 1);
    let length = 0;
    for (let count = -1; count !== 0 && length <= FILE_MAX_BYTES; length += count) {
      count = readSync(fd, bytes, length, bytes.length - length, null);
    }
    return bytes.toString('latin1', 0, length); // keys are ASCII, and so a byte is a character
  } finally {
    closeSync(fd);
  }
}

function unusable(file: string, what: string, cause: unknown): EndpointError {
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : '';
  const hint = { ENOENT: ': check the path', EISDIR: ': it is a folder', EACCES: ': check its permissions' };
  const reason = Object.hasOwn(hint, code) ? hint[code as keyof typeof hint] : ` (${code})`; // it has that key
  return new EndpointError('bad-key', `curve key: ${file} ${what}${reason}`, { cause });
}

function badKey(what: string): EndpointError {
  return new EndpointError(
    'bad-key',
    `${what} is no Z85 key of ${KEY_CHARS} characters: make one with rulectl keys new FILE`,
  );
}

function publicKeyOf(privateKey: KeyObject): string {
  const { x } = createPublicKey(privateKey).export({ format: 'jwk' });
  if (typeof x !== 'string') throw new TypeError('an X25519 key has an x');
  return encodeZ85(Buffer.from(x, 'base64url'));
}

function encodeZ85(bytes: Uint8Array): string {
  let text = '';
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 0; at < bytes.length; at += 4) {
    let word = view.getUint32(at);
    let group = '';
    for (let i = 0; i < 5; i++) {
      group = Z85.charAt(word % 85) + group;
      word = Math.floor(word / 85);
    }
    text += group;
  }
  return text;
}

/** Whether a text is a key of CURVE in Z85. */
export function isCurveKey(text: string): boolean {
  return decodeZ85(text) !== undefined;
}

/** The 32 bytes of a key, or undefined if the text is none. */
export function decodeZ85(text: string): Buffer | undefined {
  if (text.length !== KEY_CHARS) return undefined;
  const bytes = Buffer.alloc(KEY_BYTES);
  for (let group = 0; group * 5 < KEY_CHARS; group++) {
    let word = 0;
    for (const char of text.slice(5 * group, 5 * group + 5)) {
      const digit = Z85.indexOf(char);
      if (digit < 0) return undefined;
      word = word * 85 + digit;
    }
    if (word > 0xffff_ffff) return undefined;
    bytes.writeUInt32BE(word, 4 * group);
  }
  return bytes;
}
