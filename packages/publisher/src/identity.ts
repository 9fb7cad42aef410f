/**
 * The publisher's identity: its lineage and signing key, made once, kept in one file that only its owner can read.
 *
 * The file is the lineage: who holds it can sign for it. It is apart from the store, so that a lost store does not
 * lose the identity, and a copied store does not carry it.
 */

import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
} from 'node:crypto';
import { closeSync, fsyncSync, linkSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
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

/** Reads the identity file, or makes it (mode 0600) where there is none. Throws IdentityError and DirectoryError. */
export function openIdentity(path: string): Identity {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'ENOENT') {
      throw new IdentityError(`cannot read the identity file ${path}`, { cause });
    }
    createIdentityFile(path);
    text = readFileSync(path, 'utf8');
  }
  return parseIdentity(path, text);
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

/** Writes a new identity beside its place and links it in whole, so that two publishers starting at once agree. */
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
