/** Any bytes: importers never throw, say where things are, and hold no more than the file could. */

import { readFileSync } from 'node:fs';
import { entryCount, isCanonical } from '@rulecast/rules';
import { describe, expect, it } from 'vitest';
import fc from '../../../test/seeded-fast-check.ts';
import { often } from '../../../test/thorough.ts';
import { LIST_FORMATS, type ListFormatName } from '../src/collect/format.ts';
import { acceptImport } from '../src/list/acceptance.ts';
import { detectFormat } from '../src/list/detect-file.ts';
import { importList } from '../src/list/import.ts';

/**
 * Bytes of each fixture that are mutated: the head, in which formats differ, and so short that thousands of
 * runs are quick.
 */
const PIECE_BYTES = 3000;

function piece(path: string): Buffer {
  const bytes = readFileSync(new URL(`../../../test/fixtures/${path}`, import.meta.url));
  return Buffer.from(bytes.subarray(0, PIECE_BYTES));
}

const QUOTED =
  '# list\r\nip,"the ""note"""\r\n"192.0.2.1","a, b"\r\n192.0.2.2,"two\r\nlines"\r\n\r\n"2001:db8::/32",\n';

const PIECES: readonly (readonly [ListFormatName, Buffer])[] = (
  [
    ['plain', 'lists/tor-exit-nodes.lst'],
    ['netset', 'feeds/firehol-header.netset'],
    ['scored', 'feeds/ipsum-scored.tsv'],
    ['ranges', 'feeds/asn-country-ipv6.csv'],
    ['csv', 'feeds/blackbook.csv'],
    ['geofeed', 'feeds/digitalocean-geofeed.csv'],
    ['rir', 'feeds/delegated-afrinic-20140630.txt'],
    ['p2p', 'feeds/vpn.p2p'],
    ['hosts', 'feeds/adaway.hosts'],
    ['adblock', 'feeds/scam-adblock.txt'],
    ['dnsmasq', 'feeds/ransomware.dnsmasq.conf'],
    ['unbound', 'feeds/scam.unbound.conf'],
    ['clash', 'feeds/scam-clash.yaml'],
    ['rpz', 'feeds/scam.rpz'],
    ['ipset', 'feeds/vpn.ipset-save'],
    ['nft', 'feeds/tor.nft'],
    ['nft-json', 'feeds/tor.nft.json'],
    ['aws', 'feeds/aws-ip-ranges-2018.json'],
    ['google', 'feeds/google-cloud.json'],
    ['oracle', 'feeds/oracle.json'],
    ['github', 'feeds/github-meta.json'],
    ['ipverse', 'feeds/country-is-aggregated.json'],
    ['spamhaus', 'feeds/spamhaus-drop_v4.ndjson'],
    ['spamhaus-asn', 'feeds/spamhaus-asn_drop.ndjson'],
    ['misp', 'feeds/warninglists/cloudflare.json'],
  ] as const
)
  .map(([format, path]): [ListFormatName, Buffer] => [format, piece(path)])
  .concat([['csv', Buffer.from(QUOTED.repeat(4))]]);

/** Everything that must hold for any import of any bytes. */
function check(bytes: Uint8Array, format: ListFormatName | undefined): void {
  let told = 0;
  let listened = 0;
  const imported = importList('', bytes, {
    ...(format === undefined ? {} : { format }),
    limits: { rejectsKept: 50 },
    onReject: () => told++,
    onEntry: (line, column, canonical) => {
      listened++;
      expect(line >= 1 && column >= 1 && canonical() !== '').toBe(true);
    },
  });
  const { entries, rejects, rejectCount, lineCount, list, fault, skipped } = imported;
  expect([told, listened]).toEqual([rejectCount, entries]);
  expect(rejects).toHaveLength(Math.min(50, rejectCount));
  const lines = Buffer.from(bytes)
    .toString('utf8')
    .split(/\r\n|\n|\r/);
  expect(lineCount).toBeLessThanOrEqual(lines.length);
  for (const { line, column, code, reason } of rejects) {
    expect(Number.isSafeInteger(line) && line >= 1 && line <= lines.length).toBe(true);
    // A column is one of the line or just behind it; bytes that are not UTF-8 may count as more characters
    // than they are.
    expect(column >= 1 && column <= 3 * (lines[line - 1] ?? '').length + 2).toBe(true);
    expect(code).toMatch(/^[a-z0-9-]+$/);
    expect(reason.length > 0 && reason.length < 1000 && !/\p{Cc}/u.test(reason)).toBe(true);
  }
  for (const { count, line } of skipped) expect(count >= 1 && line >= 1 && line <= lines.length).toBe(true);
  // A range is at most 254 prefixes, and an entry takes at least one byte.
  expect(entryCount(list)).toBeLessThanOrEqual(254 * bytes.length);
  if (list.kind === 'prefixes') expect(isCanonical(list.v4) && isCanonical(list.v6)).toBe(true);
  if (fault !== undefined) expect(acceptImport(imported).kind).toBe('refused');
  // Without a listener, other paths are taken to the same list.
  const quick = importList('', bytes, format === undefined ? {} : { format });
  expect(quick.list).toEqual(list);
  expect([quick.entries, quick.rejectCount, quick.lineCount]).toEqual([entries, rejectCount, lineCount]);
  expect(quick.skipped).toEqual(skipped);
}

/** Changes of bytes: replaced, cut out, doubled, swapped for something that means something. */
const mutation = fc.record({
  at: fc.nat(PIECE_BYTES - 1),
  length: fc.nat(40),
  insert: fc.oneof(
    fc.constant(Buffer.alloc(0)),
    fc.uint8Array({ maxLength: 6 }).map((bytes) => Buffer.from(bytes)),
    fc
      .constantFrom(
        '\n',
        '\r',
        '\r\n',
        '"',
        '""',
        '{',
        '}',
        '[',
        ']',
        ',',
        '\\',
        '\\u0000',
        '/',
        '0',
        '99999999999',
        '-',
        '::',
        '#',
        ';',
        '|',
        '\t',
        '(',
        ')',
        '\0',
        'é',
        '😀',
        '\ufeff',
      )
      .map((text) => Buffer.from(text)),
  ),
});

function mutated(
  bytes: Buffer,
  changes: readonly (typeof mutation extends fc.Arbitrary<infer T> ? T : never)[],
): Buffer {
  let result = bytes;
  for (const { at, length, insert } of changes) {
    const from = Math.min(at, result.length);
    result = Buffer.concat([result.subarray(0, from), insert, result.subarray(from + length)]);
  }
  return result;
}

describe('any bytes', () => {
  it.each(PIECES)('%s with mutations', (format, bytes) => {
    fc.assert(
      fc.property(fc.array(mutation, { minLength: 1, maxLength: 6 }), (changes) => {
        const text = mutated(bytes, changes);
        check(text, format);
        check(text, undefined);
      }),
      { numRuns: often(8, 25) },
    );
  });

  it('every truncation of a JSON feed is noticed', () => {
    for (const [format, bytes] of PIECES) {
      if (!['nft-json', 'misp', 'ipverse'].includes(format)) continue;
      const whole = bytes.subarray(0, bytes.length);
      for (let length = 1; length < whole.length; length += 7) {
        const imported = importList('', whole.subarray(0, length), { format });
        expect(acceptImport(imported).kind).toBe('refused');
      }
    }
  });

  it('of one format read as another', () => {
    for (const [, bytes] of PIECES) for (const { name } of LIST_FORMATS) check(bytes, name);
  });

  it('random bytes and random lines of pieces of all formats', () => {
    const fragment = fc.constantFrom(
      ...PIECES.flatMap(([, bytes]) => bytes.toString('latin1').split('\n').slice(0, 20)),
    );
    const text = fc
      .array(fragment, { maxLength: 30 })
      .map((lines) => Buffer.from(lines.join('\n'), 'latin1'));
    const noise = fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes));
    const formats = fc.constantFrom(undefined, ...LIST_FORMATS.map(({ name }) => name));
    fc.assert(
      fc.property(fc.oneof(text, noise), formats, (bytes, format) => {
        check(bytes, format);
        expect(['list', 'rules', 'document']).toContain(detectFormat('', bytes));
      }),
      { numRuns: often(150, 500) },
    );
  });
});

describe('a line as long as is read', () => {
  /** Begins of lines by format, so that what follows is looked at by the innermost pattern. */
  const BEGINS = {
    plain: ['', '192.0.2.1 '],
    scored: ['', '192.0.2.1 1'],
    ranges: ['', '192.0.2.1 - '],
    csv: ['', '192.0.2.1,"a"', 'a "b" '],
    geofeed: ['', '192.0.2.0/24,', 'a "b" '],
    rir: ['', 'afrinic|ZA|ipv4|', '2.3|'],
    p2p: ['', 'a:', 'a:192.0.2.1-'],
    hosts: ['', '0.0.0.0 '],
    adblock: ['', '||', '||a^$', '#@', '#$'],
    dnsmasq: ['', 'server=', 'server=/', 'address=/a/'],
    unbound: ['', 'local-zone: ', 'local-zone: "a" ', 'local-zone: "a" static '],
    clash: ['', '- ', '- DOMAIN,'],
    rpz: ['', 'a ', 'a IN CNAME '],
    tor: ['', 'ExitAddress ', 'ExitAddress 192.0.2.1 '],
    suricata: ['', 'alert ip [', 'alert ip a b -> c d (', 'alert ip a any -> any any (', '[] []'],
    urls: ['', 'http://', 'http://a@', 'http://a:1/ '],
    'ip-port': ['', '[', '192.0.2.1:'],
    pfx2as: ['', '192.0.2.0\t24\t'],
    ipset: ['', 'add a ', 'add a 192.0.2.1 '],
    nft: ['', 'add element inet t a { ', 'define a = '],
  } as const;
  const UNITS = [...' 0a.:#"/|^$', '1h', 'a.', '1,', ' a', '#%', '||', '/a', '"\\'];
  const LINE_BYTES = 128 * 1024;
  /** A pattern that goes back and forth takes many seconds; one that does not, a few milliseconds. */
  const MOST_MS = 1000;

  it.each(Object.entries(BEGINS))('of %s is read in one go, whatever it repeats', (format, begins) => {
    for (const begin of begins) {
      for (const unit of UNITS) {
        const line = `${begin}${unit.repeat(LINE_BYTES / unit.length)}!x)\n`;
        const read = (): number => {
          const startMs = performance.now();
          importList('', Buffer.from(line), {
            format: format as ListFormatName,
            limits: { lineBytes: 2 * LINE_BYTES },
          });
          return performance.now() - startMs;
        };
        const isQuick = [read, read, read].some((attempt) => attempt() < MOST_MS); // others may use the processor
        expect(isQuick, `${begin}${unit.repeat(3)}…`).toBe(true);
      }
    }
  });
});
