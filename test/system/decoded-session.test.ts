/**
 * The recorded session: that today's code still records it, and that the session in OCaml, which sends and
 * takes the same in ocaml.test.ts, does not where it is spoiled. `RULECAST_RECORD=1` records it anew.
 */

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { checkRuleSet, type RuleSet } from '@rulecast/rules';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { applyChain } from '../../protocol/src/codec/delta.ts';
import { verifyRuleSet } from '../../protocol/src/content/catalogue.ts';
import { decodeManifest } from '../../protocol/src/content/manifest.ts';
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
import { ocaml, run } from '../kit/ocaml.ts';

const VECTOR = new URL('../../protocol/vectors/session.json', import.meta.url);

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

  it('has every message of a session but that of a head that is not offered', () => {
    const kinds = new Set(recorded.connections.flatMap(saidIn).map(({ message }) => message.kind));
    expect([...kinds].sort()).toEqual(
      [
        ...['abort', 'answer', 'applied', 'begin', 'bye', 'chunk', 'end', 'fresh', 'hello', 'nack'],
        ...['offer', 'ping', 'pong', 'proof', 'prove', 'query', 'root', 'want', 'welcome'],
      ].sort(),
    );
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

describe.runIf(ocaml.isThere)('the reader in OCaml', () => {
  const tree = mkdtempSync(join(tmpdir(), 'rulecast-ocaml-'));
  let built = '';
  beforeAll(() => {
    built = ocaml.build(tree).built;
  });
  afterAll(() => rmSync(tree, { recursive: true }));

  /** The code with which it refuses a session. */
  function refusal(session: RecordedSession): string | undefined {
    writeFileSync(join(tree, 'session.json'), JSON.stringify(session));
    const { stdout, stderr } = run(join(built, 'test/vectors.exe'), [tree, 'session']);
    expect(stderr).toBe('');
    return /^ {2}the session: refused: ([a-z-]+)/m.exec(stdout)?.[1];
  }

  it('refuses the session wherever a bit is flipped', () => {
    expect(refusal(recorded)).toBeUndefined();
    const [turns = [], ...others] = recorded.connections;
    for (const [i, turn] of turns.entries()) {
      const bytes = bytesOfHex(turn.hex);
      const hex = hexOf(flipped(bytes, (i * 7919) % (bytes.length * 8)));
      const session = { ...recorded, connections: [turns.with(i, { ...turn, hex }), ...others] };
      expect(refusal(session), `turn ${i}`).toMatch(/^(?:bad-|truncated)/);
    }
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
    expect(refusal(changed(change))).toBe(code);
  });
});

/** Flips a bit of the first chunk. */
function flipChunk(said: Said[], bit: number): void {
  const at = said.findIndex(({ message }) => message.kind === 'chunk');
  const { message, ...rest } = said[at] ?? said[0]!; // the session has a chunk
  if (message.kind === 'chunk')
    said[at] = { ...rest, message: { kind: 'chunk', bytes: flipped(message.bytes, bit) } };
}
