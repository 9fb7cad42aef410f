/** An upstream over TLS as steps: what goes in by hand, and who asked is told of each question once. */

import { describe, expect, it } from 'vitest';
import fc from '../../../test/seeded-fast-check.ts';
import { often } from '../../../test/thorough.ts';
import { framed, MessageStream } from '../src/message/stream.ts';
import {
  ALL_QUESTIONS_MAX,
  CONNECT_MS,
  IDLE_MS,
  PAUSE_LONGEST_MS,
  PAUSE_MS,
  PAUSE_WAITED_MS,
  SILENT_MS,
} from '../src/proxy/limits.ts';
import { Line, type LineEffect } from '../src/proxy/line.ts';

const OWN_ID = 0xabcd;

/** A message of which the line looks at the id alone. */
const message = (query: number, id = OWN_ID): Uint8Array =>
  Uint8Array.of(id >> 8, id & 0xff, query >> 8, query & 0xff);

/** What was written: the id of each message on the connection, and the query that it is of. */
function written(effects: readonly LineEffect[]): readonly (readonly [id: number, query: number])[] {
  return effects.flatMap((effect) =>
    effect.kind !== 'write'
      ? []
      : [...new MessageStream().feed(effect.bytes)].map(([a = 0, b = 0, c = 0, d = 0]) => {
          return [a * 256 + b, c * 256 + d] as const;
        }),
  );
}

const answer = ([id, query]: readonly [number, number]): Uint8Array => framed(message(query, id));
const kinds = (effects: readonly LineEffect[]): readonly string[] => effects.map(({ kind }) => kind);
const failed = (effects: readonly LineEffect[]): readonly number[] =>
  effects.flatMap((effect) => (effect.kind === 'fail' ? [effect.query] : []));

/** A line that is connected, with these questions written. */
function open(...queries: readonly number[]) {
  const line = new Line();
  for (const query of queries) line.ask(query, message(query), 0);
  return { line, asked: written(line.connected(0)) };
}

describe('a line', () => {
  it('is made for the first question, and sends all of them once the other end is known', () => {
    const line = new Line();
    expect(line.deadlineMs).toBeUndefined();
    expect(kinds(line.ask(1, message(1), 0))).toEqual(['connect']);
    expect(line.ask(2, message(2), 1)).toEqual([]);
    expect(line.ask(3, message(3), 1)).toEqual([]);
    line.close(2);
    const asked = written(line.connected(5));
    expect(asked.map(([, query]) => query)).toEqual([1, 3]);
    const [later] = written(line.ask(4, message(4), 6));
    expect(new Set([...asked, later].map((one) => one?.[0])).size).toBe(3);
  });

  it('has answers in any order, each with the id that its question had', () => {
    const { line, asked } = open(1, 2, 3);
    const [first, second, third] = asked;
    if (!first || !second || !third) throw new Error('three were asked');
    const bytes = Buffer.concat([answer(third), answer([0x7777, 9]), answer(first)]);
    const effects = [...line.received(bytes.subarray(0, 7), 1), ...line.received(bytes.subarray(7), 2)];
    expect(effects).toEqual([
      { kind: 'answer', query: 3, bytes: message(3) },
      { kind: 'answer', query: 1, bytes: message(1) },
    ]);
    // Whether that was the answer, its receiver knows; until it says so, another one may come.
    expect(kinds(line.received(answer(first), 3))).toEqual(['answer']);
    line.close(1);
    expect(line.received(answer(first), 4)).toEqual([]);
  });

  it.each([
    ['that is too short to have an id', Uint8Array.of(0, 1, 0xab)],
    ['that is empty', Uint8Array.of(0, 0)],
  ])('passes over a message %s', (_, bytes) => {
    const { line } = open(1);
    expect(line.received(bytes, 1)).toEqual([]);
  });

  it('does not use the number of a question that was given up, before it has used all others', () => {
    const { line, asked } = open(1);
    line.close(1);
    for (let query = 2; query < 2000; query++) {
      const [next] = written(line.ask(query, message(query), 1));
      expect(next?.[0]).not.toBe(asked[0]?.[0]);
      line.close(query);
    }
  });

  it('ends where nothing comes, and all that waits fails; but not as long as something does', () => {
    const { line, asked } = open(1, 2);
    expect(line.deadlineMs).toBe(SILENT_MS);
    line.received(answer(asked[0]!), SILENT_MS - 1); // two were asked
    line.close(1);
    expect(line.expire(SILENT_MS)).toEqual([]);
    line.ask(3, message(3), SILENT_MS + 10);
    const effects = line.expire(2 * SILENT_MS - 1);
    expect([kinds(effects)[0], failed(effects)]).toEqual(['end', [2, 3]]);
    expect(kinds(line.ask(4, message(4), 2 * SILENT_MS))).toEqual(['connect']); // at once: it can be had
  });

  it('ends where nobody asks any more, and is made again', () => {
    const { line, asked } = open(1);
    line.received(answer(asked[0]!), 7); // it was asked
    line.close(1);
    expect(line.deadlineMs).toBe(7 + IDLE_MS);
    expect(line.expire(7 + IDLE_MS - 1)).toEqual([]);
    expect(kinds(line.expire(7 + IDLE_MS))).toEqual(['end']);
    expect(line.deadlineMs).toBeUndefined();
    expect(kinds(line.ask(2, message(2), 8 + IDLE_MS))).toEqual(['connect']);
  });

  it('ends where it takes too long to be made', () => {
    const line = new Line();
    line.ask(1, message(1), 0);
    expect(line.deadlineMs).toBe(CONNECT_MS);
    expect(kinds(line.expire(CONNECT_MS))).toEqual(['end', 'fail']);
  });

  it('is not made again at once where it was refused, later each time, until something comes', () => {
    const line = new Line();
    let nowMs = 0;
    for (let pauseMs = PAUSE_MS, times = 0; times < 9; times++) {
      expect(kinds(line.ask(1, message(1), nowMs))).toEqual(['connect']);
      expect(failed(line.ended(nowMs))).toEqual([1]);
      expect(line.deadlineMs).toBeUndefined();
      const early = line.ask(1, message(1), nowMs);
      expect(failed(early)).toEqual(pauseMs > PAUSE_WAITED_MS ? [1] : []);
      if (failed(early).length === 0) {
        expect(line.deadlineMs).toBe(nowMs + pauseMs);
        line.close(1);
      }
      nowMs += pauseMs;
      pauseMs = Math.min(PAUSE_LONGEST_MS, pauseMs * 2);
    }
    line.ask(1, message(1), nowMs);
    expect(line.expire(nowMs)).toEqual([]);
    line.received(answer(written(line.connected(nowMs))[0]!), nowMs); // it was asked
    expect(failed(line.ended(nowMs))).toEqual([1]);
    expect(kinds(line.ask(2, message(2), nowMs))).toEqual(['connect']);
  });

  it('that ends as soon as it is made is not made again at once, either', () => {
    const { line } = open(1);
    expect(failed(line.ended(1))).toEqual([1]);
    expect(line.ask(2, message(2), 1)).toEqual([]);
    expect(kinds(line.expire(1 + PAUSE_MS))).toEqual(['connect']);
  });

  it('is asked no more than all qubes together may ask', () => {
    const line = new Line();
    for (let query = 0; query < ALL_QUESTIONS_MAX; query++) line.ask(query, message(query), 0);
    expect(failed(line.ask(ALL_QUESTIONS_MAX, message(1), 0))).toEqual([ALL_QUESTIONS_MAX]);
    line.close(7);
    expect(line.ask(ALL_QUESTIONS_MAX, message(1), 0)).toEqual([]);
  });

  it('tells of each question once, whatever happens when', () => {
    const step = fc.oneof(
      { weight: 4, arbitrary: fc.constant('ask') },
      ...(['close', 'connected', 'answer', 'ended'] as const).map((kind) => fc.constant(kind)),
      { weight: 2, arbitrary: fc.constant('expire') },
    );
    fc.assert(
      fc.property(fc.array(fc.tuple(step, fc.nat(60), fc.nat(4000)), { maxLength: 120 }), (steps) => {
        const line = new Line();
        const waiting = new Set<number>();
        /** Queries written on the open connection and not closed. */
        let onLine = new Map<number, number>();
        let connection = 'none' as 'none' | 'made' | 'open';
        let [nowMs, last] = [0, 0];
        const follow = (effects: readonly LineEffect[]): void => {
          for (const effect of effects) {
            if (effect.kind === 'connect') {
              expect(connection).toBe('none');
              connection = 'made';
            } else if (effect.kind === 'write') {
              expect(connection).toBe('open');
              for (const [id, query] of written([effect])) {
                expect(onLine.has(id)).toBe(false);
                onLine.set(id, query);
              }
            } else if (effect.kind === 'end') {
              expect(connection).not.toBe('none');
              connection = 'none';
              onLine = new Map();
            } else {
              expect(waiting.has(effect.query)).toBe(true);
              if (effect.kind === 'fail') waiting.delete(effect.query);
              else expect([...effect.bytes]).toEqual([...message(effect.query)]);
            }
          }
        };
        for (const [kind, which, ms] of steps) {
          const one = [...waiting][which % Math.max(1, waiting.size)];
          if (kind === 'ask') {
            waiting.add(++last);
            follow(line.ask(last, message(last), nowMs));
          } else if (kind === 'close' && one !== undefined) {
            line.close(one);
            waiting.delete(one);
            for (const [id, query] of onLine) if (query === one) onLine.delete(id);
          } else if (kind === 'connected' && connection === 'made') {
            connection = 'open';
            follow(line.connected(nowMs));
          } else if (kind === 'answer' && connection === 'open') {
            const some = [...onLine][which % Math.max(1, onLine.size)] ?? [which, which];
            follow(line.received(answer(some), nowMs));
          } else if (kind === 'ended' && connection !== 'none') {
            connection = 'none';
            onLine = new Map();
            follow(line.ended(nowMs));
            expect(waiting.size).toBe(0);
          } else if (kind === 'expire') nowMs += ms;
          follow(line.expire(nowMs));
        }
        // Every question gets an outcome, even if nothing but time passes.
        for (let times = 0; times < 4 && line.deadlineMs !== undefined; times++) {
          nowMs = Math.max(nowMs, line.deadlineMs);
          follow(line.expire(nowMs));
        }
        expect([waiting.size, line.deadlineMs, connection]).toEqual([0, undefined, 'none']);
      }),
      { numRuns: often(300, 20_000) },
    );
  });
});
