/**
 * Which format a list has, by its content: lines of a sample vote, JSON is told by its keys. The name of the
 * file decides only where the content does not.
 */

import { bitsOf, isWildcard, parseHostName, parsePrefix } from '@rulecast/rules';
import { LIST_FORMATS, type ListFormatName } from '../collect/format.ts';
import { jsonFormatOf, SEQUENCE } from '../json/formats.ts';
import { JsonTape } from '../json/tape.ts';
import { OPEN_BRACE, OPEN_BRACKET } from '../text/ascii.ts';
import { splitRange } from '../text/range.ts';
import { contentStart, SAMPLE_BYTES, sampleLines } from '../text/sample.ts';
import { lengthColumnOf } from './length-column.ts';

/** The part of a JSON file to look at first: its telling keys are at the beginning. */
const JSON_HEAD_BYTES = 2 * 1024;
/** Meaningful lines that vote. */
const SAMPLE_LINES = 100;

/**
 * The format of a list; `plain` if there is no sign of another. `fileName` may be empty. Reads the first 64
 * KiB.
 */
export function detectListFormat(fileName: string, bytes: Uint8Array): ListFormatName {
  const start = contentStart(bytes);
  const format = detectJsonFormat(bytes, start) ?? detectTextFormat(fileName, sampleLines(bytes, start));
  // Numbers that may be anything are no prefix lengths.
  return format === 'pfx2as' && lengthColumnOf(bytes, start)?.number !== 2 ? 'csv' : format;
}

// ── JSON ───────────────────────────────────────────────────────────────────────────────────────────────────

/** The end of a MISP warninglist, whose list may be longer than the sample. */
const MISP_END = /"(?:matching_attributes|type)"\s*:/;
const JSON_TAIL_BYTES = 2 * 1024;
/** Keys of a rule set document, which is not a list of an unknown kind. */
const DOCUMENT_KEYS = ['lists', 'first.egress', 'first.ingress', 'common', 'policies', 'unmatched'];

/** The format of a file that starts like JSON; undefined if it does not. Without known keys it is `json`. */
function detectJsonFormat(bytes: Uint8Array, start: number): ListFormatName | undefined {
  if (bytes[start] !== OPEN_BRACE && bytes[start] !== OPEN_BRACKET) return undefined;
  for (const sampleBytes of [JSON_HEAD_BYTES, SAMPLE_BYTES]) {
    const paths = jsonPaths(bytes, start, sampleBytes);
    const known = paths && jsonFormatOf(paths.paths);
    if (known !== undefined) return known;
    if (paths?.isArray) return 'json';
    if (paths?.paths.has('list[]') && MISP_END.test(tailOf(bytes))) return 'misp';
    if (sampleBytes === SAMPLE_BYTES || start + sampleBytes >= bytes.length)
      return paths === undefined ? undefined : 'json';
  }
  return undefined;
}

function tailOf(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes.subarray(Math.max(0, bytes.length - JSON_TAIL_BYTES)));
}

/** Whether a file is JSON, and no rule set document: a list, if it is anything. */
export function isJsonList(bytes: Uint8Array): boolean {
  const start = contentStart(bytes);
  const format = detectJsonFormat(bytes, start);
  if (format !== 'json') return format !== undefined;
  const paths = jsonPaths(bytes, start, SAMPLE_BYTES)?.paths;
  return paths !== undefined && !DOCUMENT_KEYS.some((key) => paths.has(key));
}

interface JsonPaths {
  /** Paths as in JsonFormat's signs, with [] after arrays of strings. */
  readonly paths: ReadonlySet<string>;
  readonly isArray: boolean;
}

/**
 * The paths in the sample of a file that starts like JSON; undefined if it does not. The sample may cut it
 * anywhere.
 */
function jsonPaths(bytes: Uint8Array, start: number, sampleBytes: number): JsonPaths | undefined {
  const tape = new JsonTape(bytes.subarray(0, Math.min(bytes.length, start + sampleBytes)), start);
  const { fault } = tape;
  const kind = tape.count === 0 ? undefined : tape.kind(0);
  if (kind !== 'object' && kind !== 'array') return undefined;
  const paths = new Set<string>();
  gatherPaths(tape, 0, '', paths);
  tape.items(0, (item) => gatherPaths(tape, item, '[]', paths));
  const next = tape.next(0);
  if (next < tape.count && tape.kind(next) === 'object') paths.add(SEQUENCE);
  // `[Adblock Plus 2.0]` starts as an array does, and flow style YAML as an object.
  if (fault !== undefined && !fault.isTruncated && paths.size === 0) return undefined;
  return { paths, isArray: kind === 'array' };
}

function gatherPaths(tape: JsonTape, object: number, path: string, into: Set<string>): void {
  tape.members(object, (key, value) => {
    const own = path === '' ? key : `${path}.${key}`;
    into.add(own);
    if (path.includes('[]') || path.includes('.')) return;
    gatherPaths(tape, value, own, into);
    tape.items(value, (item) => {
      if (tape.kind(item) === 'string') into.add(`${own}[]`);
      gatherPaths(tape, item, `${own}[]`, into);
    });
  });
}

// ── Text ───────────────────────────────────────────────────────────────────────────────────────────────────

const ADDRESS = String.raw`(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9A-Fa-f]{0,4}:[0-9A-Fa-f:]*:[0-9A-Fa-f.:]*)`;
const PREFIX = `${ADDRESS}(?:/\\d{1,3})?`;
/** The head of a rule up to its sender; groups are longer than what is looked at. */
export const SURICATA_RULE =
  /^(?:alert|drop|reject\w*|pass)\s+\w+\s+(?:!?\[[\da-f.:/]|(?:any|!?\$\w+|!?[\da-f.:/]+)\s)/;
/** The form of lines by format; a line votes for the first that it fits. */
const LINE_SIGNS: readonly (readonly [ListFormatName, { readonly test: (line: string) => boolean }])[] = [
  ['rir', /^(?:\d+(?:\.\d+)?\|[a-z]+\||[a-z]+\|(?:[A-Z]{2}|\*|)\|(?:asn|ipv4|ipv6)\|)/],
  ['tor', /^(?:ExitNode|ExitAddress)\s/],
  ['suricata', SURICATA_RULE],
  ['ipset', /^(?:(?:create|add|-N|-A)\s+\S+\s+\S|COMMIT$)/],
  [
    'nft',
    /^(?:(?:table|chain|add|create|destroy|delete|flush)\s+(?:\w+\s+)*\w.*|elements\s*=\s*\{.*|define\s+\S+\s*=.*|flush ruleset)$/,
  ],
  ['dnsmasq', /^(?:server|local|address)=\//],
  ['unbound', /^local-(?:zone|data):/],
  ['clash', /^(?:-\s+\S|["']?(?:DOMAIN(?:-[A-Z]+)?|IP-CIDR6?),)/],
  ['adblock', /^(?:\|\|?\S|@@\S|\[Adblock|!)|\^$|^\S*#[@?$%]*#\S/],
  ['rpz', /^\$(?:TTL|ORIGIN)\s|\sSOA\s|^\S+\s+(?:\d+\w*\s+)?(?:IN\s+)?CNAME\s+\S+$/i],
  ['hosts', /^(?:0\.0\.0\.0|127\.0\.0\.1|::1?|255\.255\.255\.255|fe80::1%\w+)\s+[A-Za-z0-9_*][^/\s]*/],
  ['p2p', /^.*:\s*\d+(?:\.\d+){3}\s*-\s*\d+(?:\.\d+){3}$/],
  ['urls', /^\w+:\/\/[^\s,;|]+$/],
  ['ip-port', /^(?:\[[\da-f:.]+\]|[\w-]*(?:\.[\w-]+)+):\d{1,5}$/i],
  ['ranges', new RegExp(`^"?${ADDRESS}"?\\s*-\\s*"?${ADDRESS}"?(?:\\s*[,;\\t|].*)?$`)],
  ['ranges', { test: isRangeRow }],
  ['geofeed', new RegExp(`^${PREFIX},(?:[A-Z]{2}|(?:[A-Z]{2})?,(?:[A-Z]{2}-\\w{1,3})?(?:,[^,]*){0,2})$`)],
  ['pfx2as', new RegExp(`^${ADDRESS}\\t\\d{1,3}\\t\\d+(?:[_,]\\d+)*$`)],
  ['scored', new RegExp(`^${PREFIX}[ \\t,;|]+\\d+(?:\\.\\d+)?$`)],
  ['csv', /^(?:[^#;]|#(?!\s))*?[^\s,][^,]*,|^[^\t]+\t[^\t]+|^[^;\s]+;[^;]+;|^[^|]+\|[^|]+\||^"[^"]*"/],
];
/** The first line of Clash's rule providers. */
const CLASH_HEAD = /^payload:\s*$/;
/** First lines that say it whatever follows: elements of sets look like ranges, and zones like anything. */
const FIRST_LINES: readonly (readonly [ListFormatName, RegExp])[] = [
  ['nft', /^(?:table \w+ \S+ \{|flush ruleset|(?:add|create) (?:table|set|element) |define \S+ =)/],
  ['adblock', /^\[Adblock/i],
  ['rpz', /^\$(?:TTL|ORIGIN)\s/i],
  ['clash', CLASH_HEAD],
  ['ipset', /^create \S+ (?:hash|bitmap|list):/],
  ['csv', /^"?(?:ip|ip[ _]address|address|cidr|prefix|network|subnet|domain|host|hostname|name|fqdn)"?$/i],
];
const COMMENT = /^(?:#|;|\/\/|!)/;
/** The form of header comments by FireHOL, ipverse and others. */
const HEADER = /^#\s*[A-Za-z][\w /()-]*:\s*\S/;

function detectTextFormat(fileName: string, lines: Iterable<string>): ListFormatName {
  const votes = new Map<ListFormatName, number>();
  let meaningful = 0;
  let headers = 0;
  let addresses = 0;
  for (const text of lines) {
    if (COMMENT.test(text) && !isCosmetic(text)) {
      if (HEADER.test(text)) headers++;
      if (text.startsWith('!')) count(votes, 'adblock');
      continue;
    }
    if (++meaningful > SAMPLE_LINES) break;
    const first = meaningful === 1 ? FIRST_LINES.find(([, sign]) => sign.test(text))?.[0] : undefined;
    if (first !== undefined) return first;
    const format = formatOfLine(text);
    if (format !== undefined) count(votes, format);
    if (format === 'plain' && typeof parsePrefix(text.split(/[\s;#-]/, 1)[0] ?? '') !== 'string') addresses++;
  }
  const format = decide(votes, byExtension(fileName));
  return format === 'plain' && headers > 0 && addresses > 0 ? 'netset' : format;
}

/** Two random addresses make many CIDRs; the ends of an assigned block make one or two. */
const RANGE_ROW_CIDRS_MAX = 2;

/**
 * Whether a line is a row of a table of ranges: first and last address of one or two CIDRs, and something
 * about them.
 */
function isRangeRow(line: string): boolean {
  const delimiter = /[,;\t|]/.exec(line)?.[0];
  if (delimiter === undefined) return false;
  const [first, last, about] = line.split(delimiter).map((field) => field.trim().replaceAll('"', ''));
  if (first === undefined || last === undefined || about === undefined || about === '') return false;
  const [from, to] = [parsePrefix(first), parsePrefix(last)];
  if (typeof from === 'string' || typeof to === 'string' || typeof parsePrefix(about) !== 'string')
    return false;
  if (from.family !== to.family || from.length + to.length !== 2 * bitsOf(from.family)) return false;
  let cidrs = 0;
  const isSplit = splitRange(from.family, from.words, to.words, () => {
    cidrs++;
  });
  return isSplit && cidrs <= RANGE_ROW_CIDRS_MAX;
}

/** `##.ad` hides a part of a page; `## Title` is a comment. */
function isCosmetic(text: string): boolean {
  return /^#[@?$%]*#[^\s#]/.test(text);
}

function count(votes: Map<ListFormatName, number>, format: ListFormatName): void {
  votes.set(format, (votes.get(format) ?? 0) + 1);
}

function formatOfLine(text: string): ListFormatName | undefined {
  // A comment behind an entry does not vote.
  const bare = text.replace(/\s+(?:#|;|\/\/).*$/, '');
  if (isPlain(bare)) return 'plain';
  return LINE_SIGNS.find(([, sign]) => sign.test(text))?.[0];
}

/** Whether a line is one address, CIDR or name and nothing else. */
function isPlain(text: string): boolean {
  if (/[\s,|=^]/.test(text)) return false;
  if (typeof parsePrefix(text) !== 'string' || parseHostName(text).kind === 'name') return true;
  return isWildcard(text.startsWith('+.') ? text.slice(1) : text);
}

/** The format with most votes; a plain list of one column may be CSV by its file name. */
function decide(
  votes: ReadonlyMap<ListFormatName, number>,
  named: ReadonlySet<ListFormatName>,
): ListFormatName {
  let best: ListFormatName = 'plain';
  let most = 0;
  for (const [format, number] of votes) {
    if (number > most || (number === most && named.has(format))) {
      best = format;
      most = number;
    }
  }
  const [first = 'plain'] = named;
  if (most === 0) return first;
  return best === 'plain' && named.has('csv') && !named.has('scored') ? 'csv' : best;
}

/** The formats whose files are usually named so. */
function byExtension(fileName: string): ReadonlySet<ListFormatName> {
  const lower = fileName.toLowerCase();
  const formats = LIST_FORMATS.filter(({ extensions }) =>
    extensions.some((ending) => lower.endsWith(ending)),
  );
  return new Set(formats.map(({ name }) => name));
}
