/**
 * Lists written in the formats that other programs read. Text comes in chunks, so that a list of millions is
 * never one string; the importers read it back to the same addresses or names. Only dnsmasq cannot express a
 * name without those below it.
 */

import {
  formatPrefixAt,
  hasWildcards,
  isWildcardEntry,
  type List,
  type NameList,
  nameSetOf,
  nameTexts,
  type Prefixes,
  type PrefixList,
  sameNameSet,
  subtractNames,
} from '@rulecast/rules';

/** The formats, with the kinds of lists each supports. */
export const EXPORT_FORMATS = [
  { name: 'plain', title: 'one entry a line', holds: 'either' },
  { name: 'netset', title: 'one CIDR a line under a header as FireHOL writes it', holds: 'prefixes' },
  { name: 'csv', title: 'CSV with a header', holds: 'either' },
  { name: 'json', title: 'JSON array of strings', holds: 'either' },
  { name: 'ipset', title: 'input of ipset restore', holds: 'prefixes' },
  { name: 'nft', title: 'input of nft -f: a table with one set for each family', holds: 'prefixes' },
  { name: 'hosts', title: 'hosts file with 0.0.0.0', holds: 'names' },
  { name: 'adblock', title: 'rules of ad blockers', holds: 'names' },
  { name: 'dnsmasq', title: 'dnsmasq configuration, which also blocks the names below', holds: 'names' },
  { name: 'rpz', title: 'DNS response policy zone', holds: 'names' },
] as const;
export type ExportFormatName = (typeof EXPORT_FORMATS)[number]['name'];

export interface ExportOptions {
  /**
   * The list's name; becomes the name of sets. Letters, digits, `.`, `_` and `-`, like all names of lists.
   */
  readonly name: string;
  /** Lines to put at the head as comments, where the format has comments: version, time, origin. */
  readonly comments?: readonly string[];
}

/** Entries of one chunk: some 100 kB of text. */
const CHUNK_ENTRIES = 4096;
/** Longest name of a set that ipset takes (its IPSET_MAXNAMELEN is 32, with the final NUL). */
const IPSET_NAME_MAX_BYTES = 31;

/** The text of a list, or why the format cannot hold it. */
export type ListExport =
  | { readonly kind: 'text'; readonly chunks: Iterable<string> }
  | { readonly kind: 'refused'; readonly reason: string };

export function isExportFormatName(name: string): name is ExportFormatName {
  return EXPORT_FORMATS.some((format) => format.name === name);
}

/** Writes a list. The chunks are made as they are asked for, once. */
export function exportList(list: List, format: ExportFormatName, options: ExportOptions): ListExport {
  const text = (chunks: Iterable<string>): ListExport => ({ kind: 'text', chunks });
  const unsayable = list.kind === 'names' ? exceptionFault(list, format) : undefined;
  if (unsayable !== undefined) return refused(format, 'entries', unsayable);
  switch (format) {
    case 'plain':
      return text(lines(comments('#', options), entriesOf(list)));
    case 'csv':
      return text(lines([list.kind === 'names' ? 'name\n' : 'cidr\n'], entriesOf(list)));
    case 'json':
      return text(jsonChunks(list));
    case 'netset':
    case 'ipset':
    case 'nft':
      if (list.kind === 'names') return refused(format, 'addresses', 'names');
      return text(PREFIX_WRITERS[format](list, options));
    case 'hosts':
    case 'adblock':
    case 'dnsmasq':
    case 'rpz':
      if (list.kind !== 'names') return refused(format, 'names', 'addresses');
      if (format === 'hosts' && hasWildcards(list.names))
        return refused(format, 'single names', 'entries for what is below a name');
      return text(NAME_WRITERS[format](list, options));
  }
}

/** Which exceptions of a list a format cannot say. */
function exceptionFault(list: NameList, format: ExportFormatName): string | undefined {
  if (list.exceptions.count === 0) return undefined;
  switch (format) {
    case 'rpz':
      return undefined;
    case 'adblock': {
      // An exception wins there over all rules.
      const said = subtractNames(nameSetOf(list.names), nameSetOf(list.exceptions));
      return sameNameSet(said, list) ? undefined : 'entries within exceptions';
    }
    case 'dnsmasq': {
      const isOfOne = [...nameTexts(list.exceptions)].some((text) => !isWildcardEntry(text));
      return isOfOne ? 'exceptions of single names' : undefined;
    }
    default:
      return 'exceptions';
  }
}

function refused(format: ExportFormatName, holds: string, has: string): ListExport {
  return { kind: 'refused', reason: `the format ${format} holds ${holds}, and this list holds ${has}` };
}

const PREFIX_WRITERS = { netset: netsetChunks, ipset: ipsetChunks, nft: nftChunks } as const;

const NAME_WRITERS = {
  hosts: (list: NameList, options: ExportOptions) =>
    lines(comments('#', options), nameTexts(list.names), (name) => `0.0.0.0 ${name}`),
  adblock: (list: NameList, options: ExportOptions) =>
    both(
      lines(['[Adblock Plus 2.0]\n', ...comments('!', options)], nameTexts(list.names), adblockRule),
      lines([], nameTexts(list.exceptions), adblockException),
    ),
  dnsmasq: (list: NameList, options: ExportOptions) =>
    both(
      lines(comments('#', options), nameTexts(list.names), (name) => `address=/${name.replace(/^\./, '')}/`),
      lines([], nameTexts(list.exceptions), (name) => `server=/${name.replace(/^\./, '')}/#`),
    ),
  rpz: (list: NameList, options: ExportOptions) =>
    both(
      lines(
        [
          '$TTL 300\n',
          ...comments(';', options),
          '@ SOA localhost. root.localhost. 1 3600 600 86400 300\n  NS localhost.\n',
        ],
        nameTexts(list.names),
        (name) => zoneRecords(name, '.'),
      ),
      lines([], nameTexts(list.exceptions), (name) => zoneRecords(name, 'rpz-passthru.')),
    ),
} as const;

/** A rule for a single name, in AdGuard's syntax. */
function adblockRule(name: string): string {
  return isWildcardEntry(name) ? `||${name.replace(/^\./, '')}^` : name;
}

function adblockException(name: string): string {
  return isWildcardEntry(name) ? `@@${adblockRule(name)}` : `@@|${name}^`;
}

function zoneRecords(name: string, target: string): string {
  const record = `${name.replace(/^\./, '')} CNAME ${target}`;
  return name.startsWith('.') ? `${record}\n*${name} CNAME ${target}` : record;
}

function* both(entries: Iterable<string>, exceptions: Iterable<string>): Generator<string> {
  yield* entries;
  yield* exceptions;
}

// ── Pieces ─────────────────────────────────────────────────────────────────────────────────────────────────

function comments(mark: string, { comments: texts = [] }: ExportOptions): readonly string[] {
  return texts.map((text) => `${mark} ${text.replace(/[\r\n]+/g, ' ')}\n`);
}

/** The head, then each entry on a line, many lines a chunk. */
function* lines(
  head: readonly string[],
  entries: Iterable<string>,
  write: (entry: string) => string = (entry) => entry,
): Generator<string> {
  yield* head;
  let chunk: string[] = [];
  for (const entry of entries) {
    chunk.push(write(entry), '\n');
    if (chunk.length < CHUNK_ENTRIES * 2) continue;
    yield chunk.join('');
    chunk = [];
  }
  if (chunk.length > 0) yield chunk.join('');
}

function* entriesOf(list: List): Generator<string> {
  if (list.kind === 'names') yield* nameTexts(list.names);
  else {
    yield* prefixTexts(list.v4);
    yield* prefixTexts(list.v6);
  }
}

function* prefixTexts(column: Prefixes): Generator<string> {
  for (let i = 0; i < column.lengths.length; i++) yield formatPrefixAt(column, i);
}

/** A header that says how many entries follow, so that half a file is noticed. */
function netsetChunks(list: PrefixList, options: ExportOptions): Iterable<string> {
  const count = list.v4.lengths.length + list.v6.lengths.length;
  let addresses = 0;
  for (const length of list.v4.lengths) addresses += 2 ** (32 - length);
  const head = [
    `#\n# ${options.name}\n#\n`,
    ...comments('#', options),
    `# Entries         : ${count} subnets, ${addresses} unique IPs\n#\n`,
  ];
  return lines(head, entriesOf(list));
}

function* jsonChunks(list: List): Generator<string> {
  let separator = '[\n';
  for (const chunk of lines([], entriesOf(list), (entry) => JSON.stringify(entry))) {
    yield separator + chunk.trimEnd().replaceAll('\n', ',\n');
    separator = ',\n';
  }
  yield separator === '[\n' ? '[]\n' : '\n]\n';
}

/**
 * One set for each family that has entries, since a set of ipset holds one. Its hash:net cannot hold a prefix
 * of length 0.
 */
function* ipsetChunks(list: PrefixList, options: ExportOptions): Generator<string> {
  yield* comments('#', options);
  for (const column of [list.v4, list.v6]) {
    const count = column.lengths.length;
    if (count === 0) continue;
    const suffix = column.family === 4 ? '' : '6';
    const name = options.name.slice(0, IPSET_NAME_MAX_BYTES - suffix.length) + suffix;
    const family = column.family === 4 ? 'inet' : 'inet6';
    yield `create ${name} hash:net family ${family} maxelem ${Math.max(65536, count + 1)}\n`;
    const halves = column.family === 4 ? ['0.0.0.0/1', '128.0.0.0/1'] : ['::/1', '8000::/1'];
    const entries = column.lengths[0] === 0 ? halves : prefixTexts(column);
    yield* lines([], entries, (entry) => `add ${name} ${entry}`);
  }
}

/** One table with one interval set for each family, elements many a line. */
function* nftChunks(list: PrefixList, options: ExportOptions): Generator<string> {
  const table = nftName(options.name);
  yield* comments('#', options);
  yield `table inet ${table} {\n`;
  for (const column of [list.v4, list.v6]) {
    yield `\tset ${table}_v${column.family} {\n\t\ttype ipv${column.family}_addr\n\t\tflags interval\n`;
    if (column.lengths.length > 0) {
      let separator = '\t\telements = {\n\t\t\t';
      for (const chunk of lines([], prefixTexts(column))) {
        yield separator + chunk.trimEnd().replaceAll('\n', ',\n\t\t\t');
        separator = ',\n\t\t\t';
      }
      yield '\n\t\t}\n';
    }
    yield '\t}\n';
  }
  yield '}\n';
}

/** Identifiers of nftables have no dots and dashes, and are none of its words. */
function nftName(name: string): string {
  return `list_${name.replace(/[^A-Za-z0-9_]/g, '_')}`;
}
