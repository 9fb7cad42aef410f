import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { often } from '../../../test/thorough.ts';
import { WriteRing } from '../src/channel/write-ring.ts';

describe('what waits for a transport', () => {
  it('comes out as it went in, whatever is written, taken and let go of', () => {
    const step = fc.oneof(
      fc.record({ kind: fc.constant('append' as const), count: fc.nat(9000) }),
      fc.record({ kind: fc.constant('take' as const), count: fc.nat(9000) }),
      fc.record({ kind: fc.constant('rest' as const), count: fc.constant(0) }),
    );
    fc.assert(
      fc.property(
        fc.array(step, { maxLength: 60 }),
        fc.constantFrom(4096, 5000, 65_536),
        (steps, capacity) => {
          const ring = new WriteRing(capacity);
          let written = 0;
          let taken = 0;
          for (const { kind, count } of steps) {
            if (kind === 'rest') ring.rest();
            else if (kind === 'append') {
              const bytes = Uint8Array.from({ length: count }, (_, i) => (written + i) * 7);
              const took = ring.append(bytes);
              expect(took).toBe(Math.min(count, capacity - (written - taken)));
              written += took;
            } else {
              const piece = ring.peek(count);
              for (let i = 0; i < piece.length; i++)
                if (piece[i] !== (((taken + i) * 7) & 0xff)) throw new Error(`byte ${taken + i}`);
              ring.consume(piece.length);
              taken += piece.length;
            }
            expect(ring.pendingBytes).toBe(written - taken);
            expect(ring.spaceBytes).toBe(capacity - (written - taken));
          }
        },
      ),
      { numRuns: often(300, 20_000) },
    );
  });

  it('keeps what is with the transport, though more is written and the buffer grows', () => {
    const ring = new WriteRing(65_536);
    ring.append(new Uint8Array(100).fill(1));
    const piece = ring.peek(1000);
    ring.append(new Uint8Array(60_000).fill(2));
    expect(piece).toEqual(new Uint8Array(100).fill(1));
    ring.consume(piece.length);
    expect(Buffer.compare(ring.peek(60_000), new Uint8Array(60_000).fill(2))).toBe(0);
  });

  it('is let go of once nothing waits, but for what small messages need', () => {
    const ring = new WriteRing(65_536);
    ring.append(new Uint8Array(60_000));
    ring.rest();
    expect(ring.peek(1).buffer.byteLength).toBe(65_536);
    ring.consume(60_000);
    ring.rest();
    ring.append(new Uint8Array(100));
    expect(ring.peek(1).buffer.byteLength).toBe(2048);
    ring.consume(100);
    ring.rest();
    ring.append(new Uint8Array(1));
    expect(ring.peek(1).buffer.byteLength).toBe(2048);
  });

  it('hands the buffer of which it lets go to the next that has much to say', () => {
    const [one, other] = [full(), full()];
    const { buffer } = one.peek(1);
    expect(other.peek(1).buffer === buffer).toBe(false);
    one.consume(60_000);
    one.rest();
    const next = new WriteRing(65_536);
    next.append(new Uint8Array(60_000).fill(3));
    expect(next.peek(1).buffer === buffer).toBe(true);
    expect(Buffer.compare(next.peek(60_000), new Uint8Array(60_000).fill(3))).toBe(0);
  });

  it('keeps to itself a buffer of which a view may be with the transport', () => {
    const gone = full();
    const { buffer } = gone.peek(1);
    gone.clear();
    gone.rest();
    expect(full().peek(1).buffer === buffer).toBe(false);
  });

  it('keeps no more than 64 of them for others', () => {
    const rings = Array.from({ length: 100 }, full);
    const buffers = new Set(rings.map((ring) => ring.peek(1).buffer));
    for (const ring of rings) {
      ring.consume(60_000);
      ring.rest();
    }
    const again = Array.from({ length: 100 }, full).filter((ring) => buffers.has(ring.peek(1).buffer));
    expect(again).toHaveLength(64);
  });
});

/** One that has most of its capacity to say. */
function full(): WriteRing {
  const ring = new WriteRing(65_536);
  ring.append(new Uint8Array(60_000).fill(1));
  return ring;
}
