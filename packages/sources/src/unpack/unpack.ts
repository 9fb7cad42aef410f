/**
 * Unpacks a download into its files: gzip, xz and zstd, zip and tar, and common combinations, recognised by
 * their bytes. Everything stays in memory, and output is counted as it comes: a bomb costs no more than the
 * limit.
 *
 *   bytes ─compressed?─▶ pieces ─tar?─▶ members ─compressed?─▶ files
 *          zip ─────────────────────────▶
 */

import { ANOTHER_FORM, UnpackError, UnpackErrorCode } from './error.ts';
import { Harvest, type HarvestLimits, type Member, tooLarge } from './harvest.ts';
import { UNPACK_LIMITS } from './limits.ts';
import { contentOf, nameWithout, SNIFF_BYTES } from './magic.ts';
import { decompressed } from './stream.ts';

export { UnpackError } from './error.ts';
export type { Member } from './harvest.ts';

/** All files of an archive but those that describe it, as `members`. */
export const LIST_MEMBERS = ['!{README,Readme,readme,LICENSE,License,license,LICENCE}*', '!*.md'];

/** Advice for a file of an archive that cannot be read. */
const LEAVE_OUT = 'members: can leave it out';

/** The unpacked content: a file, or the files of an archive. */
type Opened =
  | { readonly kind: 'file'; readonly member: Member }
  | { readonly kind: 'members'; readonly members: readonly Member[] };

/**
 * The files in `bytes`: those of an archive that `members` wants, or the one that they are, compressed or
 * not, which is wanted in any case. At least one. Names of compressed files lose the suffix that says so. A
 * file that is not packed comes back as it is, in the same bytes. Throws UnpackError, with the name of the
 * file in its message, and TypeError for a bad glob.
 */
export async function unpack(
  fileName: string,
  bytes: Uint8Array,
  options: HarvestLimits,
): Promise<readonly Member[]> {
  try {
    const opened = await open({ name: fileName, bytes }, options, 0);
    if (opened.kind === 'file') return [opened.member];
    const members = await unfoldMembers(opened.members, options);
    return members.map((member) => ({ ...member, archive: fileName }));
  } catch (error) {
    if (!(error instanceof UnpackError)) throw error;
    throw new UnpackError(error.code, `${fileName}: ${error.message}`, { cause: error });
  }
}

/** Undoes compressions until there is a file or an archive, and opens that. */
async function open(packed: Member, options: HarvestLimits, depth: number): Promise<Opened> {
  const { name, bytes } = packed;
  const content = contentOf(bytes.subarray(0, SNIFF_BYTES));
  switch (content.kind) {
    case 'plain':
      if (bytes.length > options.maxBytes) throw tooLarge(options.maxBytes);
      return { kind: 'file', member: packed };
    case 'unsupported':
      throw new UnpackError(
        UnpackErrorCode.unsupported,
        `this is ${content.name}, which is not read here: ${ANOTHER_FORM}`,
      );
    case 'archive':
      return { kind: 'members', members: await take(content.as, bytes, options) };
    case 'compressed': {
      if (depth >= UNPACK_LIMITS.depth) {
        throw new UnpackError(
          UnpackErrorCode.nested,
          `it is compressed more than ${UNPACK_LIMITS.depth} times`,
        );
      }
      const { head, pieces } = await peek(decompressed(content.by, bytes));
      const inner = contentOf(head);
      if (inner.kind === 'archive' && inner.as === 'tar') {
        return { kind: 'members', members: await takeTarStream(pieces, options) };
      }
      const whole = await collect(pieces, options.maxBytes);
      return await open({ name: nameWithout(name), bytes: whole }, options, depth + 1);
    }
  }
}

async function take(
  as: 'zip' | 'tar',
  bytes: Uint8Array,
  options: HarvestLimits,
): Promise<readonly Member[]> {
  if (as === 'tar') return await takeTarStream(once(bytes), options);
  const { takeZip } = await import('./zip.ts');
  const harvest = new Harvest(options);
  await takeZip(bytes, harvest);
  return harvest.members();
}

async function takeTarStream(
  pieces: AsyncIterable<Uint8Array>,
  options: HarvestLimits,
): Promise<readonly Member[]> {
  const { takeTar } = await import('./tar.ts');
  const harvest = new Harvest(options);
  await takeTar(bounded(pieces, options.maxBytes * UNPACK_LIMITS.passedFactor + 2 ** 20), harvest);
  return harvest.members();
}

/**
 * Unpacks members, which may be compressed again; an archive in an archive is refused. Counts the final
 * files.
 */
async function unfoldMembers(members: readonly Member[], options: HarvestLimits): Promise<readonly Member[]> {
  const files: Member[] = [];
  let leftBytes = options.maxBytes;
  for (const member of members) {
    const opened = await open(member, { ...options, maxBytes: leftBytes }, 0).catch((error: unknown) => {
      if (!(error instanceof UnpackError)) throw error;
      if (error.code === UnpackErrorCode.tooLarge) throw tooLarge(options.maxBytes);
      throw new UnpackError(error.code, `${member.name}: ${error.message}; ${LEAVE_OUT}`, { cause: error });
    });
    if (opened.kind !== 'file') {
      const message = `${member.name} is an archive in an archive: only files are taken out of one; ${LEAVE_OUT}`;
      throw new UnpackError(UnpackErrorCode.nested, message);
    }
    files.push(opened.member);
    leftBytes -= opened.member.bytes.length;
  }
  return files;
}

/** The first `SNIFF_BYTES` of a stream, or all if there are less; and the whole stream. */
async function peek(
  source: AsyncIterable<Uint8Array>,
): Promise<{ readonly head: Uint8Array; readonly pieces: AsyncIterable<Uint8Array> }> {
  const iterator = source[Symbol.asyncIterator]();
  const first: Uint8Array[] = [];
  let count = 0;
  let isDone = false;
  while (count < SNIFF_BYTES && !isDone) {
    const { value, done } = await iterator.next();
    isDone = done === true;
    if (isDone) break;
    first.push(value);
    count += value.length;
  }
  const pieces = async function* (): AsyncGenerator<Uint8Array> {
    try {
      yield* first;
      while (!isDone) {
        const { value, done } = await iterator.next();
        isDone = done === true;
        if (!isDone) yield value;
      }
    } finally {
      if (!isDone) await iterator.return?.();
    }
  };
  return { head: Buffer.concat(first).subarray(0, SNIFF_BYTES), pieces: pieces() };
}

async function collect(pieces: AsyncIterable<Uint8Array>, maxBytes: number): Promise<Uint8Array> {
  const collected: Uint8Array[] = [];
  for await (const piece of bounded(pieces, maxBytes)) collected.push(piece);
  return Buffer.concat(collected);
}

async function* bounded(pieces: AsyncIterable<Uint8Array>, maxBytes: number): AsyncGenerator<Uint8Array> {
  let count = 0;
  for await (const piece of pieces) {
    count += piece.length;
    if (count > maxBytes) throw tooLarge(maxBytes);
    yield piece;
  }
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
