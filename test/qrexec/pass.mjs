/** Carries bytes one way as qrexec does: in pieces of 64 KiB, and their end, while the other way stays. */

const PIECE_BYTES = 65_536;

/** @param {import('node:stream').Readable} from @param {import('node:stream').Writable} to */
export function pass(from, to) {
  from.on('data', (/** @type {Buffer} */ bytes) => {
    let hasRoom = true;
    for (let at = 0; at < bytes.length; at += PIECE_BYTES)
      hasRoom = to.write(bytes.subarray(at, at + PIECE_BYTES));
    if (hasRoom) return;
    from.pause();
    to.once('drain', () => from.resume());
  });
  from.on('end', () => to.end());
  to.on('error', () => from.destroy());
}
