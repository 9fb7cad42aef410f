/**
 * `vectors/states.json`: every cell of both tables, and sessions with time. `RULECAST_RECORD=1` writes it
 * anew.
 */

import { readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import {
  PUBLISHER_TABLE,
  type PublisherTable,
  SUBSCRIBER_TABLE,
  type SubscriberTable,
} from '../src/peer/session.ts';
import { hexOf } from './part-spec.ts';
import {
  nonceOf,
  PUBLISHER_SCRIPTS,
  RELEASES,
  ROOT,
  type SessionScript,
  SUBSCRIBER,
  SUBSCRIBER_SCRIPTS,
  TRUST,
} from './session-scripts.ts';

const VECTOR = new URL('../vectors/states.json', import.meta.url);
const NONCES = 4;

/** One for each cell. */
function cellsOf(table: PublisherTable | SubscriberTable): readonly object[] {
  const rows: readonly (readonly [string, Readonly<Record<string, object>>])[] = Object.entries(table);
  return rows.flatMap(([state, row]) =>
    Object.entries(row).map(([event, transition]) => ({ state, event, ...transition })),
  );
}

/** Bytes as `{ "hex": … }`, many zeros as their number, a field that is not to be there as null. */
function plain(value: unknown): unknown {
  if (value === undefined) return null;
  if (value instanceof Uint8Array)
    return value.length > 64 && value.every((byte) => byte === 0)
      ? { zeros: value.length }
      : { hex: hexOf(value) };
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, field]) => [key, plain(field)]));
}

/** An array in JSON with one element a line. */
function lines(elements: readonly unknown[], indent: string): string {
  return `[\n${elements.map((one) => `${indent} ${JSON.stringify(one)}`).join(',\n')}\n${indent}]`;
}

function scriptText({ name, shows, steps }: SessionScript): string {
  const head = `"name": ${JSON.stringify(name)}, "shows": ${JSON.stringify(shows)}`;
  return `   { ${head}, "steps": ${lines(steps.map(plain), '    ')} }`;
}

function recorded(): string {
  const releases = RELEASES.map(({ capabilities, name, ...bytes }) => ({
    name,
    capabilities,
    ...Object.fromEntries(Object.entries(bytes).map(([field, value]) => [field, hexOf(value)])),
  }));
  const scripts = (all: readonly SessionScript[]): string => `[\n${all.map(scriptText).join(',\n')}\n  ]`;
  return `{
 "about": "See WIRE.md, Vectors.",
 "trust": ${JSON.stringify(TRUST)},
 "root": ${JSON.stringify(plain({ signatures: ROOT.signatures, content: ROOT.content }))},
 "seed": ${JSON.stringify('11'.repeat(32))},
 "limits": ${JSON.stringify(SUBSCRIBER.limits)},
 "nonces": ${JSON.stringify(Array.from({ length: NONCES }, (_, i) => hexOf(nonceOf(i + 1))))},
 "releases": ${lines(releases, ' ')},
 "publisher": ${lines(cellsOf(PUBLISHER_TABLE), ' ')},
 "subscriber": ${lines(cellsOf(SUBSCRIBER_TABLE), ' ')},
 "sessions": {
  "publisher": ${scripts(PUBLISHER_SCRIPTS)},
  "subscriber": ${scripts(SUBSCRIBER_SCRIPTS)}
 }
}
`;
}

if (process.env['RULECAST_RECORD'] === '1') writeFileSync(VECTOR, recorded());

describe('states.json', () => {
  it('has each cell of both tables, and the sessions as they are scripted', () => {
    expect(readFileSync(VECTOR, 'utf8')).toBe(recorded());
  });

  it('has a session with each message that either side may get', () => {
    const kinds = (scripts: readonly SessionScript[]): readonly string[] =>
      [
        ...new Set(scripts.flatMap(({ steps }) => steps.flatMap(({ receive }) => receive?.kind ?? []))),
      ].sort();
    const ofPublisher = ['abort', 'begin', 'bye', 'chunk', 'end', 'fresh', 'offer', 'ping', 'pong', 'prove'];
    expect(kinds(SUBSCRIBER_SCRIPTS)).toEqual([...ofPublisher, 'query', 'root', 'unsupported', 'welcome']);
    const ofSubscriber = ['answer', 'applied', 'bye', 'hello', 'nack', 'ping', 'pong', 'proof', 'want'];
    expect(kinds(PUBLISHER_SCRIPTS)).toEqual(ofSubscriber);
  });
});
