/**
 * The name table: what WebAssembly does better than JavaScript, 64-bit hashes above all. It owns no bytes of
 * its own: src/match/table.ts says where everything is, and made sure that it stays.
 *
 *   bucket   tag 8 │ ×5 │ class 4 │ ×5 │ overflow 4     one cache line
 *
 * A name is its tag: 64 bits of a keyed hash, in a bucket that other bits of it name, or in its second one,
 * or in those behind that. Overflow counts what a bucket had no room for: the low half as its first, the high
 * half as one that was passed later; both are taken back when such a name goes.
 *
 * SipHash-1-3 (Aumasson, Bernstein, 2012), with 128 bits of output, over labels from the last to the first,
 * each behind its length and padded to whole words: so one pass gives the hash of a name and of all names
 * above it, and no two names are the same words.
 */

const BUCKET_SLOTS: usize = 5;
const CLASSES: usize = 40;
const OVERFLOW: usize = 60;
const PASSED: u32 = 0x10000;
/** Buckets that are looked at behind the second one: more names there are no chance. */
const WALK_MAX: u32 = 32;
const SEPARATOR: u8 = 3;
const SELF: u32 = 0x80000000;
const UNKNOWN: u32 = 0xffffffff;
/** What made `apply` stop before the end. */
const STOP_UNKNOWN: u32 = 1;
const STOP_FULL: u32 = 2;
const STOP_FLOODED: u32 = 3;

let K0: u64 = 0;
let K1: u64 = 0;
let K2: u64 = 0;
let K3: u64 = 0;
let table: usize = 0;
let tableEnd: usize = 0;
let bucketCount: u64 = 0;
let labels: usize = 0;
let hits: usize = 0;
/** Bit n: there are names of n labels; bit 31: of 31 or more. */
let depths: u32 = 0;
let count: u32 = 0;
let countMax: u32 = 0;
let stop: u32 = 0;
let asked: u32 = 0;

// State of the hash, and what it came to.
let v0: u64 = 0;
let v1: u64 = 0;
let v2: u64 = 0;
let v3: u64 = 0;
let tag: u64 = 0;
let buckets: u64 = 0;

/** Says where everything is, and empties the table, whose place `at` is a multiple of 64. */
export function open(
  k0: u64,
  k1: u64,
  at: usize,
  bucketTotal: u32,
  most: u32,
  labelsAt: usize,
  hitsAt: usize,
): void {
  K0 = k0 ^ 0x736f6d6570736575;
  K1 = k1 ^ 0x646f72616e646f6d ^ 0xee; // of 128 bits
  K2 = k0 ^ 0x6c7967656e657261;
  K3 = k1 ^ 0x7465646279746573;
  table = at;
  bucketCount = bucketTotal;
  tableEnd = at + (<usize>bucketTotal << 6);
  countMax = most;
  labels = labelsAt;
  hits = hitsAt;
  depths = 0;
  count = 0;
  memory.fill(at, 0, tableEnd - at);
}

export function size(): u32 {
  return count;
}

export function stopped(): u32 {
  return stop;
}

/** The class that `apply` met and knew nothing for. */
export function unknown(): u32 {
  return asked;
}

function round(): void {
  v0 += v1; v1 = rotl<u64>(v1, 13); v1 ^= v0; v0 = rotl<u64>(v0, 32);
  v2 += v3; v3 = rotl<u64>(v3, 16); v3 ^= v2;
  v0 += v3; v3 = rotl<u64>(v3, 21); v3 ^= v0;
  v2 += v1; v1 = rotl<u64>(v1, 17); v1 ^= v2; v2 = rotl<u64>(v2, 32);
}

function begin(): void {
  v0 = K0;
  v1 = K1;
  v2 = K2;
  v3 = K3;
}

function absorb(word: u64): void {
  v3 ^= word;
  round();
  v0 ^= word;
}

/** Eight letters at once, A to Z made small; bytes above 127 stay as they are. */
function lower(word: u64): u64 {
  const low = word & 0x7f7f7f7f7f7f7f7f;
  const isUpper = (low + 0x3f3f3f3f3f3f3f3f) ^ (low + 0x2525252525252525);
  return word | ((isUpper & ~word & 0x8080808080808080) >>> 2);
}

/** Bytes of a word that are taken, of 1 to 8. */
function taken(word: u64, bytes: i32): u64 {
  return bytes >= 8 ? word : word & (<u64>-1 >>> <u64>(64 - (bytes << 3)));
}

/** Absorbs a label of 1 to 63 bytes at `at`: reads up to seven bytes behind it. */
function label(at: usize, length: i32): void {
  absorb(lower(taken((load<u64>(at) << 8) | <u64>length, length + 1)));
  let rest = length - 7;
  let next = at + 7;
  while (rest > 0) {
    absorb(lower(taken(load<u64>(next), rest)));
    next += 8;
    rest -= 8;
  }
}

/** Ends the hash, and goes on with it from where it was. */
function finish(): void {
  const w0 = v0;
  const w1 = v1;
  const w2 = v2;
  const w3 = v3;
  v2 ^= 0xee;
  round();
  round();
  round();
  tag = v0 ^ v1 ^ v2 ^ v3;
  if (tag == 0) tag = 1; // 0 is an empty slot
  v1 ^= 0xdd;
  round();
  round();
  round();
  buckets = v0 ^ v1 ^ v2 ^ v3;
  v0 = w0;
  v1 = w1;
  v2 = w2;
  v3 = w3;
}

function home(): usize {
  return table + (<usize>(((buckets & 0xffffffff) * bucketCount) >>> 32) << 6);
}

function second(): usize {
  return table + (<usize>(((buckets >>> 32) * bucketCount) >>> 32) << 6);
}

function after(bucket: usize): usize {
  return bucket + 64 == tableEnd ? table : bucket + 64;
}

/** Where the class of the name just hashed is within a bucket; 0: it is not there. */
function probe(bucket: usize): usize {
  if (load<u64>(bucket) == tag) return bucket + CLASSES;
  if (load<u64>(bucket, 8) == tag) return bucket + CLASSES + 4;
  if (load<u64>(bucket, 16) == tag) return bucket + CLASSES + 8;
  if (load<u64>(bucket, 24) == tag) return bucket + CLASSES + 12;
  if (load<u64>(bucket, 32) == tag) return bucket + CLASSES + 16;
  return 0;
}

function find(): usize {
  const first = home();
  let slot = probe(first);
  if (slot != 0 || load<u32>(first, OVERFLOW) == 0) return slot;
  let bucket = second();
  slot = probe(bucket);
  while (slot == 0 && load<u32>(bucket, OVERFLOW) >= PASSED) {
    bucket = after(bucket);
    slot = probe(bucket);
  }
  return slot;
}

function put(bucket: usize, value: u32): bool {
  for (let i: usize = 0; i < BUCKET_SLOTS; i++) {
    if (load<u64>(bucket + (i << 3)) != 0) continue;
    store<u32>(bucket + CLASSES + (i << 2), value);
    store<u64>(bucket + (i << 3), tag);
    return true;
  }
  return false;
}

/** Takes in the name just hashed, which is not there. 0, or why there is no room. */
function insert(value: u32): u32 {
  if (count >= countMax) return STOP_FULL;
  const first = home();
  if (!put(first, value)) {
    let bucket = second();
    let walked: u32 = 0;
    while (!put(bucket, value)) {
      if (++walked > WALK_MAX) {
        // Nothing was put: take the counts back.
        for (let back = second(); walked > 1; walked--, back = after(back)) passed(back, -1);
        return STOP_FLOODED;
      }
      passed(bucket, 1);
      bucket = after(bucket);
    }
    store<u32>(first, load<u32>(first, OVERFLOW) + 1, OVERFLOW);
  }
  count++;
  return 0;
}

function passed(bucket: usize, by: i32): void {
  store<u32>(bucket, load<u32>(bucket, OVERFLOW) + (by > 0 ? PASSED : -PASSED), OVERFLOW);
}

/** Takes out the name just hashed, whose class is at `slot`. */
function remove(slot: usize): void {
  const bucket = slot & ~63;
  store<u64>(bucket + (((slot & 63) - CLASSES) << 1), 0);
  count--;
  const first = home();
  if (bucket == first) return;
  store<u32>(first, load<u32>(first, OVERFLOW) - 1, OVERFLOW);
  for (let back = second(); back != bucket; back = after(back)) passed(back, -1);
}

/**
 * Gives each name of the keys [from, end) the class that follows its class now: word `scope * stride + class`
 * of `next`, of which 0 is none. Where it got to: `end`, or the key before which it stopped, see `stopped`.
 */
export function apply(from: usize, end: usize, next: usize, stride: u32): usize {
  let key = from;
  stop = 0;
  while (key < end) {
    begin();
    let at = key;
    let depth: u32 = 0;
    for (;;) {
      const start = at;
      while (load<u8>(at) > SEPARATOR) at++;
      label(start, <i32>(at - start));
      depth++;
      if (load<u8>(at) < SEPARATOR) break;
      at++;
    }
    finish();
    const slot = find();
    const before: u32 = slot == 0 ? 0 : load<u32>(slot);
    const value = load<u32>(next + (<usize>(<u32>load<u8>(at) * stride + before) << 2));
    if (value == UNKNOWN) {
      stop = STOP_UNKNOWN;
      asked = before;
      return key;
    }
    if (value != before) {
      if (value == 0) remove(slot);
      else if (slot != 0) store<u32>(slot, value);
      else {
        stop = insert(value);
        if (stop != 0) return key;
        depths |= 1 << min<u32>(depth, 31);
      }
    }
    key = at + 1;
  }
  return end;
}

/**
 * Looks up a whole name, labels behind their lengths, and all names above it. How many are there: their
 * classes are in `hits`, that of the name itself with the highest bit.
 */
export function look(name: usize): u32 {
  let depthMax: u32 = 0;
  let at = name;
  for (let length = load<u8>(at); length != 0; length = load<u8>(at)) {
    store<u8>(labels + depthMax, <u8>(at - name));
    depthMax++;
    at += 1 + <usize>length;
  }
  let found: usize = hits;
  begin();
  for (let depth: u32 = 1; depth <= depthMax; depth++) {
    const start = name + <usize>load<u8>(labels + (depthMax - depth));
    label(start + 1, <i32>load<u8>(start));
    if (((depths >>> min<u32>(depth, 31)) & 1) == 0) continue;
    finish();
    const slot = find();
    if (slot == 0) continue;
    store<u32>(found, load<u32>(slot) | (depth == depthMax ? SELF : 0));
    found += 4;
  }
  return <u32>((found - hits) >> 2);
}
