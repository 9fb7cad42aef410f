/** Bytes that are wrong by one bit. */

/** A copy with a bit flipped, counted from the lowest of the first byte. */
export function flipped<B extends Uint8Array>(bytes: B, bit: number): B {
  const copy = Uint8Array.prototype.slice.call(bytes) as B; // of a Buffer a Buffer, and not a view as its own `slice` gives
  copy[bit >> 3] = (copy[bit >> 3] ?? 0) ^ (1 << (bit & 7));
  return copy;
}
