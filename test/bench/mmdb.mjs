/**
 * Writes MaxMind DB files, so that the bench can ask the `maxmind` reader the same questions: the published
 * format ("MaxMind DB File Format Specification", version 2.0) with records of 32 bits and one unsigned
 * number as data.
 *
 *   search tree (8 bytes a node) | 16 zero bytes | data | marker | metadata
 */

const RECORD_BITS = 32;
const SEPARATOR_BYTES = 16;
const METADATA_MARKER = Buffer.from([0xab, 0xcd, 0xef, ...Buffer.from('MaxMind.com')]);
/** Type numbers of the data section. */
const Type = { string: 2, uint16: 5, uint32: 6, map: 7, uint64: 9, array: 11 };
const EMPTY = -1;

/** @param {import('./table-sets.mjs').TableSet} set @returns {Buffer} */
export function mmdbOf(set) {
  const stride = set.family === 4 ? 1 : 4;
  const tree = new Tree();
  for (const [classId, { words, lengths }] of set.classes.entries()) {
    for (let i = 0; i < lengths.length; i++) {
      tree.add(words.subarray(i * stride, (i + 1) * stride), lengths[i] ?? 0, classId);
    }
  }
  const data = set.classes.map((_, classId) => field(Type.uint32, uint(classId + 1)));
  const offsets = [];
  let offset = 0;
  for (const bytes of data) {
    offsets.push(offset);
    offset += bytes.length;
  }
  const metadata = map({
    node_count: field(Type.uint32, uint(tree.count)),
    record_size: field(Type.uint16, uint(RECORD_BITS)),
    ip_version: field(Type.uint16, uint(set.family)),
    database_type: string('bench'),
    languages: field(Type.array, Buffer.alloc(0)),
    binary_format_major_version: field(Type.uint16, uint(2)),
    binary_format_minor_version: field(Type.uint16, uint(0)),
    build_epoch: field(Type.uint64, uint(0)),
    description: map({}),
  });
  return Buffer.concat([
    tree.encode(offsets),
    Buffer.alloc(SEPARATOR_BYTES),
    ...data,
    METADATA_MARKER,
    metadata,
  ]);
}

/** A binary tree; a child is a node (from 0), a class (-2 - class) or EMPTY. */
class Tree {
  children = new Int32Array(2 ** 16).fill(EMPTY);
  count = 1;

  /** @param {Uint32Array} words @param {number} length At least 1. @param {number} classId */
  add(words, length, classId) {
    let node = 0;
    for (let bit = 0; bit < length - 1; bit++) {
      const at = node * 2 + bitOf(words, bit);
      let child = this.children[at] ?? EMPTY;
      if (child <= -2) return; // a shorter prefix has it
      if (child === EMPTY) {
        child = this.make();
        this.children[at] = child;
      }
      node = child;
    }
    this.children[node * 2 + bitOf(words, length - 1)] = -2 - classId;
  }

  make() {
    if ((this.count + 1) * 2 > this.children.length) {
      const larger = new Int32Array(this.children.length * 2).fill(EMPTY);
      larger.set(this.children);
      this.children = larger;
    }
    return this.count++;
  }

  /** @param {readonly number[]} offsets Of each class in the data. */
  encode(offsets) {
    const bytes = Buffer.alloc(this.count * 8);
    for (let at = 0; at < this.count * 2; at++) {
      const child = this.children[at] ?? EMPTY;
      const pointer = child >= 0 ? child : this.count;
      const value = child <= -2 ? this.count + SEPARATOR_BYTES + (offsets[-2 - child] ?? 0) : pointer;
      bytes.writeUInt32BE(value, at * 4);
    }
    return bytes;
  }
}

/** @param {Uint32Array} words @param {number} bit */
function bitOf(words, bit) {
  return ((words[bit >> 5] ?? 0) >>> (31 - (bit & 31))) & 1;
}

/**
 * A control byte, with the type's second byte where it is above 7, and the content.
 * @param {number} type
 * @param {Buffer} content
 */
function field(type, content, size = content.length) {
  const control = type <= 7 ? [(type << 5) | size] : [size, type - 7];
  return Buffer.concat([Buffer.from(control), content]);
}

/** Big-endian, without leading zeros. @param {number} value */
function uint(value) {
  const hex = value === 0 ? '' : value.toString(16);
  return Buffer.from(hex.length % 2 === 1 ? `0${hex}` : hex, 'hex');
}

/** @param {string} text Shorter than 29 bytes. */
function string(text) {
  return field(Type.string, Buffer.from(text));
}

/** @param {Record<string, Buffer>} entries */
function map(entries) {
  const content = Object.entries(entries).flatMap(([key, value]) => [string(key), value]);
  return field(Type.map, Buffer.concat(content), Object.keys(entries).length);
}
