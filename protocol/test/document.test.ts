/** The protocol documents and the code say the same: every table of them that the code knows too. */

import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { ErrorCode } from '../src/error.ts';
import * as limits from '../src/limits.ts';
import {
  PUBLISHER_EVENTS,
  PUBLISHER_STATES,
  PUBLISHER_TABLE,
  SUBSCRIBER_EVENTS,
  SUBSCRIBER_SESSION_STATES,
  SUBSCRIBER_TABLE,
} from '../src/peer/session.ts';
import { CONTROL_FIELDS, DONE_CODES, RECORD_FIELDS } from '../src/wire/control.ts';
import type { Fields } from '../src/wire/field.ts';
import { MessageType, RELAY_FIELDS, SESSION_FIELDS } from '../src/wire/message.ts';
import { PACKET_FIELDS, REFUSED_FIELDS, VERDICT_FIELDS } from '../src/wire/query.ts';

const [WIRE, CONTENT, MEANING, CONTROL, DEPOT] = ['WIRE', 'CONTENT', 'MEANING', 'CONTROL', 'DEPOT'].map(
  (name) => readFileSync(new URL(`../${name}.md`, import.meta.url), 'utf8'),
) as [string, string, string, string, string];

/** The text below a heading of a document, up to the next heading of any level. */
function section(document: string, heading: string): string {
  const start = document.indexOf(`\n${heading}\n`);
  if (start < 0) throw new Error(`there is no heading ${heading}`);
  const rest = document.slice(start + heading.length + 2);
  const end = rest.search(/\n#+ /);
  return end < 0 ? rest : rest.slice(0, end);
}

/** The rows below the line `header` in a section, as trimmed cells. */
function table(document: string, heading: string, header: string): string[][] {
  const lines = section(document, heading).split('\n');
  const at = lines.indexOf(header);
  if (at < 0) throw new Error(`${heading} has no table ${header}`);
  const end = lines.findIndex((line, i) => i > at && !line.startsWith('|'));
  return lines.slice(at + 2, end < 0 ? undefined : end).map((line) =>
    line
      .slice(1, -1)
      .split('|')
      .map((cell) => cell.trim()),
  );
}

const unquote = (text: string): string => text.replaceAll('`', '');

interface Cell {
  readonly next: string;
  readonly action: string;
  readonly code?: string;
}

/** What a cell of a session table says. */
function cellOf(text: string, state: string): Cell {
  if (text === '·') return { next: state, action: 'none' };
  if (text === '—') return { next: 'closed', action: 'bye', code: 'unexpected-message' };
  if (text === 'never') return { next: state, action: 'never' };
  const match = /^([a-z]+)(?:: ([a-z]+)(?: ([a-z-]+))?)?$/.exec(text);
  if (match?.[1] === undefined) throw new Error(`a cell says ${text}`);
  const cell = { next: match[1], action: match[2] ?? 'none' };
  return match[3] === undefined ? cell : { ...cell, code: match[3] };
}

/** The cells of a table by state and event, with those that all tables have in common. */
function sessionTable(heading: string, all: readonly string[]): Record<string, Record<string, Cell>> {
  const states = all.filter((state) => state !== 'closed');
  const rows = table(WIRE, heading, `| event | ${states.join(' | ')} |`);
  const common = table(WIRE, '## Sessions', '| event | cell |').flatMap(([events = '', cell = '']) =>
    events.split(', ').map((event) => [event, ...states.map(() => cell)]),
  );
  const result: Record<string, Record<string, Cell>> = {};
  for (const state of all) result[state] = {};
  for (const [event = '', ...cells] of [...rows, ...common])
    for (const state of all) {
      const cell = state === 'closed' ? '·' : (cells[states.indexOf(state)] ?? '');
      Object.assign(result[state] ?? {}, { [event]: cellOf(cell, state) });
    }
  return result;
}

describe('the protocol documents', () => {
  it('has every cell of the publisher table', () => {
    const documented = sessionTable('### Publisher', PUBLISHER_STATES);
    expect(Object.keys(documented.idle ?? {}).sort()).toEqual(PUBLISHER_EVENTS.toSorted());
    expect(documented).toEqual(PUBLISHER_TABLE);
  });

  it('has every cell of the subscriber table', () => {
    const documented = sessionTable('### Subscriber', SUBSCRIBER_SESSION_STATES);
    expect(Object.keys(documented.idle ?? {}).sort()).toEqual(SUBSCRIBER_EVENTS.toSorted());
    expect(documented).toEqual(SUBSCRIBER_TABLE);
  });

  it.each([
    ['### Publisher', PUBLISHER_TABLE],
    ['### Subscriber', SUBSCRIBER_TABLE],
  ])('%s explains every action', (heading, rows) => {
    const explained = table(WIRE, heading, '| action | does |').map(([action]) => action);
    const used = Object.values(rows).flatMap((row) => Object.values<Cell>(row).map((cell) => cell.action));
    expect([...new Set(used)].filter((action) => action !== 'none' && action !== 'never').sort()).toEqual(
      explained.sort(),
    );
  });

  const ofMessages = (document: string, messages: Record<string, Fields>): [string, string, Fields][] =>
    Object.entries(messages).map(([kind, fields]) => [`### ${kind.toUpperCase()}`, document, fields]);
  const fieldTables: [string, string, Fields][] = [
    ...ofMessages(WIRE, SESSION_FIELDS),
    ...ofMessages(DEPOT, RELAY_FIELDS),
    ...ofMessages(CONTROL, CONTROL_FIELDS),
    ...Object.entries(RECORD_FIELDS).map(([record, fields]): [string, string, Fields] => [
      `#### record ${record}`,
      CONTROL,
      fields,
    ]),
    ['### Packet', WIRE, PACKET_FIELDS],
    ['### Verdict', WIRE, VERDICT_FIELDS],
    ['### Refused', CONTROL, REFUSED_FIELDS],
  ];
  it.each(fieldTables)('%s has the fields of the schema', (heading, document, fields) => {
    const expected = Object.entries(fields).map(([field, { label, optional }]) => [
      optional ? `${field}?` : field,
      label,
    ]);
    if (expected.length === 0) {
      expect(section(document, heading)).toContain('No fields');
      return;
    }
    const rows = table(document, heading, '| field | type | meaning |');
    expect(rows.map(([field, type]) => [unquote(field ?? ''), type])).toEqual(expected);
    for (const [field, , meaning] of rows) expect(meaning, field).not.toBe('');
  });

  it.each([
    ['WIRE', WIRE],
    ['CONTENT', CONTENT],
    ['MEANING', MEANING],
    ['CONTROL', CONTROL],
    ['DEPOT', DEPOT],
  ])('%s.md names chapters of its own that are there', (_, document) => {
    const headings = [...document.matchAll(/^##+ (.+)$/gm)].map(([, heading = '']) => heading);
    // A line may be folded within the name.
    const named = [...document.replaceAll(/\s+/g, ' ').matchAll(/\b[Ss]ee ([A-Z][\w ]+)(?!\.md)\b/g)].map(
      ([, name = '']) => name,
    );
    expect(named.filter((name) => !headings.some((heading) => `${name} `.startsWith(`${heading} `)))).toEqual(
      [],
    );
  });

  it('numbers the messages as the code does', () => {
    const header = '| type | message | way | body |';
    const rows = [
      ...table(WIRE, '## Messages', header),
      ...table(DEPOT, '## Relays', header),
      ...table(CONTROL, '### Requests', header),
    ];
    expect(rows.map(([type, message]) => [message, type])).toEqual(
      Object.entries(MessageType).map(([kind, type]) => [kind.toUpperCase(), `${type}`]),
    );
    const binary = rows.filter(([, , , body]) => body === 'binary').map(([, message]) => message);
    expect(binary).toEqual(['OFFER', 'CHUNK', 'PROOF', 'ROOT', 'FRESH', 'HEAD', 'REPORTS', 'ANSWERS']);
  });

  it('says with which DONE each request ends', () => {
    const rows = table(CONTROL, '### DONE', '| request | codes of DONE |').flatMap(
      ([requests = '', codes = '']) =>
        requests.split(', ').map((request): [string, string[]] => {
          const words = [...codes.matchAll(/`([a-zA-Z-]+)`/g)].map(([, word = '']) => word);
          return [request.toLowerCase(), words.filter((word) => word !== 'dryRun')];
        }),
    );
    expect(Object.fromEntries(rows)).toEqual(DONE_CODES);
  });

  it('lists every error code', () => {
    const codes = [WIRE, CONTROL, DEPOT].flatMap((document) =>
      table(document, '## Errors', '| code | where | means |').map(([code]) => unquote(code ?? '')),
    );
    expect(codes.sort()).toEqual(Object.values(ErrorCode).sort());
  });

  it('states the limits as they are', () => {
    const values: Readonly<Record<string, number>> = { ...limits };
    const rows = [
      ...[WIRE, CONTENT, CONTROL, DEPOT].flatMap((document) =>
        table(document, '## Limits', '| limit | value |'),
      ),
      ...[WIRE, CONTROL].flatMap((document) => table(document, '## Limits', '| choice | value |')),
    ];
    expect(rows.length).toBeGreaterThan(30);
    for (const [name, value] of rows) expect([name, value]).toEqual([name, `${values[unquote(name ?? '')]}`]);
  });

  // Authors of peers read them whole, and a fact stated twice is often mended in one place only.
  it('have at most 13,200 words, apart from tables of constants and of vectors', () => {
    const CONSTANTS = /^\| `[A-Z_]+` \| \d+ \|$/;
    const prose = [WIRE, CONTENT, MEANING].flatMap((document) =>
      document
        .replace(/\n## Vectors\n[\s\S]*$/, '')
        .split('\n')
        .filter((line) => !CONSTANTS.test(line)),
    );
    const words = prose.flatMap((line) => line.split(/\s+/)).filter((word) => /\w/.test(word));
    expect(words.length).toBeLessThanOrEqual(13_200);
  });
});
