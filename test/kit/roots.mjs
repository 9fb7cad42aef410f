/** Roots for tests: one key with every role, and what a subscriber is told of it. */

import { createPrivateKey, generateKeyPairSync } from 'node:crypto';
import {
  encodeRoot,
  encodeStatement,
  HASH_BYTES,
  publicBytes,
  readRoot,
  signBytes,
} from '@rulecast/protocol';

/** @typedef {import('node:crypto').KeyObject} KeyObject */
/** @typedef {import('@rulecast/protocol').Root} Root */
/** @typedef {import('@rulecast/protocol').SignedRoot} SignedRoot */
/** @typedef {import('@rulecast/protocol').Statement} Statement */
/** @typedef {import('@rulecast/protocol').Trust} Trust */

/** An ed25519 key in PKCS #8 (RFC 8410) is this, then its seed. */
const PKCS8_HEAD = Buffer.from('302e020100300506032b657004220420', 'hex');

/** The key of a seed of 32 bytes. @param {Uint8Array} seed @returns {KeyObject} */
export function keyOfSeed(seed) {
  return createPrivateKey({ key: Buffer.concat([PKCS8_HEAD, seed]), format: 'der', type: 'pkcs8' });
}

/** @returns {KeyObject} */
export function freshKey() {
  return generateKeyPairSync('ed25519').privateKey;
}

/**
 * A root that says all but what is given for itself: number 1, any epoch, one key for everything.
 *
 * @param {Uint8Array} lineage
 * @param {KeyObject} key
 * @param {Partial<Root>} [said]
 * @returns {Root}
 */
export function rootOf(lineage, key, said = {}) {
  const role = { threshold: 1, keys: [publicBytes(key)] };
  const roles = { root: role, release: role, freshness: role };
  return { lineage, number: 1, epochFloor: 0, epochCeiling: Number.MAX_SAFE_INTEGER, roles, ...said };
}

/** @param {Root} root @param {readonly KeyObject[]} keys @returns {SignedRoot} */
export function signedRoot(root, ...keys) {
  const content = encodeRoot(root);
  return readRoot({ signatures: signBytes(content, ...keys), content });
}

/**
 * The first root of a lineage with one key, and how it is trusted.
 *
 * @param {Uint8Array} lineage
 * @param {KeyObject} [key]
 * @returns {{ readonly key: KeyObject, readonly root: SignedRoot, readonly trust: Trust }}
 */
export function soleRoot(lineage, key = freshKey()) {
  const root = signedRoot(rootOf(lineage, key), key);
  return { key, root, trust: { lineage, rootHash: root.hash } };
}

/**
 * What HELLO says of a trust line whose root the subscriber has seen.
 *
 * @param {Trust | undefined} trust
 * @returns {Pick<import('@rulecast/protocol').MessageOf<'hello'>, 'lineage' | 'root'>}
 */
export function trusting(trust) {
  if (trust === undefined) throw new TypeError('no trust line');
  const { lineage, rootHash } = trust;
  return { lineage, root: { hash: rootHash, number: 1 } };
}

/**
 * The answer to a nonce; by default that there is no release yet, so that whatever is offered comes since.
 *
 * @param {Uint8Array} nonce
 * @param {SignedRoot} root
 * @param {KeyObject} key
 * @param {Partial<Statement>} [said]
 * @returns {import('@rulecast/protocol').MessageOf<'fresh'>}
 */
export function freshFor(nonce, { root, hash }, key, said = {}) {
  const nothing = { epoch: 0, version: 0, hash: new Uint8Array(HASH_BYTES) };
  const content = encodeStatement({ nonce, lineage: root.lineage, root: hash, ...nothing, ...said });
  return { kind: 'fresh', signatures: signBytes(content, key), content };
}
