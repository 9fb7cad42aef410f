/**
 * The publisher's identity: its lineage and signing key, made once, kept in one file that only its owner can
 * read.
 *
 * The file is the lineage: who holds it can sign for it. It is apart from the store, so that a lost store
 * does not lose the identity, and a copied store does not carry it. An identity that was there before and has
 * no store has lost it: whoever makes one makes the store first.
 */

import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
} from 'node:crypto';
import { closeSync, fsyncSync, linkSync, openSync, readFileSync, rmSync, statSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { DirectoryError, makeDirectory } from '@rulecast/program/directory';
import type { Trust } from '@rulecast/protocol';

export interface Identity extends Trust {
  readonly privateKey: KeyObject;
}

/** The identity file cannot be used. */
export class IdentityError extends Error {
  readonly code = 'identity';
}

const HEADER = 'rulecast-identity 1';

/** Who may read or change the file, and who may put another in its place, besides its owner. */
const OTHERS_MASK = 0o077;
const OTHERS_WRITE_MASK = 0o022;
const STICKY = 0o1000;

/**
 * Reads the identity file, or makes it (mode 0600) where there is none. Throws IdentityError and
 * DirectoryError.
 */
export function openIdentity(path: string): Identity {
  const found = readIdentity(path);
  if (found !== undefined) return found;
  createIdentityFile(path);
  const made = readIdentity(path);
  if (made === undefined) throw new IdentityError(`the identity file ${path} went as soon as it was made`);
  return made;
}

/**
 * The identity in a file; undefined where there is none. Throws IdentityError, also where others than its
 * owner may read the file.
 */
export function readIdentity(path: string): Identity | undefined {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
    checkOwnersAlone(path);
  } catch (cause) {
    if (cause instanceof IdentityError) throw cause;
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw new IdentityError(`cannot read the identity file ${path}`, { cause });
  }
  return parseIdentity(path, text);
}

function checkOwnersAlone(path: string): void {
  if ((statSync(path).mode & OTHERS_MASK) !== 0) {
    throw new IdentityError(
      `${path} holds the signing key and others may read or change it: chmod 600 ${path}; if others may have read it, every subscriber needs a new one`,
    );
  }
  const directory = dirname(path);
  const { mode } = statSync(directory);
  if ((mode & OTHERS_WRITE_MASK) !== 0 && (mode & STICKY) === 0) {
    throw new IdentityError(
      `${directory} holds the signing key and others may put another in its place: chmod go-w ${directory}`,
    );
  }
}

function parseIdentity(path: string, text: string): Identity {
  const match = /^rulecast-identity 1\nlineage ([0-9a-f]{32})\n(-----BEGIN PRIVATE KEY-----[\s\S]+)$/.exec(
    text,
  );
  if (match?.[1] === undefined || match[2] === undefined) {
    throw new IdentityError(
      `${path} is no identity file; restore it from a backup or move it away to start a new lineage`,
    );
  }
  let privateKey: KeyObject;
  try {
    privateKey = createPrivateKey(match[2]);
  } catch (cause) {
    throw new IdentityError(`${path} holds no readable key; restore it from a backup`, { cause });
  }
  if (privateKey.asymmetricKeyType !== 'ed25519') throw new IdentityError(`${path} holds no ed25519 key`);
  const lineage = new Uint8Array(Buffer.from(match[1], 'hex'));
  return { lineage, privateKey, publicKey: createPublicKey(privateKey) };
}

/**
 * Writes a new identity beside its place and links it in whole, so that two publishers starting at once
 * agree.
 */
function createIdentityFile(path: string): void {
  const { privateKey } = generateKeyPairSync('ed25519');
  const pem = privateKey.export({ format: 'pem', type: 'pkcs8' });
  const draft = `${path}.${randomBytes(6).toString('hex')}`;
  try {
    makeDirectory(dirname(path));
    const file = openSync(draft, 'wx', 0o600);
    try {
      writeSync(file, `${HEADER}\nlineage ${randomBytes(16).toString('hex')}\n${pem}`);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    linkSync(draft, path);
  } catch (cause) {
    if (cause instanceof DirectoryError) throw cause;
    if ((cause as NodeJS.ErrnoException).code !== 'EEXIST') {
      throw new IdentityError(`cannot write the identity file ${path}`, { cause });
    }
  } finally {
    rmSync(draft, { force: true });
  }
}
