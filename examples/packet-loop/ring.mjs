/**
 * What the host and its judging threads share: frames to judge, and what each thread has counted.
 *
 * A ring stands for the shared memory in which a TAP device, a netback or a Mirage-like host hands over
 * packets. Frames lie in it one after the other, each from its IP header on:
 *
 *   bytes  │ frame 0 │ frame 1   │ … │ frame n - 1 │
 *   bounds 0         b1          b2                bn
 */

/**
 * @typedef {object} FrameRing Of shared memory: a copy in another thread holds the same frames.
 * @property {Uint8Array<SharedArrayBuffer>} bytes
 * @property {Uint32Array<SharedArrayBuffer>} bounds Frame i is `bytes[bounds[i], bounds[i + 1])`.
 */

/** Puts frames into a new ring. @param {readonly Uint8Array[]} frames At least one. @returns {FrameRing} */
export function ringOf(frames) {
  if (frames.length === 0) throw new RangeError('there is no packet to judge');
  const bounds = new Uint32Array(new SharedArrayBuffer((frames.length + 1) * 4));
  for (const [i, frame] of frames.entries()) bounds[i + 1] = (bounds[i] ?? 0) + frame.length;
  const bytes = new Uint8Array(new SharedArrayBuffer(bounds[frames.length] ?? 0));
  for (const [i, frame] of frames.entries()) bytes.set(frame, bounds[i]);
  return { bytes, bounds };
}

/** @param {FrameRing} ring */
export function frameCount({ bounds }) {
  return bounds.length - 1;
}

/** What a thread counts, a float64 each. Only that thread writes them, so that none is lost. */
export const Counter = /** @type {const} */ ({
  /** By verdict: CodeAction of the table. */
  none: 0,
  accept: 1,
  drop: 2,
  /** Bytes of accepted packets. */
  acceptedBytes: 3,
  /** The generation that judged the latest batch. */
  generation: 4,
  /** Packets by what the parser made of them: from here on, in the order of Parsed (parser.mjs). */
  parsed: 5,
});

/** @param {number} parsedKinds How many members Parsed has. */
export function newCounters(parsedKinds) {
  return new Float64Array(new SharedArrayBuffer((Counter.parsed + parsedKinds) * 8));
}
