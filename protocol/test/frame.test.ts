import { describe, expect, it } from 'vitest';
import { flipped } from '../../test/kit/bytes.ts';
import { codeOf } from '../../test/kit/code.ts';
import fc from '../../test/seeded-fast-check.ts';
import { FRAME_BODY_MAX_BYTES, FRAME_HEADER_BYTES } from '../src/limits.ts';
import { type Frame, FrameDecoder, FrameEncoder } from '../src/wire/frame.ts';
import vectors from '../vectors/frames.json' with { type: 'json' };

const fromHex = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex, 'hex'));
const toHex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

/** All frames in some pieces; throws what the decoder throws. */
function decodeAll(pieces: readonly Uint8Array[], sequence = 0): Frame[] {
  const decoder = new FrameDecoder(sequence);
  const frames: Frame[] = [];
  for (const piece of pieces) {
    decoder.feed(piece);
    for (let frame = decoder.next(); frame !== undefined; frame = decoder.next()) frames.push(frame);
  }
  decoder.end();
  return frames;
}

function cut(bytes: Uint8Array, size: number): Uint8Array[] {
  const pieces: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; at += size) pieces.push(bytes.slice(at, at + size));
  return pieces;
}

function stream(bodies: readonly Uint8Array[]): Uint8Array {
  const encoder = new FrameEncoder();
  return Uint8Array.from(Buffer.concat(bodies.map((body, i) => encoder.frame(i + 1, i * 1000, body))));
}

describe('frame vectors', () => {
  it.each(vectors.valid)('writes and reads: $name', (vector) => {
    const body = fromHex(vector.bodyHex);
    const encoder = new FrameEncoder(vector.sequence);
    expect(toHex(encoder.frame(vector.type, vector.transaction, body))).toBe(vector.frameHex);
    expect(decodeAll([fromHex(vector.frameHex)], vector.sequence)).toEqual([
      { type: vector.type, transaction: vector.transaction, body },
    ]);
  });

  //
  it.each(vectors.invalid)('refuses with $code: $name', (vector) => {
    expect(codeOf(() => decodeAll([fromHex(vector.bytesHex)], vector.sequence))).toBe(vector.code);
    expect(codeOf(() => decodeAll(cut(fromHex(vector.bytesHex), 1), vector.sequence))).toBe(vector.code);
  });
});

describe('FrameDecoder', () => {
  const sample = stream([fromHex('80'), new Uint8Array(0), fromHex('00ff10'), new Uint8Array(40).fill(7)]);

  it.each([1, 2, 3, 23, 24, 25, 26, 64, 1000])('finds the same frames in pieces of %i bytes', (size) => {
    expect(decodeAll(cut(sample, size))).toEqual(decodeAll([sample]));
  });

  it('calls every truncation of a stream incomplete, or a shorter stream where it ends between frames', () => {
    const whole = decodeAll([sample]);
    const ends = [0, 25, 49, 76, 140];
    for (let length = 0; length < sample.length; length++) {
      const piece = sample.slice(0, length);
      if (ends.includes(length)) expect(decodeAll([piece])).toEqual(whole.slice(0, ends.indexOf(length)));
      else expect(codeOf(() => decodeAll([piece]))).toBe('truncated');
    }
  });

  //
  it('notices every single flipped bit', () => {
    for (let bit = 0; bit < sample.length * 8; bit++) {
      const damaged = flipped(sample, bit);
      expect(
        codeOf(() => decodeAll([damaged])),
        `bit ${bit}`,
      ).toMatch(/^(bad-|truncated)/);
    }
  });

  //
  it('throws nothing but ProtocolError at random bytes, also after a sound magic and version', () => {
    const outcome = (bytes: Uint8Array): string => codeOf(() => decodeAll(cut(bytes, 7)));
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => outcome(bytes) !== ''));
    const prefix = fromHex('52435354020d0000');
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        expect(outcome(Uint8Array.from([...prefix, ...bytes]))).not.toBe('no error');
      }),
    );
  });

  it('takes the largest body, in one piece as a view of it', () => {
    const body = new Uint8Array(FRAME_BODY_MAX_BYTES).fill(3);
    const bytes = stream([body]);
    const [frame] = decodeAll([bytes]);
    expect(frame?.body.length).toBe(FRAME_BODY_MAX_BYTES);
    expect(frame?.body.buffer).toBe(bytes.buffer);
    expect(decodeAll(cut(bytes, 4096))[0]?.body).toEqual(body);
  });

  //
  it('refuses a length over the limit when it has the header, before any body', () => {
    const decoder = new FrameDecoder();
    const bytes = stream([new Uint8Array(1)]).slice(0, FRAME_HEADER_BYTES);
    new DataView(bytes.buffer).setUint32(16, FRAME_BODY_MAX_BYTES + 1, true);
    decoder.feed(bytes);
    expect(codeOf(() => decoder.next())).toBe('bad-length');
  });

  //
  it('fails for ever once it has failed', () => {
    const decoder = new FrameDecoder();
    decoder.feed(fromHex('00'.repeat(24)));
    expect(codeOf(() => decoder.next())).toBe('bad-magic');
    decoder.feed(sample);
    expect(codeOf(() => decoder.next())).toBe('bad-magic');
    expect(codeOf(() => decoder.end())).toBe('bad-magic');
  });

  it('will not be fed while frames wait', () => {
    const decoder = new FrameDecoder();
    decoder.feed(sample);
    expect(() => decoder.feed(sample)).toThrow('frames wait');
  });
});

describe('FrameEncoder', () => {
  it('refuses a body over the limit and uses no sequence number for it', () => {
    const encoder = new FrameEncoder();
    expect(() => encoder.frame(6, 0, new Uint8Array(FRAME_BODY_MAX_BYTES + 1))).toThrow(RangeError);
    expect(decodeAll([encoder.frame(6, 0, new Uint8Array(FRAME_BODY_MAX_BYTES))])).toHaveLength(1);
  });

  it.each([
    [256, 0],
    [-1, 0],
    [1.5, 0],
    [1, 0x1_0000_0000],
    [1, -1],
    [1, 0.5],
  ])('refuses type %d with transaction %d', (type, transaction) => {
    expect(() => new FrameEncoder().frame(type, transaction, new Uint8Array(0))).toThrow(RangeError);
  });

  //
  it('ends rather than wrap its sequence', () => {
    const encoder = new FrameEncoder(0xffff_ffff);
    encoder.frame(1, 0, new Uint8Array(0));
    expect(codeOf(() => encoder.frame(1, 0, new Uint8Array(0)))).toBe('sequence-exhausted');
  });
});
