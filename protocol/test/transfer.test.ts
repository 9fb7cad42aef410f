import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { ProtocolError } from '../src/error.ts';
import { TransferReceiver, transferBytes, transferPieces } from '../src/transfer.ts';

const HASH = new Uint8Array(32);

function join(pieces: Iterable<Uint8Array>): Uint8Array {
  return Uint8Array.from(Buffer.concat([...pieces]));
}

function endOf(stream: Uint8Array): { readonly kind: 'end'; readonly sha256: Uint8Array } {
  return { kind: 'end', sha256: Uint8Array.from(createHash('sha256').update(stream).digest()) };
}

function codeOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (error instanceof ProtocolError) return error.code;
    throw error;
  }
  return 'no error';
}

function receive(stream: Uint8Array, steps: number, announced = stream.length): readonly Uint8Array[] {
  const receiver = new TransferReceiver({ kind: 'begin', hash: HASH, steps, bytes: announced }, 1000);
  for (let at = 0; at < stream.length; at += 3) receiver.add(stream.subarray(at, at + 3));
  expect(receiver.receivedBytes).toBe(stream.length);
  return receiver.finish(endOf(stream));
}

describe('transfers', () => {
  it('are deltas, each behind its length', () => {
    const deltas = [Uint8Array.of(1, 2), new Uint8Array(0), Uint8Array.of(3)];
    const stream = join(transferPieces(deltas));
    expect(Buffer.from(stream).toString('hex')).toBe('020000000102000000000100000003');
    expect(transferBytes(deltas)).toBe(stream.length);
    expect(receive(stream, 3)).toEqual(deltas);
  });

  it.each([
    ['more deltas than announced', '01000000aa01000000bb', 1],
    ['fewer deltas than announced', '01000000aa', 2],
    ['a length beyond the end', '02000000aa', 1],
    ['a length of 2^32-1', 'ffffffffaa', 1],
    ['half a length', '01000000aa0100', 2],
    ['nothing', '', 1],
  ])('refuse %s', (_, hex, steps) => {
    expect(codeOf(() => receive(Uint8Array.from(Buffer.from(hex, 'hex')), steps))).toBe('bad-transfer');
  });

  it('refuse more bytes than announced, fewer, and other bytes', () => {
    const stream = join(transferPieces([Uint8Array.of(1)]));
    expect(codeOf(() => receive(stream, 1, 4))).toBe('bad-transfer');
    expect(codeOf(() => receive(stream, 1, 6))).toBe('bad-transfer');
    const receiver = new TransferReceiver({ kind: 'begin', hash: HASH, steps: 1, bytes: 5 }, 5);
    receiver.add(stream);
    expect(codeOf(() => receiver.finish({ kind: 'end', sha256: HASH }))).toBe('bad-transfer');
  });

  it('refuse what is over the limit before allocating, and take what is at it', () => {
    const begin = { kind: 'begin', hash: HASH, steps: 1, bytes: 1001 } as const;
    expect(codeOf(() => new TransferReceiver(begin, 1000))).toBe('over-limit');
    expect(codeOf(() => new TransferReceiver({ ...begin, bytes: Number.MAX_SAFE_INTEGER }, 1000))).toBe(
      'over-limit',
    );
    expect(codeOf(() => new TransferReceiver({ ...begin, bytes: 1000 }, 1000))).toBe('no error');
  });
});
