/**
 * What a session's machine is led with: releases, moments, and every kind of message. No clock, no channel.
 */

import {
  encodeManifest,
  hexOf,
  isSignedBy,
  type Message,
  type MessageOf,
  manifestFor,
  manifestHash,
  signBytes,
} from '@rulecast/protocol';
import { EMPTY_RULE_SET } from '@rulecast/rules';
import { soleRoot } from '../../../test/kit/roots.mjs';
import type { PublisherView, SessionRelease } from '../src/host.ts';
import type { Now } from '../src/session/state.ts';

export const LINEAGE = new Uint8Array(16).fill(7);
export const ROOT = soleRoot(LINEAGE);
export const UNKNOWN_HASH = new Uint8Array(32).fill(255);

export function releaseOf(epoch: number, version: number, previousVersion = version - 1): SessionRelease {
  const number = { lineage: LINEAGE, epoch, version, previousVersion, createdAtMs: 1000 };
  const manifest = manifestFor(EMPTY_RULE_SET, number);
  const manifestBytes = encodeManifest(manifest);
  return {
    manifest,
    manifestBytes,
    signatures: signBytes(manifestBytes, ROOT.key),
    hash: manifestHash(manifestBytes),
    capabilities: [],
  };
}

/** A release as subscribers say that they have it. */
export function heldOf({ hash, manifest }: SessionRelease): MessageOf<'hello'>['holds'] & {} {
  return { hash, epoch: manifest.epoch, version: manifest.version };
}

/** A publisher with these releases, the last of which is its head. */
export function publisherWith(releases: readonly SessionRelease[], isBehind = false): PublisherView {
  return {
    name: 'mgmt',
    lineage: LINEAGE,
    head: releases.at(-1),
    isBehind,
    isNamed: (name) => name === 'named',
    numberOf: (hash) => releases.find((release) => hexOf(release.hash) === hexOf(hash))?.manifest,
    hashOf: ({ epoch, version }) => {
      const found = releases.find(({ manifest }) => manifest.epoch === epoch && manifest.version === version);
      return found && hexOf(found.hash);
    },
    rulesOut: ({ epoch, version }) => {
      const of = releases.map(({ manifest }) => manifest).filter((manifest) => manifest.epoch === epoch);
      const next = of.find((manifest) => manifest.version >= version);
      return next !== undefined && (next.version === version || next.previousVersion < version);
    },
    isSigned: (signed) => isSignedBy(ROOT.root.root, 'release', signed),
    rootsAfter: ({ hash, number }) => {
      if (hexOf(hash) !== hexOf(ROOT.root.hash)) return undefined;
      return number === undefined ? [ROOT.root] : [];
    },
  };
}

export function nowAt(monotonicMs: number, publisher: PublisherView, more: Partial<Now> = {}): Now {
  return {
    monotonicMs,
    wallMs: 1_800_000_000_000 + monotonicMs,
    bytesSent: 0,
    isSending: false,
    publisher,
    ...more,
  };
}

export function helloOf(fields: Partial<MessageOf<'hello'>> = {}): MessageOf<'hello'> {
  return {
    kind: 'hello',
    protocolMin: 2,
    protocolMax: 2,
    name: 'fw',
    lineage: LINEAGE,
    root: { hash: ROOT.root.hash, number: 1 },
    holds: undefined,
    refused: [],
    limits: { entries: 1000, bytes: 1000, parts: 10 },
    ...fields,
  };
}

export function appliedOf(release: SessionRelease): MessageOf<'applied'> {
  const times = { receiveMs: 1, verifyMs: 1, compileMs: 1, flipMs: 1 };
  return { kind: 'applied', ...heldOf(release), ...times, persisted: true, generation: 1 };
}

export function nackOf(hash: Uint8Array, fields: Partial<MessageOf<'nack'>> = {}): MessageOf<'nack'> {
  const none = { part: undefined, entry: undefined, retryAfterMs: undefined, keeps: undefined };
  return { kind: 'nack', hash, code: 'compile-failed', text: 'no', retry: 'never', ...none, ...fields };
}

export const ANSWER: MessageOf<'answer'> = {
  kind: 'answer',
  ok: true,
  verdict: undefined,
  hash: undefined,
  version: undefined,
  epoch: undefined,
  generation: undefined,
  stats: undefined,
  code: undefined,
  text: undefined,
};

/** One message of each kind that a subscriber never sends, or not in this state. */
export const STRANGE_MESSAGES: readonly Message[] = [
  { kind: 'chunk', bytes: new Uint8Array(1) },
  { kind: 'welcome', protocol: 2, name: 'mgmt', lineage: LINEAGE, heartbeatMs: 5000 },
  { kind: 'offer', content: new Uint8Array(1), signatures: new Uint8Array(1) },
  { kind: 'root', content: new Uint8Array(1), signatures: new Uint8Array(1) },
  { kind: 'fresh', content: new Uint8Array(1), signatures: new Uint8Array(1) },
  { kind: 'begin', bytes: 1 },
  { kind: 'end' },
  { kind: 'abort', code: 'bad-transfer', text: '' },
  { kind: 'query', question: 'stats', packet: undefined },
  { kind: 'prove' },
  { kind: 'status', watch: false, counters: undefined },
  { kind: 'lists', sourcesOnly: false },
  { kind: 'done', code: 'ok', text: '' },
];
