/** Random bytes, drawn for many questions at a time: a draw costs more than the few bytes of one question. */

const DRAWN_BYTES = 4096;

/** Returns that many random bytes at each call, and none twice. */
export function drawnAhead(draw: (byteCount: number) => Uint8Array): (byteCount: number) => Uint8Array {
  let drawn = new Uint8Array(0);
  let at = 0;
  return (byteCount) => {
    if (at + byteCount > drawn.length) {
      drawn = Uint8Array.from(draw(Math.max(DRAWN_BYTES, byteCount)));
      at = 0;
    }
    at += byteCount;
    return drawn.subarray(at - byteCount, at);
  };
}
