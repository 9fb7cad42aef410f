/** The type of bytes, by their beginning: file names and servers may be wrong. */

export type Compression = 'gzip' | 'xz' | 'zstd';
export type ArchiveKind = 'zip' | 'tar';
export type Content =
  | { readonly kind: 'compressed'; readonly by: Compression }
  | { readonly kind: 'archive'; readonly as: ArchiveKind }
  /** Not an archive that we know of: a list, one hopes. */
  | { readonly kind: 'plain' }
  | { readonly kind: 'unsupported'; readonly name: string };

const COMPRESSIONS: readonly (readonly [Compression, RegExp])[] = [
  ['gzip', /^1f8b08/],
  ['xz', /^fd377a585a00/],
  ['zstd', /^(28b52ffd|5.2a4d18)/],
];
const ZIP = /^504b(0304|0506)/;
const UNSUPPORTED: readonly (readonly [string, RegExp])[] = [
  ['bzip2', /^425a683[1-9](314159265359|177245385090)/],
  ['7z', /^377abcaf271c/],
  ['RAR', /^526172211a07/],
  ['lzip', /^4c5a4950/],
  ['LZ4', /^04224d18/],
  ['compress (.Z)', /^1f9d/],
  ['a split zip', /^504b0708/],
  ['an ar archive or a Debian package', /^213c617263683e0a/],
];
const MAGIC_BYTES = 10;

/** The number of bytes that tell. */
export const SNIFF_BYTES = 512;

/** The type of content by `head`, which is all of it or at least `SNIFF_BYTES`. */
export function contentOf(head: Uint8Array): Content {
  const magic = Buffer.from(head.subarray(0, MAGIC_BYTES)).toString('hex');
  for (const [by, pattern] of COMPRESSIONS) if (pattern.test(magic)) return { kind: 'compressed', by };
  if (ZIP.test(magic)) return { kind: 'archive', as: 'zip' };
  for (const [name, pattern] of UNSUPPORTED) if (pattern.test(magic)) return { kind: 'unsupported', name };
  return isTarHeader(head) ? { kind: 'archive', as: 'tar' } : { kind: 'plain' };
}

/**
 * Old archives have no magic; all have a checksum of their header, at 148, which counts its own place as
 * spaces. POSIX.1, ustar.
 */
function isTarHeader(head: Uint8Array): boolean {
  if (head.length < 512 || head[0] === 0) return false;
  const text = Buffer.from(head.subarray(148, 156)).toString('latin1');
  if (!/^[ 0-7]{5,7}[ \0]{1,3}$/.test(text)) return false;
  let sum = 0;
  for (let i = 0; i < 512; i++) sum += i >= 148 && i < 156 ? 0x20 : (head[i] ?? 0);
  return sum === Number.parseInt(text.trim(), 8);
}

/** `list.txt.gz` is `list.txt`, and `list.tgz` is `list.tar`. */
export function nameWithout(name: string): string {
  const short = /\.(tgz|txz|tzst)$/i.exec(name);
  if (short !== null) return `${name.slice(0, short.index)}.tar`;
  const plain = name.replace(/\.(gz|gzip|xz|zst|zstd)$/i, '');
  return plain === '' ? name : plain;
}
