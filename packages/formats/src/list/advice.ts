/**
 * What to say of a file that is refused, so that it is read: rules of firewalls are told by name, and a line
 * of a configuration is proposed only after it was tried on this file and used every address of it.
 */

import type { ListFormatName } from '../collect/format.ts';
import type { ImportOptions, JsonQuery } from '../collect/options.ts';
import { JsonTape } from '../json/tape.ts';
import { OPEN_BRACE, OPEN_BRACKET } from '../text/ascii.ts';
import { latin1 } from '../text/bytes.ts';
import { sampleLines } from '../text/sample.ts';
import { isAddress } from '../text/within.ts';

/** What may be said of a file, as a line of a configuration and as options. */
export type Advice = readonly [line: string, says: ImportOptions];

// ── Rules ──────────────────────────────────────────────────────────────────────────────────────────────────

interface Rules {
  readonly of: string;
  /** Half of the first lines look like one of these. */
  readonly sign: RegExp;
  /** Finds addresses in lines that say nothing else of them than that they are blocked, or listed. */
  readonly plain?: RegExp;
  /** If all lines are like this, each address is meant. */
  readonly all?: RegExp;
}

/** What RE2 and JavaScript read alike. */
const RULES: readonly Rules[] = [
  {
    of: 'iptables or UFW',
    sign: /^(?:-[AI] \S+ .*-j \S|:\S+ (?:ACCEPT|DROP|-)(?: |$)|\*(?:filter|raw|nat|mangle)$|COMMIT$|### tuple ###)/,
    plain: /^-A \S+ -s (\S+) -j (?:DROP|REJECT)$/,
  },
  {
    of: 'pf',
    sign: /^(?:table\s+<|(?:block|pass|match)\s|set\s+skip\s|scrub\s|[\da-f.:/]+,$)/,
    all: /^(?:table\s+<[\w.-]+>\s+(?:(?:persist|const|counters)\s+)*)?\{?[\da-f.:/,\s]*\}?$/i,
  },
  {
    of: 'Cisco',
    sign: /^(?:(?:ip |ipv6 )?access-list\s|ip(?:v6)? prefix-list\s|(?:\d+ )?(?:permit|deny)\s+(?:ip|ipv6|tcp|udp|icmp)\s)/,
    plain:
      /^(?:access-list \S+ )?(?:extended )?(?:\d+ )?(?:deny ip host (\S+) any|ip(?:v6)? prefix-list \S+ (?:seq \d+ )?permit (\S+))$/,
  },
  { of: 'FortiGate', sign: /^(?:config \S|edit "|set \S+ \S|next$|end$)/ },
  {
    of: 'RouterOS',
    sign: /^(?:\/ip(?:v6)? firewall|add (?:.* )?(?:list|chain)=)/,
    plain:
      /^add (?:(?:list|comment|timeout)=(?:"[^"]*"|\S+) )*address=([\da-f.:/]+)(?: (?:list|comment|timeout)=(?:"[^"]*"|\S+))*$/,
  },
  { of: 'BIRD', sign: /^route \S+ \S/, plain: /^route (\S+) (?:blackhole|unreachable|prohibit|reject);?$/ },
  {
    of: 'Junos',
    sign: /^(?:policy-options|prefix-list \S+|replace:|[\da-f.:]+\/\d+;$)/,
    plain: /^([\da-f.:]+\/\d+);$/,
  },
];
const SAMPLE_LINES = 10;
/** Our choice: a longer path is no advice. */
const KEYS_MAX = 8;

/** The rules that a text is, if it is any that we know. */
export function rulesOf(bytes: Uint8Array, start: number): Rules | undefined {
  const lines: string[] = [];
  if (bytes[start] === OPEN_BRACE || bytes[start] === OPEN_BRACKET) return undefined; // JSON
  for (const line of sampleLines(bytes, start)) {
    if (/^(?:#(?!## tuple)|;|!|[{}]$)/.test(line)) continue;
    if (lines.push(line) === SAMPLE_LINES) break;
  }
  return RULES.find(({ sign }) => lines.filter((line) => sign.test(line)).length * 2 > lines.length);
}

/** What may be said of such rules: nothing where they are more than addresses. */
function* rulesAdvice({ plain, all }: Rules, bytes: Uint8Array, start: number): Generator<Advice> {
  if (plain !== undefined)
    yield [`pattern: '${plain.source.replaceAll('\\/', '/')}'`, { pattern: finderOf(plain) }];
  if (all === undefined) return;
  const text = latin1(bytes, start, bytes.length);
  const lines = text.split(/[\r\n]+/).filter((line) => !/^\s*(?:#|$)/.test(line));
  if (lines.every((line) => all.test(line.trim()))) yield ['all-addresses: true', { allAddresses: true }];
}

/** What RE2 finds of a pattern whose lines are whole. */
function finderOf(pattern: RegExp): NonNullable<ImportOptions['pattern']> {
  const placed = new RegExp(pattern, 'd');
  return (text) =>
    placed
      .exec(text)
      ?.indices?.slice(1)
      .filter((place) => place !== undefined) ?? [];
}

// ── Anything ───────────────────────────────────────────────────────────────────────────────────────────────

/** What may be said of a file that was read in a format, the likeliest first; each is to be tried. */
export function* adviceFor(format: ListFormatName, bytes: Uint8Array, start: number): Generator<Advice> {
  const rules = rulesOf(bytes, start);
  if (rules !== undefined) yield* rulesAdvice(rules, bytes, start);
  else if (format === 'urls' || format === 'ip-port') yield [`format: ${format}`, { format }];
  else if (format === 'json' || format === 'jsonl') yield* jsonAdvice(bytes, start);
  else if (format === 'csv') yield ['all-addresses: true', { allAddresses: true }];
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
    const path = isWord ? `$..${first}` : `$..[${keys.map((key) => JSON.stringify(key)).join(',')}]`;
    yield [`json: '${path}${isOfArrays ? '[*]' : ''}'`, { json: queryOf(new Set(keys), isOfArrays) }];
  }
  yield ['all-addresses: true', { allAddresses: true }];
}

/** What such a path finds. */
function queryOf(keys: ReadonlySet<string>, isOfArrays: boolean): JsonQuery {
  const childrenOf = (value: unknown): readonly (readonly [string | number, unknown])[] =>
    Array.isArray(value)
      ? [...value.entries()]
      : typeof value === 'object' && value !== null
        ? Object.entries(value)
        : [];
  const walk = (value: unknown, way: readonly (string | number)[], visit: Parameters<JsonQuery>[1]): void => {
    for (const [key, child] of childrenOf(value)) {
      const here = [...way, key];
      if (keys.has(String(key)) && !Array.isArray(value)) {
        if (isOfArrays) for (const [inner] of childrenOf(child)) visit([...here, inner]);
        else visit(here);
      }
      walk(child, here, visit);
    }
  };
  return (json, visit) => walk(json, [], visit);
}
