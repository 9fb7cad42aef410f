/**
 * The slow twin of the encoders: written from PROTOCOL.md over texts, BigInt and plain arrays, sharing no
 * code with src. It returns the fields of an encoding one by one as hex, so that a vector shows where each
 * begins.
 */

import { createHash } from 'node:crypto';

export interface ListSpec {
  readonly kind: 'list';
  readonly name: string;
  readonly prefixes: readonly string[];
}
export interface NamesSpec {
  readonly kind: 'names';
  readonly name: string;
  readonly resolve: boolean | 'firewall' | 'firewall-private';
  readonly names: readonly string[];
  readonly exceptions?: readonly string[];
}
export interface PolicySpec {
  readonly kind: 'policy';
  readonly name: string;
  readonly defaultAction: 'accept' | 'drop';
  readonly blocked?: 'nxdomain' | 'refused' | 'null';
  readonly unlisted?: 'answer' | 'nxdomain';
  readonly prefixes: readonly string[];
  readonly egress: readonly string[];
  readonly ingress: readonly string[];
  readonly exceptions?: { readonly egress: readonly string[]; readonly ingress: readonly string[] };
}
export interface UnmatchedSpec {
  readonly kind: 'unmatched';
  readonly action: 'accept' | 'drop';
}
export interface ResolutionsSpec {
  readonly kind: 'resolutions';
  readonly names: Readonly<Record<string, readonly string[]>>;
}
export type PartSpec = ListSpec | NamesSpec | PolicySpec | ResolutionsSpec | UnmatchedSpec;

/** One prefix as family, address and length. */
interface SlowPrefix {
  readonly bits: 32 | 128;
  readonly address: bigint;
  readonly length: number;
}

/** `count` bytes of a number, least significant first. */
export function le(value: number | bigint, count: number): string {
  let hex = '';
  let rest = BigInt(value);
  for (let i = 0; i < count; i++) {
    hex += (rest & 255n).toString(16).padStart(2, '0');
    rest >>= 8n;
  }
  return hex;
}

export function ascii(text: string): string {
  return [...text].map((character) => le(character.charCodeAt(0), 1)).join('');
}

/** LEB128 in its shortest form. */
export function leb128(value: number | bigint): string {
  const rest = BigInt(value);
  return rest < 128n ? le(rest, 1) : le((rest & 127n) | 128n, 1) + leb128(rest >> 7n);
}

export function slowPrefix(text: string): SlowPrefix {
  const [address = '', length = ''] = text.split('/');
  if (!address.includes(':')) {
    const value = address.split('.').reduce((sum, octet) => sum * 256n + BigInt(octet), 0n);
    return { bits: 32, address: value, length: Number(length) };
  }
  const [left = '', right] = address.split('::');
  const head = left === '' ? [] : left.split(':');
  const tail = right === undefined || right === '' ? [] : right.split(':');
  const groups =
    right === undefined ? head : [...head, ...Array(8 - head.length - tail.length).fill('0'), ...tail];
  const value = groups.reduce((sum, group) => sum * 65536n + BigInt(`0x${group}`), 0n);
  return { bits: 128, address: value, length: Number(length) };
}

function bySize(a: bigint, b: bigint): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function ofFamily(texts: readonly string[], bits: 32 | 128): readonly SlowPrefix[] {
  return texts.map(slowPrefix).filter((prefix) => prefix.bits === bits);
}

function sortedOf(texts: readonly string[], bits: 32 | 128): readonly SlowPrefix[] {
  return [...ofFamily(texts, bits)].sort((a, b) => bySize(a.address, b.address));
}

/** All words, most significant word of an address first, then all lengths. */
function column(prefixes: readonly SlowPrefix[]): readonly string[] {
  const words = prefixes.map(({ bits, address }) => {
    let hex = '';
    for (let shift = bits - 32; shift >= 0; shift -= 32)
      hex += le((address >> BigInt(shift)) & 0xffff_ffffn, 4);
    return hex;
  });
  return [...words, ...prefixes.map(({ length }) => le(length, 1))];
}

/** The bytes of differences between neighbours, lowest of all first, word by word; then all lengths. */
export function slowPlanes(prefixes: readonly SlowPrefix[]): readonly string[] {
  const fields: string[] = [];
  for (let shift = (prefixes[0]?.bits ?? 0) - 32; shift >= 0; shift -= 32) {
    const words = prefixes.map(({ address }) => (address >> BigInt(shift)) & 0xffff_ffffn);
    const differences = words.map((word, i) => (word - (words[i - 1] ?? 0n)) & 0xffff_ffffn);
    for (const byte of [0, 8, 16, 24])
      fields.push(differences.map((difference) => le(difference >> BigInt(byte), 1)).join(''));
  }
  return [...fields, ...prefixes.map(({ length }) => le(length, 1))];
}

function prefixSet(texts: readonly string[]): readonly string[] {
  const v4 = sortedOf(texts, 32);
  const v6 = sortedOf(texts, 128);
  return [le(v4.length, 4), le(v6.length, 4), ...column(v4), ...column(v6)];
}

function shortText(text: string): readonly string[] {
  return [le(text.length, 1), ascii(text)];
}

/** The canonical bytes of a part; with `columns` planes, those that a policy travels as. */
export function slowCanonical(part: PartSpec, columns = column): readonly string[] {
  switch (part.kind) {
    case 'list':
      return [ascii('RCP1'), ...prefixSet(part.prefixes)];
    case 'names': {
      const { exceptions = [] } = part;
      const keys = [part.names, exceptions].map((texts) => [...texts].sort(compareSlowly).map(slowKey));
      const counts = keys.map(({ length }) => le(length, 4));
      return [ascii('RCN2'), codeOf(part.resolve), ...counts, ...keys.flat()];
    }
    case 'policy': {
      const { exceptions } = part;
      return [
        ascii(exceptions === undefined ? 'RCQ1' : 'RCQ2'),
        baseOf(part),
        ...prefixSet(part.prefixes),
        ...runs(part.egress, columns),
        ...runs(part.ingress, columns),
        ...(exceptions === undefined ? [] : runs(exceptions.egress, columns)),
        ...(exceptions === undefined ? [] : runs(exceptions.ingress, columns)),
      ];
    }
    case 'unmatched':
      return [ascii('RCU1'), part.action === 'accept' ? '01' : '00'];
    case 'resolutions': {
      const names = Object.keys(part.names).sort(compareSlowly);
      const entries = names.flatMap((name) => [...shortText(name), ...prefixSet(part.names[name] ?? [])]);
      return [ascii('RCA1'), le(names.length, 4), ...entries];
    }
  }
}

const REMOTE = /(?:^| )(?:dst|src)(4|6|host|)=(@?)(\S+)/;

/** Runs of canonical rule lines: neighbours alike but for prefixes of one family. */
function runs(lines: readonly string[], columns: typeof column): readonly string[] {
  const groups: string[][] = [];
  let last = '';
  for (const line of lines) {
    const [, kind] = REMOTE.exec(line) ?? [];
    const key = kind === '4' || kind === '6' ? `${kind} ${line.replace(REMOTE, '')}` : '';
    if (key !== '' && key === last) groups.at(-1)?.push(line);
    else groups.push([line]);
    last = key;
  }
  return [le(groups.length, 4), ...groups.flatMap((group) => run(group, columns))];
}

function run(lines: readonly string[], columns: typeof column): readonly string[] {
  const [line = ''] = lines;
  const [options = '', comment] = line.split(' comment=');
  const value = (key: string): string | undefined => new RegExp(`(?:^| )${key}=(\\S+)`).exec(options)?.[1];
  const [first, last = first] = value('dstports')?.split('-') ?? [];
  const icmpType = value('icmptype');
  const expire = value('expire');
  const flags =
    (value('specialtarget') === 'dns' ? 1 : 0) +
    (first === undefined ? 0 : 2) +
    (icmpType === undefined ? 0 : 4) +
    (expire === undefined ? 0 : 8) +
    (comment === undefined ? 0 : 16) +
    (value('private') === 'true' ? 32 : 0);
  const fields = [
    value('action') === 'accept' ? '01' : '00',
    { icmp: '01', tcp: '06', udp: '11' }[value('proto') ?? ''] ?? '00',
    le(flags, 1),
  ];
  if (first !== undefined && last !== undefined) fields.push(le(Number(first), 2), le(Number(last), 2));
  if (icmpType !== undefined) fields.push(le(Number(icmpType), 1));
  if (expire !== undefined) fields.push(le(Number(expire), 8));
  if (comment !== undefined) fields.push(le(comment.length, 2), ascii(comment));
  return [...fields, ...remote(lines, columns)];
}

function remote(lines: readonly string[], columns: typeof column): readonly string[] {
  const remotes = lines.map((line) => REMOTE.exec(line));
  const [first] = remotes;
  if (first === null || first === undefined) return ['00'];
  const [, kind, at, text = ''] = first;
  if (at === '@') return ['04', ...shortText(text)];
  if (kind === 'host') return ['03', ...shortText(text)];
  const prefixes = remotes.map((match) => slowPrefix(match?.[3] ?? ''));
  return [kind === '4' ? '01' : '02', le(prefixes.length, 4), ...columns(prefixes)];
}

function byteCount(fields: readonly string[]): number {
  return fields.join('').replaceAll(' ', '').length / 2;
}

/** The first of equally short ones. */
function shortest(first: readonly string[], ...others: readonly (readonly string[])[]): readonly string[] {
  return others.reduce((best, other) => (byteCount(other) < byteCount(best) ? other : best), first);
}

/**
 * Ascending numbers: the count, then blocks of 4,096 in the shortest codec; 1 is not tried on less than 256
 * bytes.
 */
export function slowSequence(numbers: readonly (number | bigint)[]): readonly string[] {
  const gaps = numbers.map((number, i) =>
    i === 0 ? BigInt(number) : BigInt(number) - BigInt(numbers[i - 1] ?? 0) - 1n,
  );
  const fields = [leb128(numbers.length)];
  for (let from = 0; from < gaps.length; from += 4096) {
    const block = gaps.slice(from, from + 4096);
    const varints = block.map(leb128).join(' ');
    const plain = ['00', leb128(byteCount([varints])), varints];
    fields.push(...shortest(plain, slowRice(block) ?? plain));
  }
  return fields;
}

/**
 * A block of codec 2 with the parameter that needs the fewest bits, of equals the smallest; undefined if a
 * gap is too large.
 */
export function slowRice(gaps: readonly bigint[]): readonly string[] | undefined {
  if (gaps.some((gap) => gap > 0xffff_ffffn)) return undefined;
  const bitsOf = (parameter: number): bigint =>
    gaps.reduce((sum, gap) => sum + (gap >> BigInt(parameter)) + BigInt(1 + parameter), 0n);
  const parameters = [...Array(32).keys()];
  const best = parameters.reduce((a, b) => (bitsOf(b) < bitsOf(a) ? b : a));
  if (bitsOf(best) > 8n * 5n * BigInt(gaps.length)) return undefined; // more than varints in any case
  const bits = gaps.flatMap((gap) => [
    ...Array(Number(gap >> BigInt(best))).fill(0n),
    1n,
    ...Array.from({ length: best }, (_, bit) => (gap >> BigInt(bit)) & 1n),
  ]);
  const bytes = Array.from({ length: Math.ceil(bits.length / 8) }, (_, at) =>
    le(
      bits.slice(at * 8, at * 8 + 8).reduce((sum, bit, i) => sum + (bit << BigInt(i)), 0n),
      1,
    ),
  );
  return ['02', leb128(1 + bytes.length), `${le(best, 1)} ${bytes.join('')}`];
}

/** A canonical column of one family: groups, or a tree if that is shorter. */
export function slowEntries(texts: readonly string[], bits: 32 | 128): readonly string[] {
  const prefixes = sortedOf(texts, bits);
  const lengths = lengthsOf(prefixes);
  const groups = lengths.flatMap((length) => {
    const members = prefixes.filter((prefix) => prefix.length === length);
    return [le(length, 1), ...slowSequence(members.map(({ address }) => address >> BigInt(bits - length)))];
  });
  const grouped = [le(lengths.length, 1), ...groups];
  return prefixes.length === 0 ? grouped : shortest(grouped, ['ff', ...slowTree(texts, bits)]);
}

function lengthsOf(prefixes: readonly SlowPrefix[]): readonly number[] {
  return [...new Set(prefixes.map(({ length }) => length))].sort((a, b) => a - b);
}

/** A decision, and what its context is called. */
type Decision = readonly [context: string, decision: 0 | 1];

/** A canonical column of one family that is not empty, as the decisions of its tree. */
export function slowTree(texts: readonly string[], bits: 32 | 128): readonly string[] {
  const prefixes = sortedOf(texts, bits);
  const lengths = lengthsOf(prefixes);
  const payload = slowRangeCode(decisions(prefixes, lengths, 0, 'only'));
  const fields = lengths.map((length) => le(length, 1));
  return [le(lengths.length, 1), ...fields, leb128(payload.length / 2), payload];
}

/** What is said of a node of this depth, given the prefixes at and below it. */
function decisions(
  prefixes: readonly SlowPrefix[],
  lengths: readonly number[],
  depth: number,
  role: 'only' | 'left' | 'right of a leaf' | 'right',
): readonly Decision[] {
  const isLeaf = (nodes: readonly SlowPrefix[], at: number): boolean =>
    nodes.length === 1 && nodes[0]?.length === at;
  const said: Decision[] = [];
  const leaf = isLeaf(prefixes, depth);
  if (lengths.includes(depth) && depth !== lengths.at(-1)) said.push([`leaf ${depth} ${role}`, leaf ? 1 : 0]);
  if (leaf) return said;
  const bitOf = ({ bits, address }: SlowPrefix): bigint => (address >> BigInt(bits - 1 - depth)) & 1n;
  const left = prefixes.filter((prefix) => bitOf(prefix) === 0n);
  const right = prefixes.filter((prefix) => bitOf(prefix) === 1n);
  const both = left.length > 0 && right.length > 0;
  said.push([`both ${depth} ${role}`, both ? 1 : 0]);
  if (both) {
    said.push(...decisions(left, lengths, depth + 1, 'left'));
    said.push(...decisions(right, lengths, depth + 1, isLeaf(left, depth + 1) ? 'right of a leaf' : 'right'));
    return said;
  }
  said.push([`side ${depth} ${role}`, left.length > 0 ? 0 : 1]);
  return [...said, ...decisions(prefixes, lengths, depth + 1, 'only')];
}

/** Range code of decisions, with the whole code in one number instead of a register with carries. */
function slowRangeCode(all: readonly Decision[]): string {
  const contexts = new Map<string, { chance: bigint; pace: bigint }>();
  let low = 0n;
  let range = 0xffff_ffffn;
  let bytes = 1;
  for (const [name, decision] of all) {
    const context = contexts.get(name) ?? { chance: 32768n, pace: 2n };
    contexts.set(name, context);
    const bound = (range >> 16n) * context.chance;
    if (decision === 0) {
      range = bound;
      context.chance += (65536n - context.chance) / context.pace;
    } else {
      low += bound;
      range -= bound;
      context.chance -= context.chance / context.pace;
    }
    if (context.pace < 64n) context.pace += 1n;
    for (; range < 1n << 24n; range <<= 8n) {
      low <<= 8n;
      bytes += 1;
    }
  }
  return ((low + (1n << 24n) - 1n) >> 24n).toString(16).padStart(bytes * 2, '0');
}

/** The labels of a name from the last, and what it stands for. */
function slowLabels(text: string): { readonly labels: readonly string[]; readonly end: string } {
  const end = text.startsWith('*.') ? '01' : text.startsWith('.') ? '02' : '00';
  const labels = text
    .replace(/^\*?\./, '')
    .split('.')
    .reverse();
  return { labels, end };
}

/** The canonical order of DNS, label by label from the last. */
export function compareSlowly(a: string, b: string): number {
  const [x, y] = [slowLabels(a).labels, slowLabels(b).labels];
  const at = x.findIndex((label, i) => label !== y[i]);
  if (at < 0) return x.length - y.length;
  const [one = '', other = ''] = [x[at], y[at]];
  return other === '' || one > other ? 1 : -1;
}

/** The key of a name. */
function slowKey(text: string): string {
  const { labels, end } = slowLabels(text);
  return labels.map(ascii).join('03') + end;
}

function putBody(part: PartSpec): readonly string[] {
  switch (part.kind) {
    case 'list':
      return [...slowEntries(part.prefixes, 32), ...slowEntries(part.prefixes, 128)];
    case 'names':
      return ['00', slowNameList(part)];
    case 'policy':
    case 'resolutions':
      return ['00', ...slowCanonical(part, slowPlanes)];
    case 'unmatched':
      return [part.action === 'accept' ? '01' : '00'];
  }
}

/** Keys as they travel: what each has in common with the one before, then the rests. */
function slowKeys(keys: readonly string[]): readonly string[] {
  const sorted = [...keys].sort();
  const shared = sorted.map((key, i) => {
    const before = sorted[i - 1] ?? '';
    let same = 0;
    while (key.slice(0, same + 2) === before.slice(0, same + 2)) same += 2;
    return i === 0 ? 0 : same / 2;
  });
  const rests = sorted.map((key, i) => key.slice((shared[i] ?? 0) * 2));
  return [leb128(keys.length), shared.map((same) => le(same, 1)).join(''), ...rests];
}

/** The body of a put of names, before it is packed. */
export function slowNameList({ names, exceptions = [], resolve }: Omit<NamesSpec, 'kind' | 'name'>): string {
  const keys = [names, exceptions].flatMap((texts) => slowKeys(texts.map(slowKey)));
  return joinedFields([codeOf(resolve), ...keys]);
}

/** The body of a patch of names, before it is packed. */
export function slowNamePatch(
  before: Omit<NamesSpec, 'kind' | 'name' | 'resolve'>,
  after: Omit<NamesSpec, 'kind' | 'name'>,
): string {
  const edits = (['names', 'exceptions'] as const).flatMap((column) => {
    const [old, next] = [(before[column] ?? []).map(slowKey).sort(), (after[column] ?? []).map(slowKey)];
    const removed = [...old.keys()].filter((i) => !next.includes(old[i] ?? ''));
    const added = next.filter((key) => !old.includes(key));
    return [...slowSequence(removed), ...slowKeys(added)];
  });
  return joinedFields([codeOf(after.resolve), ...edits]);
}

function joinedFields(fields: readonly string[]): string {
  return fields.filter((field) => field !== '').join(' ');
}

/** Patches of lists; those of policies and resolutions are written out by hand in the vectors. */
function patchBody(before: PartSpec, after: PartSpec): readonly string[] {
  if (before.kind === 'list' && after.kind === 'list') {
    return ([32, 128] as const).flatMap((bits) => {
      const textOf = ({ address, length }: SlowPrefix): string => `${address}/${length}`;
      const old = sortedOf(before.prefixes, bits).map(textOf);
      const next = sortedOf(after.prefixes, bits).map(textOf);
      const removed = [...old.keys()].filter((i) => !next.includes(old[i] ?? ''));
      const added = ofFamily(after.prefixes, bits).filter((prefix) => !old.includes(textOf(prefix)));
      const texts = after.prefixes.filter((text) =>
        added.some((prefix) => textOf(prefix) === textOf(slowPrefix(text)) && slowPrefix(text).bits === bits),
      );
      return [...slowSequence(removed), ...slowEntries(texts, bits)];
    });
  }
  if (before.kind === 'names' && after.kind === 'names') return ['00', slowNamePatch(before, after)];
  throw new TypeError('the slow encoder patches lists only');
}

const KINDS = { list: 1, names: 2, policy: 3, resolutions: 4, unmatched: 5 } as const;

/** A whole number, the sign as its lowest bit. */
function difference(value: number): string {
  return leb128(value < 0 ? -2 * value - 1 : 2 * value);
}

/** What a record counts of a part: entries, rules or names. */
export function slowCount(part: PartSpec): number {
  switch (part.kind) {
    case 'list':
      return part.prefixes.length;
    case 'names':
      return part.names.length + (part.exceptions ?? []).length;
    case 'policy':
      return [part, part.exceptions].reduce(
        (sum, lines) => sum + (lines === undefined ? 0 : lines.egress.length + lines.ingress.length),
        0,
      );
    case 'resolutions':
      return Object.keys(part.names).length;
    case 'unmatched':
      return 1;
  }
}

function claim(part: PartSpec | undefined): readonly [count: number, bytes: number] {
  return part === undefined ? [0, 0] : [slowCount(part), byteCount(slowCanonical(part))];
}

const keyOf = (part: PartSpec): string => `${KINDS[part.kind]} ${'name' in part ? part.name : ''}`;

/** A delta between parts given in their order, without packing. */
export function slowDelta(before: readonly PartSpec[], after: readonly PartSpec[]): readonly string[] {
  const keys = [...new Set([...before, ...after].map(keyOf))].sort();
  const old = before.map(keyOf);
  let skippable = 0;
  const changes = keys.flatMap((key) => {
    const was = before.find((part) => keyOf(part) === key);
    const next = after.find((part) => keyOf(part) === key);
    if (JSON.stringify(was) === JSON.stringify(next)) return [];
    const place: string[] = [];
    if (was === undefined) {
      const [kind = '', name = ''] = key.split(' ');
      place.push(le(Number(kind), 1), ...shortText(name));
    } else {
      place.push(leb128(old.indexOf(key) - skippable));
      skippable = old.indexOf(key) + 1;
    }
    if (next === undefined) return [['00', ...place]];
    const op = was === undefined ? '03' : was.kind === 'unmatched' ? '01' : '02';
    const body = op === '02' && was !== undefined ? patchBody(was, next) : putBody(next);
    const [count, bytes] = claim(next);
    const [countBefore, bytesBefore] = claim(was);
    const claims = [difference(count - countBefore), difference(bytes - bytesBefore)];
    return [[op, ...place, ...claims, leb128(byteCount(body)), ...body]];
  });
  return [leb128(changes.length), ...changes.flat()];
}

// ── Digests ────────────────────────────────────────────────────────────────────────────────────────────────

function sha256(fields: readonly string[]): string {
  return createHash('sha256')
    .update(Buffer.from(fields.join('').replaceAll(' ', ''), 'hex'))
    .digest('hex');
}

/** Ranges of sorted keys, each a number of so many bits: cut until none has more than `most`. */
function slowLeaves(keys: readonly bigint[], bits: number, most: number): readonly (readonly number[])[] {
  const cut = (indices: readonly number[], bit: number): readonly (readonly number[])[] => {
    if (indices.length <= most) return [indices];
    const isOne = (i: number): boolean => (((keys[i] ?? 0n) >> BigInt(bits - 1 - bit)) & 1n) === 1n;
    const ones = indices.filter(isOne);
    if (ones.length === 0 || ones.length === indices.length) return cut(indices, bit + 1);
    return [
      ...cut(
        indices.filter((i) => !isOne(i)),
        bit + 1,
      ),
      ...cut(ones, bit + 1),
    ];
  };
  return keys.length === 0 ? [] : cut([...keys.keys()], 0);
}

/** Bytes as the highest bits of a number of 256 bytes. */
function numberOf(hex: string): bigint {
  return BigInt(`0x${hex.padEnd(512, '0')}`);
}

function slowPrefixDigest(texts: readonly string[]): string {
  const families = ([32, 128] as const).map((bits) => {
    const sorted = sortedOf(texts, bits);
    const keys = sorted.map(({ address }) => address);
    const leaves = slowLeaves(keys, bits, bits === 32 ? 1638 : 481).map((indices) => {
      const own = indices.flatMap((i) => sorted[i] ?? []);
      return sha256([ascii(bits === 32 ? 'RLP4' : 'RLP6'), le(own.length, 4), ...column(own)]);
    });
    return { count: sorted.length, leaves };
  });
  const counts = families.flatMap(({ count, leaves }) => [le(count, 4), le(leaves.length, 4)]);
  return sha256([ascii('RDP1'), ...counts, ...families.flatMap(({ leaves }) => leaves)]);
}

/** Hashes of leaves of rules. */
function slowRuleLeaves(lines: readonly string[]): readonly string[] {
  const leaves: string[][] = [];
  let open: string[] = [];
  for (const line of lines) {
    open.push(line);
    const bytes = Buffer.from(run([line], column).join(''), 'hex');
    let hash = 0x811c9dc5n;
    for (const byte of bytes) hash = ((hash ^ BigInt(byte)) * 0x01000193n) & 0xffff_ffffn;
    const folded = ((hash ^ (hash >> 16n)) * 0x85ebca6bn) & 0xffff_ffffn;
    const mixed = folded ^ (folded >> 13n);
    if (open.length < 1024 && (open.length < 128 || (mixed & 511n) !== 0n)) continue;
    leaves.push(open);
    open = [];
  }
  if (open.length > 0) leaves.push(open);
  return leaves.map((leaf) => sha256([ascii('RLQ1'), le(leaf.length, 4), ...runs(leaf, column).slice(1)]));
}

/** The digest of a part, hex. */
export function slowDigest(part: PartSpec): string {
  switch (part.kind) {
    case 'list':
      return slowPrefixDigest(part.prefixes);
    case 'names': {
      const columns = [part.names, part.exceptions ?? []].map((texts) => {
        const keys = [...texts].sort(compareSlowly).map(slowKey);
        const leaves = slowLeaves(keys.map(numberOf), 2048, 512).map((indices) =>
          sha256([ascii('RLN1'), le(indices.length, 4), ...indices.map((i) => keys[i] ?? '')]),
        );
        return { counts: le(keys.length, 4) + le(leaves.length, 4), leaves };
      });
      const fields = [...columns.map(({ counts }) => counts), ...columns.flatMap(({ leaves }) => leaves)];
      return sha256([ascii('RDN2'), codeOf(part.resolve), ...fields]);
    }
    case 'policy': {
      const { egress, ingress, exceptions = { egress: [], ingress: [] } } = part;
      const blocks = [egress, ingress, exceptions.egress, exceptions.ingress].map((lines) => ({
        lines,
        leaves: slowRuleLeaves(lines),
      }));
      return sha256([
        ascii('RDQ1'),
        baseOf(part),
        slowPrefixDigest(part.prefixes),
        ...blocks.flatMap(({ lines, leaves }) => [le(lines.length, 4), le(leaves.length, 4)]),
        ...blocks.flatMap(({ leaves }) => leaves),
      ]);
    }
    case 'resolutions': {
      const names = Object.keys(part.names).sort(compareSlowly);
      const leaves = slowLeaves(names.map(slowKey).map(numberOf), 2048, 128).map((indices) => {
        const own = indices.map((i) => names[i] ?? '');
        const entries = own.flatMap((name) => [...shortText(name), ...prefixSet(part.names[name] ?? [])]);
        return sha256([ascii('RLA1'), le(own.length, 4), ...entries]);
      });
      return sha256([ascii('RDA1'), le(names.length, 4), le(leaves.length, 4), ...leaves]);
    }
    case 'unmatched':
      return sha256([ascii('RDU1'), part.action === 'accept' ? '01' : '00']);
  }
}

export interface SlowRecord {
  readonly kind: number;
  readonly name: string;
  readonly count: number;
  readonly bytes: number;
  readonly digest: string;
}

export function slowRecord(part: PartSpec): SlowRecord {
  const [count, bytes] = claim(part);
  return {
    kind: KINDS[part.kind],
    name: 'name' in part ? part.name : '',
    count,
    bytes,
    digest: slowDigest(part),
  };
}

/** The digest of sorted records, hex. */
export function slowCatalogue(records: readonly SlowRecord[]): string {
  const keys = records.map(({ kind, name }) => numberOf(`${le(kind, 1)}${ascii(name)}`));
  const leaves = slowLeaves(keys, 2048, 128).map((indices) => {
    const own = indices.flatMap((i) => records[i] ?? []);
    const fields = own.flatMap(({ kind, name, count, bytes, digest }) => [
      le(kind, 1),
      ...shortText(name),
      le(count, 4),
      le(bytes, 8),
      digest,
    ]);
    return sha256([ascii('RLC1'), le(own.length, 4), ...fields]);
  });
  return sha256([ascii('RDC1'), le(records.length, 4), le(leaves.length, 4), ...leaves]);
}

/** The byte of a policy's default action and of how it answers names. */
function baseOf({ defaultAction, blocked, unlisted }: PolicySpec): string {
  const action = defaultAction === 'accept' ? 1 : 0;
  const answers = { '': 0, nxdomain: 2, refused: 4, null: 6 }[blocked ?? ''];
  return le(action + answers + { '': 0, answer: 8, nxdomain: 16 }[unlisted ?? ''], 1);
}

/** The code of a list's resolver. */
function codeOf(resolve: NamesSpec['resolve']): string {
  return { false: '00', true: '01', firewall: '02', 'firewall-private': '03' }[`${resolve}`];
}
