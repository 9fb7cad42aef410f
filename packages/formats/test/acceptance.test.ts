import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { ImportOptions } from '../src/collect/options.ts';
import { type Acceptance, type AcceptanceOptions, acceptImport } from '../src/list/acceptance.ts';
import { importList } from '../src/list/import.ts';

function fixture(path: string): Buffer {
  return readFileSync(new URL(`../../../test/fixtures/feeds/${path}`, import.meta.url));
}

function judge(
  bytes: Uint8Array | string,
  options: AcceptanceOptions = {},
  importing: ImportOptions = {},
): Acceptance {
  const content = typeof bytes === 'string' ? new TextEncoder().encode(bytes) : bytes;
  return acceptImport(importList('', content, importing), options);
}

/** A list of IPv4 addresses, of which the last `bad` lines are none. */
function listOf(good: number, bad: number): string {
  const line = (_: unknown, i: number): string =>
    i < good ? `192.0.${i >> 8}.${i & 255}\n` : `10.0.0.${i}x\n`;
  return Array.from({ length: good + bad }, line).join('');
}

describe('acceptImport: what is no list', () => {
  it('is told by the name of the file where the content does not, as of what is pushed', () => {
    const yaml = Buffer.from('work:\n  egress: [drop]\n');
    const verdict = acceptImport(importList('work.yaml', yaml));
    expect(verdict).toMatchObject({ code: 'unusable', reason: 'is a rule set document and no list' });
    const rules = acceptImport(importList('work.rules', Buffer.from('acept\n')));
    expect(rules).toMatchObject({ code: 'unusable', reason: 'holds firewall rules and is no list' });
  });

  it.each([
    ['a page', '<!DOCTYPE html>\n<html><body><h1>429 Too Many Requests</h1>', 'unusable', /^looks like HTML/],
    ['a page with blanks before', '\ufeff\n  <html lang="en">', 'unusable', /^looks like HTML/],
    ['XML', '<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', 'unusable', /^looks like HTML/],
    [
      'a message',
      'Too many requests, please try again later.\n',
      'too-many-rejects',
      /^100 % of 1 entries rejected \(read as csv/,
    ],
    [
      'a message of JSON',
      '{"message": "API rate limit exceeded for 192.0.2.1.", "documentation_url": "x"}',
      'unusable',
      /^an error answer and no list: "API rate limit exceeded for 192\.0\.2\.1\."$/,
    ],
    ['an error of JSON', '{"error":"not found"}', 'unusable', /^an error answer and no list: "not found"$/],
    ['JSON of something else', '{"a": 1, "b": []}', 'unusable', /^JSON of no known kind \(its keys: a, b\)/],
    ['nothing', '', 'empty', /^empty: not one byte of a list$/],
    ['blank lines', '\n\n', 'empty', /^empty: no entry in 2 lines$/],
    ['comments alone', '# a\n# b\n', 'empty', /^empty: no entry in 2 lines \(left out: 2 comments\)$/],
    ['an empty array', '[]', 'empty', /^empty: no entry in 1 line$/],
    [
      'rules',
      'action=accept dst4=192.0.2.1\naction=drop\n',
      'unusable',
      /^holds firewall rules and is no list$/,
    ],
    [
      'a document',
      'lists:\n  a: { entries: [192.0.2.1] }\n',
      'unusable',
      /^is a rule set document and no list$/,
    ],
    [
      'half a JSON file',
      fixture('aws-ip-ranges-2018.json').subarray(0, 90_000),
      'unusable',
      /^no valid JSON: the text ends too early/,
    ],
    [
      'JSON with a mistake',
      '{"prefixes": [{"ip_prefix": "192.0.2.0/24",}]}',
      'unusable',
      /^no valid JSON: a key in double quotes is missing$/,
    ],
    ['half a ruleset', fixture('tor.nft').subarray(0, 9000), 'unusable', /^the file ends within braces/],
    [
      'binary data',
      Uint8Array.from({ length: 4000 }, (_, i) => (i * 7919) & 255),
      'unusable',
      /^nothing says which column holds the entries/,
    ],
  ] as const)('%s', (_name, content, code, reason) => {
    const verdict = judge(content);
    expect(verdict).toMatchObject({ kind: 'refused', code });
    expect(verdict.kind === 'refused' ? verdict.reason : '').toMatch(reason);
  });

  it('everything filtered out says by what', () => {
    const verdict = judge(fixture('oracle.json'), {}, { region: ['nowhere'] });
    expect(verdict).toEqual({
      kind: 'refused',
      code: 'empty',
      reason: 'empty: no entry in 5654 lines (left out: 896 entries of other regions)',
    });
  });
});

describe('acceptImport: half a download', () => {
  it('of Spamhaus lacks the metadata that ends it, or states more records than it holds', () => {
    const whole = fixture('spamhaus-drop_v4.ndjson').toString('utf8').trimEnd().split('\n');
    const cut = judge(whole.slice(0, 900).join('\n'));
    expect(cut).toMatchObject({ kind: 'refused', code: 'truncated' });
    expect(cut.kind === 'refused' ? cut.reason : '').toMatch(/metadata record .* is missing/);
    expect(judge([...whole.slice(0, 900), ...whole.slice(-1)].join('\n'))).toEqual({
      kind: 'refused',
      code: 'truncated',
      reason: 'truncated: it states 1406 records in line 901 and holds 900',
    });
    // Cut within a line, it is no JSON any more.
    expect(judge(fixture('spamhaus-drop_v4.ndjson').subarray(0, 50_000))).toMatchObject({ code: 'unusable' });
  });

  it.each([
    ['firehol-header.netset', 2, 'it states 3 subnets in line 19 and holds 2'],
    ['anudeep-adservers.hosts', 40000, 'it states 42531 domains in line 9 and holds 40000'],
    ['drugs-adblock.txt', 26002, 'it states 26029 entries in line 7 and holds 26002'],
    ['ransomware.dnsmasq.conf', 1000, 'it states 1904 entries in line 7 and holds 1000'],
    ['delegated-afrinic-20140630.txt', 4000, 'it states 4024 records in line 1 and holds 3996'],
  ])('of %s after %d entries', (file, count, reason) => {
    const lines = fixture(file).toString('utf8').split('\n');
    const isEntry = (line: string): boolean => !/^\s*(?:[#!]|$)/.test(line);
    const firstEntry = lines.findIndex(isEntry);
    const half = `${lines.slice(0, firstEntry + count).join('\n')}\n`;
    expect(judge(half)).toEqual({ kind: 'refused', code: 'truncated', reason: `truncated: ${reason}` });
    expect(judge(half, { ignoreDeclared: true })).toEqual({ kind: 'accepted' });
  });

  // A publisher of 168,512 names that held 168,511 was refused for ever.
  it('is none where less than a thousandth is missing, which is told', () => {
    const lines = fixture('drugs-adblock.txt').toString('utf8').split('\n');
    const held = `${lines.slice(0, lines.findIndex((line) => line.startsWith('||')) + 26003).join('\n')}\n`;
    const { nearly, truncated } = importList('', Buffer.from(held));
    expect([nearly, truncated]).toEqual(['it states 26029 entries in line 7 and holds 26003', undefined]);
    expect(judge(held)).toEqual({ kind: 'accepted' });
  });

  it('is not seen in a filtered list, which holds less for another reason', () => {
    const filtered = { country: ['ZA'] };
    expect(judge(fixture('delegated-afrinic-20140630.txt'), {}, filtered)).toEqual({ kind: 'accepted' });
  });

  it('unique addresses of FireHOL count after duplicates are dropped', () => {
    const head = '# Entries         : 2 subnets, 512 unique IPs\n';
    expect(judge(`${head}192.0.2.0/24\n198.51.100.0/24\n`)).toEqual({ kind: 'accepted' });
    expect(judge(`${head}192.0.2.0/24\n192.0.2.0/24\n`)).toMatchObject({
      reason: 'truncated: it states 512 unique addresses in line 1 and holds 256',
    });
  });
});

describe('acceptImport: how much dirt is tolerated', () => {
  it.each([
    [90, 10, undefined, 'accepted'],
    [89, 11, undefined, 'refused'],
    [99, 1, 0, 'refused'],
    [100, 0, 0, 'accepted'],
    [29, 71, 0.71, 'accepted'],
    [29, 71, 0.7, 'refused'],
  ])('%d good and %d bad lines with tolerance %s: %s', (good, bad, tolerance, kind) => {
    expect(judge(listOf(good, bad), tolerance === undefined ? {} : { tolerance }).kind).toBe(kind);
  });

  it('says how much, as what it was read, and where it begins', () => {
    expect(judge(listOf(2, 5))).toEqual({
      kind: 'refused',
      code: 'too-many-rejects',
      reason:
        '71 % of 7 entries rejected (read as plain; 5 of them), first at line 3: "10.0.0.2x" is a host name, but this list holds addresses, as line 1 says: keep two lists',
    });
  });

  it('fewest entries are counted in the list, without duplicates', () => {
    expect(judge('192.0.2.1\n192.0.2.1\n', { minEntries: 2 })).toEqual({
      kind: 'refused',
      code: 'too-few-entries',
      reason: '1 entry, and at least 2 are expected',
    });
    expect(judge('192.0.2.1\n192.0.2.2\n', { minEntries: 2 })).toEqual({ kind: 'accepted' });
    expect(judge('', { minEntries: 0 })).toEqual({ kind: 'accepted' });
  });
});
