/**
 * The recorded session: that today's code still records it, and that a second decoder, written in Python from
 * PROTOCOL.md alone, reads it and reaches the digests of every manifest. `RULECAST_RECORD=1` records it anew.
 */

import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { checkRuleSet, type RuleSet } from '@rulecast/rules';
import { describe, expect, it } from 'vitest';
import { applyChain } from '../../protocol/src/codec/delta.ts';
import { decodeManifest, verifyRuleSet } from '../../protocol/src/content/manifest.ts';
import { FrameDecoder, FrameEncoder } from '../../protocol/src/wire/frame.ts';
import { decodeMessage, encodeMessage, type Message } from '../../protocol/src/wire/message.ts';
import { bytesOfHex, hexOf, ruleSetOf } from '../../protocol/test/part-spec.ts';
import {
  type RecordedSession,
  recordSession,
  type Side,
  type Turn,
} from '../../protocol/test/session-recorder.ts';
import { flipped } from '../kit/bytes.ts';

const VECTOR = new URL('../../protocol/vectors/session.json', import.meta.url);
const DECODER = fileURLToPath(new URL('../../protocol/test/decode_session.py', import.meta.url));

const fresh = recordSession(process.versions.zlib);
if (process.env['RULECAST_RECORD'] === '1') {
  writeFileSync(VECTOR, `${JSON.stringify(fresh, undefined, 1)}\n`);
}
const recorded: RecordedSession = JSON.parse(readFileSync(VECTOR, 'utf8'));

interface Said {
  readonly from: Side;
  readonly message: Message;
  readonly transaction: number;
}

/** The messages of a connection, in the order of its turns. */
function saidIn(turns: readonly Turn[]): readonly Said[] {
  const decoders = { publisher: new FrameDecoder(), subscriber: new FrameDecoder() };
  const said: Said[] = [];
  for (const { from, hex } of turns) {
    decoders[from].feed(bytesOfHex(hex));
    for (let frame = decoders[from].next(); frame !== undefined; frame = decoders[from].next()) {
      said.push({ from, message: decodeMessage(frame.type, frame.body), transaction: frame.transaction });
    }
  }
  decoders.publisher.end();
  decoders.subscriber.end();
  return said;
}

/** The turns of messages: every frame with a right checksum and sequence. */
function turnsOf(said: readonly Said[]): readonly Turn[] {
  const encoders = { publisher: new FrameEncoder(), subscriber: new FrameEncoder() };
  return said.map(({ from, message, transaction }) => {
    const { type, body } = encodeMessage(message);
    return { from, hex: hexOf(encoders[from].frame(type, transaction, body)) };
  });
}

/** The session with the messages of its first connection changed, in sound frames. */
function changed(change: (said: Said[]) => void): RecordedSession {
  const [first = [], ...others] = recorded.connections;
  const said = [...saidIn(first)];
  change(said);
  return { ...recorded, connections: [turnsOf(said), ...others] };
}

interface Decoded {
  readonly error?: string;
  readonly text?: string;
  readonly applied?: RecordedSession['applied'];
  readonly kinds?: Readonly<Record<string, number>>;
  readonly forms?: Readonly<Record<string, number>>;
}

/** What the second decoder makes of each session. */
function secondDecoder(sessions: readonly RecordedSession[]): readonly Decoded[] {
  const { status, stdout, stderr } = spawnSync('python3', [DECODER], {
    input: JSON.stringify(sessions),
    encoding: 'utf8',
    maxBuffer: 2 ** 26,
  });
  if (status !== 0) throw new Error(`the second decoder ended with ${status}: ${stderr}`);
  return JSON.parse(stdout);
}

const python = spawnSync('python3', ['-c', 'import sys; sys.exit(sys.version_info < (3, 9))']);
const hasPython = python.status === 0;
if (!hasPython) {
  const reason = 'python3, 3.9 or later, is not installed: the second decoder is not run';
  if (process.env['CI'] === 'true') throw new Error(reason);
  process.stderr.write(`${reason}\n`);
}

describe('the recorded session', () => {
  it('is what the code records', () => {
    if (recorded.zlib === fresh.zlib) {
      expect(fresh).toEqual(recorded);
      return;
    }
    // Deflate is another: all but the streams and what describes them is the same.
    const STREAM = new Set(['begin', 'chunk', 'end']);
    const withoutStreams = ({ connections }: RecordedSession): readonly Said[] =>
      connections.flatMap(saidIn).filter(({ message }) => !STREAM.has(message.kind));
    expect(fresh.applied).toEqual(recorded.applied);
    expect(withoutStreams(fresh)).toEqual(withoutStreams(recorded));
  });

  it('makes the releases that its manifests describe', () => {
    let active = ruleSetOf([]);
    let next = active;
    let manifest = new Uint8Array(0);
    let base = active;
    let stream: Uint8Array[] = [];
    const hashes: string[] = [];
    const isSound = (ruleSet: RuleSet): boolean =>
      checkRuleSet(ruleSet).every(({ severity }) => severity !== 'fault');
    for (const { message } of recorded.connections.flatMap(saidIn)) {
      if (message.kind === 'offer') manifest = Uint8Array.from(message.content);
      if (message.kind === 'begin') {
        base = message.snapshot === true ? ruleSetOf([]) : active;
        stream = [];
      }
      if (message.kind === 'chunk') stream.push(message.bytes);
      if (message.kind === 'end') {
        next = applyChain(base, Buffer.concat(stream));
        verifyRuleSet(decodeManifest(manifest), next);
      }
      if (message.kind === 'nack' && message.retry === 'never') expect(isSound(next)).toBe(false);
      if (message.kind === 'applied') {
        expect(isSound(next)).toBe(true);
        active = next;
        hashes.push(hexOf(message.hash));
      }
    }
    expect(hashes).toEqual(recorded.applied.map(({ hash }) => hash));
  });
});

describe.runIf(hasPython)('a decoder written from PROTOCOL.md alone', () => {
  it('reaches every digest of every release', () => {
    const [result] = secondDecoder([recorded]);
    expect(result?.error, result?.text).toBeUndefined();
    expect(result?.applied).toEqual(recorded.applied);
  });

  it('has met every message of a session, every codec, packing and change', () => {
    const [{ kinds = {}, forms = {} } = {}] = secondDecoder([recorded]);
    expect(Object.keys(kinds).sort()).toEqual(
      [
        ...['ABORT', 'ANSWER', 'APPLIED', 'BEGIN', 'BYE', 'CHUNK', 'END', 'FRESH', 'HELLO', 'NACK'],
        ...['OFFER', 'PING', 'PONG', 'PROOF', 'PROVE', 'QUERY', 'ROOT', 'WANT', 'WELCOME'],
      ].sort(),
    );
    expect(Object.keys(forms).sort()).toEqual(
      [
        ...['codec 0', 'codec 2', 'tree', 'packing 0', 'packing 1'],
        ...[0, 2, 3].flatMap((op) => [1, 2, 3, 4].map((kind) => `op ${op} kind ${kind}`)),
        ...['op 0 kind 5', 'op 1 kind 5', 'op 3 kind 5', 'tag RCQ2', 'a patch of exceptions'],
      ].sort(),
    );
  });

  it('refuses the session wherever a bit is flipped', () => {
    const [turns = [], ...others] = recorded.connections;
    const sessions = turns.map((turn, i) => {
      const bytes = bytesOfHex(turn.hex);
      const hex = hexOf(flipped(bytes, (i * 7919) % (bytes.length * 8)));
      return { ...recorded, connections: [turns.with(i, { ...turn, hex }), ...others] };
    });
    for (const { error } of secondDecoder(sessions))
      expect(error).toMatch(/^(?:bad-|truncated|unexpected-message)/);
  });

  it.each<[string, string, (said: Said[]) => void]>([
    [
      'a bit of a manifest',
      'bad-signature',
      (said) => {
        const at = said.findIndex(({ message }) => message.kind === 'offer');
        const { message, ...rest } = said[at] ?? said[0]!; // the session has an offer
        if (message.kind === 'offer')
          said[at] = { ...rest, message: { ...message, content: flipped(message.content, 300) } };
      },
    ],
    [
      'a bit of a root',
      'bad-root',
      (said) => {
        const at = said.findIndex(({ message }) => message.kind === 'root');
        const { message, ...rest } = said[at] ?? said[0]!; // the session has a root
        if (message.kind === 'root')
          said[at] = { ...rest, message: { ...message, content: flipped(message.content, 300) } };
      },
    ],
    [
      'a bit of a stream',
      'bad-digest',
      // In the first block of the list `hosts`: other addresses, as sound as those before.
      (said) => flipChunk(said, 1000),
    ],
    [
      'a claim in a stream',
      'bad-count',
      (said) => flipChunk(said, 97), // in what the list `hosts` is said to be
    ],
    [
      'a chunk left out',
      'bad-transfer',
      (said) => {
        said.splice(
          said.findIndex(({ message }) => message.kind === 'chunk'),
          1,
        );
      },
    ],
    [
      'an APPLIED before its release',
      'unexpected-message',
      (said) => {
        const at = said.findIndex(({ message }) => message.kind === 'applied');
        said.splice(3, 0, ...said.splice(at, 1));
      },
    ],
  ])('refuses, in sound frames, %s with %s', (_, code, change) => {
    expect(secondDecoder([changed(change)])[0]?.error).toBe(code);
  });
});

/** Flips a bit of the first chunk. */
function flipChunk(said: Said[], bit: number): void {
  const at = said.findIndex(({ message }) => message.kind === 'chunk');
  const { message, ...rest } = said[at] ?? said[0]!; // the session has a chunk
  if (message.kind === 'chunk')
    said[at] = { ...rest, message: { kind: 'chunk', bytes: flipped(message.bytes, bit) } };
}
