/**
 * A sample of every shape in which lists are published, and what becomes of those that are broken: a reader
 * in Python, which knows nothing of ours, says what the whole ones hold, and no broken one may be taken for
 * something else without a word.
 */

import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { aggregatePrefixes, type List } from '@rulecast/rules';
import { describe, expect, it } from 'vitest';
import { seededNumbers } from '../../../test/kit/random.mjs';
import type { Input } from '../src/read/inputs.ts';
import { type ReadingJob, type ReadList, type ReadRefused, readSource } from '../src/read/reading.ts';
import { entriesOf } from './list-of.ts';
import { jobOf, WHOLE } from './reading-job.ts';

const FOLDER = fileURLToPath(new URL('../../../test/fixtures/shapes', import.meta.url));
const READER = fileURLToPath(new URL('../../../test/python/shapes.py', import.meta.url));
const HELD: Readonly<Record<string, readonly string[]>> = JSON.parse(
  execFileSync('python3', [READER, FOLDER], { encoding: 'utf8' }),
);
const SHAPES: readonly string[] = readdirSync(FOLDER);

type Reading = Partial<ReadingJob['reading']>;

/** What has to be said of a shape; the others are told by their content. */
const SAID: Readonly<Record<string, Reading>> = {
  'ip-port': { format: 'ip-port' },
  urls: { format: 'urls', take: 'addresses' },
  'bind-zone': { pattern: '^zone "([^"]+)"' },
  'bogus-nxdomain': { pattern: '^bogus-nxdomain=(\\S+)$' },
  dat: { allAddresses: true },
  rsc: { pattern: '(?:^| )address=(\\S+)' },
  bird: { pattern: '^route (\\S+) via' },
  'bgpq4-cisco': { pattern: '^ip prefix-list \\S+ permit (\\S+)$' },
  'bgpq4-juniper': { pattern: '^([\\da-f.:]+/\\d+);$' },
  'bgpq4-json': { json: '$..prefix' },
  'iptables-save': { pattern: '^-A \\S+ -s (\\S+) -j DROP$' },
  ufw: { pattern: '^-A \\S+ -s (\\S+) -j DROP$' },
  reputation: { column: 1, delimiter: '#' },
  'crowdsec-csv': { pattern: ',(?:Ip|Range):([^,]+),' },
  'crowdsec-lapi': { json: '$[*].value' },
  stix2: { allAddresses: true },
  o365: { take: 'addresses' },
  datadog: { json: '$..["prefixes_ipv4","prefixes_ipv6"][*]' },
  imperva: { json: '$["ipRanges","ipv6Ranges"][*]' },
  mixed: { take: 'names' },
  lsrules: { json: '$["denied-remote-domains"][*]' },
  irr: { pattern: '^route6?:\\s+(\\S+)$' },
  'hosts-short': { pattern: '^0 (\\S+)$' },
};
/** Shapes that no list can say, or that nobody can read. */
const REFUSED = ['archive-in-archive', 'cisco-acl', 'defanged', 'fortigate', 'ip2location', 'p2b', 'pf'];

function sample(shape: string): Buffer {
  return readFileSync(`${FOLDER}/${shape}`);
}

async function read(
  bytes: Uint8Array,
  said: Reading,
  end: Input['end'] = 'proven',
): Promise<ReadList | ReadRefused> {
  return await readSource(jobOf({ sample: bytes }, { reading: { ...WHOLE, ...said } }, end));
}

function heldBy(list: List): readonly string[] {
  if (list.kind === 'names') return (entriesOf(list) ?? []).toSorted();
  return entriesOf({ ...list, v4: aggregatePrefixes(list.v4), v6: aggregatePrefixes(list.v6) }) ?? [];
}

describe('the samples', () => {
  it('are of 43 shapes, of at most 20 lines', () => {
    expect(SHAPES).toHaveLength(43);
    for (const shape of SHAPES)
      if (!REFUSED.includes(shape))
        expect(sample(shape).toString().split('\n').length, shape).toBeLessThanOrEqual(21);
    expect([...Object.keys(HELD), ...REFUSED].toSorted()).toEqual(SHAPES.toSorted());
  });

  it.each(Object.keys(HELD))(
    '%s holds what another reader finds, and nothing of it is a reject',
    async (shape) => {
      const result = await read(sample(shape), SAID[shape] ?? {});
      if (result.kind === 'refused') throw new Error(result.reason);
      expect(heldBy(result.list)).toEqual(HELD[shape]);
      expect(result.rejects).toEqual([]);
    },
  );

  it.each([...REFUSED, ...Object.keys(SAID)])('%s is refused where nothing is said of it', async (shape) => {
    expect((await read(sample(shape), {})).kind).toBe('refused');
  });
});

// ── Broken ─────────────────────────────────────────────────────────────────────────────────────────────────

const BREAKS = ['cut', 'a swapped column', 'a second address', 'a new header'] as const;
type Break = (typeof BREAKS)[number];

interface Variant {
  readonly shape: string;
  readonly broken: Break;
  readonly text: string;
  /** What was put in. */
  readonly added: string | undefined;
}

const SECOND = '198.51.100.250';
const HEADERS = [
  'ip,score,date',
  'Address Count',
  '"first","last","country"',
  'Generated: 2026-11-30',
  'network;note',
];
/** What divides the fields of a line, the likeliest first. */
const DIVIDERS = ['\t', ' | ', ',', '#', ' ', ':'];

function variantOf(shape: string, broken: Break, draw: (below: number) => number): Variant {
  const text = sample(shape).toString();
  const lines = text.trimEnd().split('\n');
  const rows = [...lines.keys()].filter((i) => !lines[i]?.startsWith('#')); // a comment may say anything
  const at = rows[draw(rows.length)] ?? 0;
  const line = lines[at] ?? '';
  const isDivider = (one: string): boolean =>
    line.trim().includes(one) && !(one === ':' && line.includes('::'));
  const divider = DIVIDERS.find(isDivider) ?? ' ';
  const withLine = (other: string): string => `${lines.with(at, other).join('\n')}\n`;
  switch (broken) {
    case 'cut':
      return { shape, broken, text: text.slice(0, 1 + draw(text.length - 1)), added: undefined };
    case 'a swapped column': {
      const swapped = (row: string): string => {
        const fields = row.split(divider);
        const i = draw(Math.max(1, fields.length - 1));
        return fields
          .with(i, fields[i + 1] ?? '')
          .with(Math.min(i + 1, fields.length - 1), fields[i] ?? '')
          .join(divider);
      };
      return { shape, broken, text: withLine(swapped(line)), added: undefined };
    }
    case 'a second address': {
      const fields = line.split(divider);
      return {
        shape,
        broken,
        text: withLine(fields.toSpliced(1 + draw(fields.length), 0, SECOND).join(divider)),
        added: SECOND,
      };
    }
    case 'a new header':
      return { shape, broken, text: `${HEADERS[draw(HEADERS.length)]}\n${text}`, added: undefined };
  }
}

const VARIANTS_COUNT = 150;
const READ = Object.keys(HELD);
const draw = seededNumbers(20_261_201);
const VARIANTS = Array.from({ length: VARIANTS_COUNT }, (_, i) => {
  const broken = BREAKS[Math.floor(i / READ.length) % BREAKS.length] ?? 'cut';
  return variantOf(READ[i % READ.length] ?? '', broken, draw);
});

/** What was said of a file that was taken. */
function told({ rejectCount, leftOut, notes, suffixCount }: ReadList): string {
  return JSON.stringify([rejectCount, leftOut, notes, suffixCount]);
}

/** Why a variant was taken for something else without a word; undefined if it was not. */
async function wrongly({ shape, broken, text, added }: Variant, said: Reading): Promise<string | undefined> {
  const result = await read(Buffer.from(text), said, broken === 'cut' ? 'connection' : 'proven');
  const whole = await read(sample(shape), said);
  if (result.kind === 'refused' || (whole.kind === 'list' && told(result) !== told(whole))) return undefined;
  // In a file with both, the first line decides if no option does.
  const others =
    shape === 'mixed'
      ? (sample(shape)
          .toString()
          .match(/^[\da-f.:/]+$/gm) ?? [])
      : [];
  const held = new Set([...(HELD[shape] ?? []), ...others.map((entry) => `${entry}/32`)]);
  const now = new Set(heldBy(result.list));
  const more = [...now].filter((entry) => !held.has(entry) && entry !== `${added}/32`);
  if (more.length > 0) return `${more.join(', ')} is new`;
  if (broken === 'cut') return undefined; // what is missing behind a whole line is for who downloads to know
  const less = (HELD[shape] ?? []).filter((entry) => !now.has(entry));
  return less.length > 0 ? `${less.join(', ')} is missing` : undefined;
}

describe('150 broken variants', () => {
  it.each(['as it is said', 'unsaid'] as const)(
    'are never taken for something else without a word, %s',
    async (way) => {
      const wrong: string[] = [];
      for (const variant of VARIANTS) {
        const why = await wrongly(variant, way === 'unsaid' ? {} : (SAID[variant.shape] ?? {}));
        if (why !== undefined) wrong.push(`${variant.shape}, ${variant.broken}: ${why}\n${variant.text}`);
      }
      expect(wrong).toEqual([]);
    },
  );
});
