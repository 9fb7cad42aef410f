/** What a publisher says in a session that takes some rule sets one after the other, as bytes. */

import type { KeyObject } from 'node:crypto';
import {
  diffRuleSets,
  encodeChain,
  encodeDelta,
  encodeManifest,
  encodeMessage,
  encodeSnapshot,
  FrameEncoder,
  formatTrust,
  type Message,
  manifestFor,
  manifestHash,
  signBytes,
} from '@rulecast/protocol';
import type { RuleSet } from '@rulecast/rules';
import { freshFor, keyOfSeed, soleRoot } from './roots.mjs';

/** With what a subscriber of a recorded session asks. */
const NONCE = new Uint8Array(16).fill(0xff);
const LINEAGE = new Uint8Array(16).fill(0xb0);
const CHUNK_BYTES = 65_512;

/** The trust line, and all that is said: the first rule set as a snapshot, each other one as a delta. */
export function recordedPublisher(ruleSets: readonly RuleSet[]): {
  readonly trust: string;
  readonly bytes: Uint8Array;
} {
  const key: KeyObject = keyOfSeed(new Uint8Array(32).fill(0x11));
  const { root, trust } = soleRoot(LINEAGE, key);
  const frames = new FrameEncoder();
  const pieces: Uint8Array[] = [];
  const say = (message: Message): void => {
    const { type, body } = encodeMessage(message);
    pieces.push(frames.frame(type, 0, body));
  };
  say({ kind: 'welcome', protocol: 2, name: 'mgmt', lineage: LINEAGE, heartbeatMs: 60_000 });
  say({ kind: 'root', signatures: root.signatures, content: root.content });
  ruleSets.forEach((ruleSet, i) => {
    const identity = {
      lineage: LINEAGE,
      epoch: 1,
      version: i + 1,
      previousVersion: i,
      createdAtMs: 1_790_000_000_000,
    };
    const manifest = encodeManifest(manifestFor(ruleSet, identity));
    const named = { epoch: 1, version: i + 1, hash: manifestHash(manifest) };
    if (i === 0) say(freshFor(NONCE, root, key, named));
    say({ kind: 'offer', signatures: signBytes(manifest, key), content: manifest });
    const before = ruleSets[i - 1];
    const stream = encodeChain([
      before === undefined ? encodeSnapshot(ruleSet) : encodeDelta(diffRuleSets(before, ruleSet)),
    ]);
    say({ kind: 'begin', bytes: stream.length, ...(before === undefined ? { snapshot: true } : {}) });
    for (let at = 0; at < stream.length; at += CHUNK_BYTES)
      say({ kind: 'chunk', bytes: stream.subarray(at, at + CHUNK_BYTES) });
    say({ kind: 'end' });
  });
  return { trust: formatTrust(trust), bytes: Buffer.concat(pieces) };
}
