/**
 * Advice on how to have a refused file read. Firewall rules are recognised by their program. A line of the
 * configuration is proposed only after a trial on this file used every address of it.
 */

import type { ListFormatName } from '../collect/format.ts';
import type { ImportOptions } from '../collect/options.ts';
import { jsonQueryOf } from '../json/query.ts';
import { JsonTape } from '../json/tape.ts';
import { OPEN_BRACE, OPEN_BRACKET } from '../text/ascii.ts';
import { latin1 } from '../text/bytes.ts';
import { finderOf } from '../text/pattern.ts';
import { sampleLines } from '../text/sample.ts';
import { addressesIn, isAddress } from '../text/within.ts';

/** A piece of advice: a line of the configuration, and the options it means. */
export type Advice = readonly [line: string, says: ImportOptions];

// ── Rules ──────────────────────────────────────────────────────────────────────────────────────────────────

interface Rules {
  readonly of: string;
  readonly sign: RegExp;
  /** Rules that lists may contain as well, within a block that `sign` begins. */
  readonly within?: RegExp;
  /** A pattern that finds addresses in lines that say of them only that they are blocked, or listed. */
  readonly plain?: string;
  /** If all lines are like this, each address is meant. */
  readonly all?: RegExp;
}

/** `plain` is RE2's, in linear time; the others are written so that no text takes more than that. */
const RULES: readonly Rules[] = [
  {
    of: 'iptables or UFW',
    sign: /^(?:-[AI] \S+ .*-j \S|:\S+ (?:ACCEPT|DROP|-)(?: |$)|\*(?:filter|raw|nat|mangle)$|COMMIT$|### tuple ###)/,
    plain: String.raw`^-A \S+ -s (\S+) -j (?:DROP|REJECT)$`,
  },
  {
    of: 'pf',
    sign: /^(?:table\s+<|(?:block|pass|match)\s|set\s+skip\s|scrub\s)/,
    within: /^[\da-f.:/]+,$/i,
    all: /^(?:table\s+<[\w.-]+>(?:\s+(?:persist|const|counters)\b)*\s+(?!\s))?\{?[\da-f.:/,\s]*\}?$/i,
  },
  {
    of: 'Cisco',
    sign: /^(?:(?:ip |ipv6 )?access-list\s|ip(?:v6)? prefix-list\s|(?:\d+ )?(?:permit|deny)\s+(?:ip|ipv6|tcp|udp|icmp)\s)/,
    plain: String.raw`^(?:access-list \S+ )?(?:extended )?(?:\d+ )?(?:deny ip host (\S+) any|ip(?:v6)? prefix-list \S+ (?:seq \d+ )?permit (\S+))$`,
  },
  { of: 'FortiGate', sign: /^(?:config \S|edit "|set \S+ \S|next$|end$)/ },
  {
    of: 'RouterOS',
    sign: /^(?:\/ip(?:v6)? firewall|add (?:.* )?(?:list|chain)=)/,
    plain: String.raw`^add (?:(?:list|comment|timeout)=(?:"[^"]*"|\S+) )*address=([\da-f.:/]+)(?: (?:list|comment|timeout)=(?:"[^"]*"|\S+))*$`,
  },
  {
    of: 'BIRD',
    sign: /^route \S+ \S/,
    plain: String.raw`^route (\S+) (?:blackhole|unreachable|prohibit|reject);?$`,
  },
  {
    of: 'Junos',
    sign: /^(?:policy-options|prefix-list \S+|replace:)/,
    within: /^[\da-f.:]+\/\d+;$/i,
    plain: String.raw`^([\da-f.:]+/\d+);$`,
  },
];
const SAMPLE_LINES = 10;
/** Our choice: a longer path is no advice. */
const KEYS_MAX = 8;

/** The rules that most of the first lines are of, if there are any that we know. */
export function rulesOf(bytes: Uint8Array, start: number): Rules | undefined {
  const lines: string[] = [];
  if (bytes[start] === OPEN_BRACE || bytes[start] === OPEN_BRACKET) return undefined; // JSON
  for (const line of sampleLines(bytes, start)) {
    if (/^(?:#(?!## tuple)|;|!|[{}]$)/.test(line)) continue;
    if (lines.push(line) === SAMPLE_LINES) break;
  }
  return RULES.find(({ sign, within }) => {
    const signs = lines.filter((line) => sign.test(line));
    const others = lines.filter((line) => within?.test(line));
    return signs.length > 0 && (signs.length + others.length) * 2 > lines.length;
  });
}

/** Advice for such rules: none if they contain more than addresses. */
function* rulesAdvice({ plain, all }: Rules, bytes: Uint8Array, start: number): Generator<Advice> {
  const pattern = plain === undefined ? '' : finderOf(plain);
  if (typeof pattern !== 'string') yield [`pattern: '${plain}'`, { pattern }];
  if (all === undefined) return;
  const text = latin1(bytes, start, bytes.length);
  const lines = text.split(/[\r\n]+/).filter((line) => !/^\s*(?:#|$)/.test(line));
  if (lines.every((line) => all.test(line.trim()))) yield ['all-addresses: true', { allAddresses: true }];
}

// ── Anything ───────────────────────────────────────────────────────────────────────────────────────────────

/** Possible advice for a file that was read in a format, the likeliest first; each must be tried. */
export function* adviceFor(format: ListFormatName, bytes: Uint8Array, start: number): Generator<Advice> {
  const rules = rulesOf(bytes, start);
  if (rules !== undefined) yield* rulesAdvice(rules, bytes, start);
  else if (format === 'urls' || format === 'ip-port') yield [`format: ${format}`, { format }];
  else if (format === 'json' || format === 'jsonl') yield* jsonAdvice(bytes, start);
  else if (format === 'csv' && isOneEach(latin1(bytes, start, bytes.length)))
    yield ['all-addresses: true', { allAddresses: true }];
}

/** Whether no row has two addresses, which may differ in meaning. */
function isOneEach(text: string): boolean {
  return text.split(/[\r\n]+/).every((row) => [...addressesIn(row)].length <= 1);
}

function* jsonAdvice(bytes: Uint8Array, start: number): Generator<Advice> {
  const tape = new JsonTape(bytes, start);
  const places = new Set<string>();
  const gather = (value: number, place: string): void => {
    if (tape.kind(value) === 'string' && isAddress(tape.text(value))) places.add(place);
    tape.members(value, (key, child) => gather(child, key));
    tape.items(value, (child) => gather(child, `${place}[]`));
  };
  if (tape.fault !== undefined) return;
  for (let root = 0; root < tape.count; root = tape.next(root)) gather(root, '');
  const isOfArrays = [...places].every((place) => place.endsWith('[]'));
  const keys = [...places].map((place) => (isOfArrays ? place.slice(0, -2) : place));
  if (keys.length > 0 && keys.length <= KEYS_MAX && keys.every((key) => key !== '' && !key.endsWith('[]'))) {
    const [first = ''] = keys;
    const isWord = keys.length === 1 && /^[A-Za-z_]\w*$/.test(first);
    const found = isWord ? `$..${first}` : `$..[${keys.map((key) => JSON.stringify(key)).join(',')}]`;
    const path = `${found}${isOfArrays ? '[*]' : ''}`;
    const json = jsonQueryOf(path);
    if (json !== undefined) yield [`json: '${path}'`, { json }];
  }
  yield ['all-addresses: true', { allAddresses: true }];
}
