/**
 * The publisher's identity: its lineage, the secrets that sign releases, and every root, made once, in a file
 * that only its owner can read. The secret that signs roots is a separate file, `root-LINEAGE.key`, to be
 * moved away.
 *
 * The owner of the first can sign releases, until a root revokes its keys; the owner of the other decides
 * which keys may. They are apart from the store, so that a lost store does not lose the identity, and a
 * copied store does not contain it. An identity that was there before and has no store has lost it: whoever
 * makes one makes the store first.
 */

import { createPrivateKey, generateKeyPairSync, type KeyObject, randomBytes } from 'node:crypto';
import {
  closeSync,
  fsyncSync,
  linkSync,
  lstatSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import {
  encodeRoot,
  formatRoots,
  hexOf,
  ProtocolError,
  parseRoots,
  publicBytes,
  type Role,
  type Root,
  type Roots,
  readRoot,
  rootsFrom,
  type Signed,
  signBytes,
  type Trust,
  withRoot,
} from '@rulecast/protocol/signing';
import { DirectoryError, makeDirectory, readOwnFile } from '../directory.ts';

/** Trusted by its newest root. */
export interface Identity extends Trust {
  readonly roots: Roots;
  /** The newest, in force. */
  readonly root: Root;
  /** The release keys: the threshold, or more. */
  readonly releaseKeys: readonly KeyObject[];
  /** The freshness keys here: the threshold, more, or too few. */
  readonly freshnessKeys: readonly KeyObject[];
  /** Every secret of the file. */
  readonly keys: readonly KeyObject[];
  /** The secret that signs roots still lies beside it. */
  readonly hasRootKey: boolean;
}

/** The identity file cannot be used. */
export class IdentityError extends Error {
  readonly code = 'identity';
}

const HEADER = 'rulecast-identity 2';
/** The format of Rulecast 0.1: one key that no root names, and releases in a format no longer read. */
const FORMER_HEADER = 'rulecast-identity 1\n';
const ROOT_KEY_HEADER = 'rulecast-root-key 1';
/** One has 190. */
const ROOT_KEY_MAX_BYTES = 1024;
/** Epochs that the first root grants beyond the first: each is used by a state that was lost, or set back. */
const EPOCHS_GRANTED = 16;

/** Permissions of others to read or change the file, or to replace it in its directory. */
const OTHERS_MASK = 0o077;
const OTHERS_WRITE_MASK = 0o022;
const STICKY = 0o1000;

/** Reads the identity file, or creates it (mode 0600). Throws IdentityError and DirectoryError. */
export function openIdentity(path: string): Identity {
  const found = readIdentity(path);
  if (found !== undefined) return found;
  createIdentity(path);
  const made = readIdentity(path);
  if (made === undefined) throw new IdentityError(`the identity file ${path} disappeared: start again`);
  return made;
}

/**
 * The identity in a file; undefined if there is none. Throws IdentityError, also if other users may read the
 * file.
 */
export function readIdentity(path: string): Identity | undefined {
  const text = fileText(path, readOwnFile);
  if (text === undefined) return undefined;
  checkOwnersAlone(path);
  return parseIdentity(path, text);
}

/**
 * Puts another identity in the place of one, with a root more or other secrets: the old one or the new one is
 * there at every moment. Throws IdentityError; then nothing changed, unless the disk failed at the very end.
 */
export function replaceIdentity(
  path: string,
  { lineage, keys, roots }: Pick<Identity, 'lineage' | 'keys' | 'roots'>,
): void {
  const text = textOf(lineage, keys, roots);
  parseIdentity(path, text); // throws for what could not be read again
  replaceFile(path, text);
}

/**
 * Replaces a file by a new one for its owner alone. The content and the name are on disk: a root that
 * firewalls follow must not be gone after a power cut. Throws IdentityError.
 */
export function replaceFile(path: string, text: string): void {
  const draft = `${path}.${randomBytes(6).toString('hex')}`;
  try {
    write(draft, text);
    renameSync(draft, path);
    syncDirectoryOf(path);
  } catch (cause) {
    rmSync(draft, { force: true });
    throw new IdentityError(`cannot write ${path}`, { cause });
  }
}

/** The secret that signs roots, and of which lineage it is. Throws IdentityError. */
export function readRootKey(path: string): { readonly lineage: Uint8Array; readonly key: KeyObject } {
  const text = fileText(path);
  if (text === undefined)
    throw new IdentityError(`there is no root key in ${path}: say where it is with --root-key FILE`);
  if ((statSync(path).mode & OTHERS_MASK) !== 0) {
    throw new IdentityError(
      `${path} holds the root key, and others may read or change it: chmod 600 ${path}; if others may have read it, replace it with rulectl keys rotate root`,
    );
  }
  const [, lineage, pem] =
    /^rulecast-root-key 1\nlineage ([0-9a-f]{32})\n(-----BEGIN PRIVATE KEY-----[\s\S]+)$/.exec(text) ?? [];
  if (lineage === undefined || pem === undefined)
    throw new IdentityError(`${path} holds no root key of Rulecast: name another with --root-key FILE`);
  return { lineage: new Uint8Array(Buffer.from(lineage, 'hex')), key: keyOf(path, pem) };
}

/** The file of a secret that signs roots of a lineage, beside the identity, whatever its name is. */
export function rootKeyBeside(path: string, lineage: Uint8Array): string | undefined {
  const directory = dirname(path);
  const begin = `${ROOT_KEY_HEADER}\n${headOf(lineage)}`;
  return readdirSync(directory)
    .map((name) => join(directory, name))
    .find((file) => {
      try {
        const stats = statSync(file);
        if (!stats.isFile() || stats.size > ROOT_KEY_MAX_BYTES) return false;
        return readFileSync(file, 'latin1').startsWith(begin);
      } catch {
        return false; // other users with the rights of this process cannot read it either
      }
    });
}

/** Writes the secret that signs roots, unless there is one. Throws IdentityError. */
export function writeRootKey(path: string, lineage: Uint8Array, key: KeyObject): void {
  try {
    write(path, `${ROOT_KEY_HEADER}\n${headOf(lineage)}${pemOf(key)}`);
    syncDirectoryOf(path);
  } catch (cause) {
    throw new IdentityError(`cannot make ${path}: does it exist already?`, { cause });
  }
}

/**
 * The identity for a process that may not sign releases: the file without the keys that do. The process that
 * owns the file sends it, for parseShared.
 */
export function sharedText({ lineage, keys, releaseKeys, roots }: Identity): string {
  const others = keys.filter((key) => !releaseKeys.some((own) => own.equals(key)));
  return textOf(lineage, others, roots);
}

/** Reads the output of `sharedText`. Throws IdentityError. */
export function parseShared(text: string, hasRootKey: boolean): Identity {
  return { ...identityIn('what the signer says of the identity', text), hasRootKey };
}

function fileText(
  path: string,
  read: (path: string) => Buffer = (file) => readFileSync(file),
): string | undefined {
  try {
    return read(path).toString();
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw new IdentityError(`cannot read ${path}`, { cause });
  }
}

function checkOwnersAlone(path: string): void {
  const [file, place] = [lstatSync(path), statSync(dirname(path))];
  const own = process.geteuid?.();
  // Root may read another user's files in that user's own directory.
  const isTheirs = own === 0 && file.uid === place.uid;
  const other = [file.uid, place.uid].find((uid) => uid !== own && uid !== 0);
  if (other !== undefined && !isTheirs) {
    throw new IdentityError(
      `${path}, or the directory that holds it, belongs to the user with id ${other}, who could put another in its place: chown both to the user of this process`,
    );
  }
  if ((file.mode & OTHERS_MASK) !== 0) {
    throw new IdentityError(
      `${path} holds the signing key and others may read or change it: chmod 600 ${path}; if others may have read it, every subscriber needs a new one`,
    );
  }
  const directory = dirname(path);
  if ((place.mode & OTHERS_WRITE_MASK) !== 0 && (place.mode & STICKY) === 0) {
    throw new IdentityError(
      `${directory} holds the signing key and others may put another in its place: chmod go-w ${directory}`,
    );
  }
}

const FORM =
  /^rulecast-identity 2\nlineage ([0-9a-f]{32})\n((?:-----BEGIN PRIVATE KEY-----\n[^-]+-----END PRIVATE KEY-----\n)*)(rulecast-roots [\s\S]+)$/;

/** A whole identity, which can sign releases. */
function parseIdentity(path: string, text: string): Identity {
  const identity = identityIn(path, text);
  const { root, releaseKeys, lineage } = identity;
  const { threshold } = root.roles.release;
  if (releaseKeys.length < threshold) {
    throw new IdentityError(
      `${path} holds ${releaseKeys.length} release keys of root ${root.number}, of which ${threshold} have to sign; restore it from a backup`,
    );
  }
  return { ...identity, hasRootKey: rootKeyBeside(path, lineage) !== undefined };
}

function identityIn(path: string, text: string): Omit<Identity, 'hasRootKey'> {
  const [, lineageHex, pems, rootLines] = FORM.exec(text) ?? [];
  const found = parseRoots(rootLines ?? '');
  if (lineageHex === undefined || pems === undefined || found === undefined) {
    throw new IdentityError(
      text.startsWith(FORMER_HEADER)
        ? `${path} is of Rulecast 0.1, whose keys and releases this version cannot read: install that again, or move the identity and the store away, give every firewall the new trust line, and push again`
        : `${path} is no identity file; restore it from a backup or move it away to start a new lineage`,
    );
  }
  const lineage = new Uint8Array(Buffer.from(lineageHex, 'hex'));
  const keys = pemsIn(pems).map((pem) => keyOf(path, pem));
  const roots = chainOf(path, found, lineage);
  const newest = roots.at(-1);
  if (newest === undefined) throw new IdentityError(`${path} holds no root; restore it from a backup`);
  const { root, hash: rootHash } = newest;
  const [releaseKeys, freshnessKeys] = [
    keysWith(keys, root.roles.release),
    keysWith(keys, root.roles.freshness),
  ];
  return { lineage, rootHash, roots, root, releaseKeys, freshnessKeys, keys };
}

/** The secrets of a role. */
function keysWith(keys: readonly KeyObject[], { keys: allowed }: Role): readonly KeyObject[] {
  return keys.filter((key) => allowed.some((own) => Buffer.compare(own, publicBytes(key)) === 0));
}

function chainOf(path: string, found: readonly Signed[], lineage: Uint8Array): Roots {
  try {
    return found.map(readRoot).reduce<Roots>((roots, next) => {
      return roots.length === 0 ? rootsFrom(next.hash, lineage, next) : withRoot(roots, next);
    }, []);
  } catch (cause) {
    if (!(cause instanceof ProtocolError)) throw cause;
    throw new IdentityError(`a root in ${path} breaks the chain: ${cause.message}; restore it from a backup`);
  }
}

function pemsIn(text: string): readonly string[] {
  return text === '' ? [] : text.split(/(?<=END PRIVATE KEY-----\n)(?=.)/);
}

function keyOf(path: string, pem: string): KeyObject {
  let key: KeyObject;
  try {
    key = createPrivateKey(pem);
  } catch (cause) {
    throw new IdentityError(`${path} holds no readable key; restore it from a backup`, { cause });
  }
  if (key.asymmetricKeyType !== 'ed25519') throw new IdentityError(`${path} holds no ed25519 key`);
  return key;
}

// ── Making one ─────────────────────────────────────────────────────────────────────────────────────────────

/**
 * A key for each role, and the first root. The identity is linked in last and whole, so that two publishers
 * starting at once agree.
 */
function createIdentity(path: string): void {
  const lineage = new Uint8Array(randomBytes(16));
  const [rootKey, releaseKey, freshnessKey] = [freshKey(), freshKey(), freshKey()];
  const content = encodeRoot({
    lineage,
    number: 1,
    epochFloor: 1,
    epochCeiling: 1 + EPOCHS_GRANTED,
    roles: { root: alone(rootKey), release: alone(releaseKey), freshness: alone(freshnessKey) },
  });
  const signed = { signatures: signBytes(content, rootKey), content };
  const draft = `${path}.${randomBytes(6).toString('hex')}`;
  const rootKeyFile = rootKeyFileOf(path, lineage);
  try {
    makeDirectory(dirname(path));
    writeRootKey(rootKeyFile, lineage, rootKey);
    write(draft, textOf(lineage, [releaseKey, freshnessKey], [signed]));
    linkSync(draft, path);
  } catch (cause) {
    rmSync(rootKeyFile, { force: true }); // of a lineage that there will not be
    if (cause instanceof DirectoryError) throw cause;
    if ((cause as NodeJS.ErrnoException).code !== 'EEXIST') {
      throw new IdentityError(`cannot write the identity file ${path}`, { cause });
    }
  } finally {
    rmSync(draft, { force: true });
  }
  syncDirectoryOf(path); // also a file that another process made just before
}

/** Stores secrets that the identity gets once its next root is signed. Throws IdentityError. */
export function writeSecrets(path: string, keys: readonly KeyObject[]): void {
  replaceFile(path, keys.map(pemOf).join(''));
}

/** Removes stored secrets that the identity has now. */
export function removeSecrets(path: string): void {
  rmSync(path, { force: true });
}

/** The secrets in a draft file; none if it does not exist. Throws IdentityError. */
export function readSecrets(path: string): readonly KeyObject[] {
  const text = fileText(path) ?? '';
  return pemsIn(text).map((pem) => keyOf(path, pem));
}

/** The path for a new secret that signs roots: named by its lineage, so that none replaces another. */
export function rootKeyFileOf(path: string, lineage: Uint8Array): string {
  return join(dirname(path), `root-${hexOf(lineage).slice(0, 8)}.key`);
}

export function freshKey(): KeyObject {
  return generateKeyPairSync('ed25519').privateKey;
}

function alone(key: KeyObject): Root['roles']['root'] {
  return { threshold: 1, keys: [publicBytes(key)] };
}

function textOf(lineage: Uint8Array, keys: readonly KeyObject[], roots: readonly Signed[]): string {
  return `${HEADER}\n${headOf(lineage)}${keys.map(pemOf).join('')}${formatRoots(roots)}`;
}

function headOf(lineage: Uint8Array): string {
  return `lineage ${hexOf(lineage)}\n`;
}

function pemOf(key: KeyObject): string {
  return key.export({ format: 'pem', type: 'pkcs8' }).toString();
}

/** Makes a file for its owner alone, flushed. */
function write(path: string, text: string): void {
  const file = openSync(path, 'wx', 0o600);
  try {
    writeSync(file, text);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

/** Flushes a directory, so that new, renamed and linked files in it survive a power cut. */
function syncDirectoryOf(path: string): void {
  const directory = openSync(dirname(path), 'r');
  try {
    fsyncSync(directory);
  } finally {
    closeSync(directory);
  }
}
