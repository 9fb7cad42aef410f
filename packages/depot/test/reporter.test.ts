/** What is reported of firewalls, when, and what comes of the answers. */

import {
  encodeReportAnswer,
  hexOf,
  type Report,
  type ReportAnswer,
  readReport,
  type Signed,
  tokenOf,
} from '@rulecast/protocol';
import { type SubscriberEntry, Subscribers } from '@rulecast/sessions';
import { describe, expect, it } from 'vitest';
import { SILENT } from '../../publisher/test/fresh-publisher.ts';
import { FakeClock } from '../../sources/test/fake-clock.ts';
import { Reporter, type ReporterOptions } from '../src/index.ts';
import { MemorySource } from './depot-rig.ts';

const filled = (length: number, byte: number): Uint8Array => new Uint8Array(length).fill(byte);
const LINEAGE = filled(16, 1);
const SECRET = filled(32, 2);
const HEAD = filled(32, 3);
const tokenFor = (name: string): Uint8Array => tokenOf(SECRET, LINEAGE, name);
const STATEMENT: Signed = { signatures: Uint8Array.of(0), content: filled(116, 4) };

/** A reporter of the firewall `fw`, or of a relay's; the publisher answers as it is told. */
function rig(options: Partial<ReporterOptions> = {}, names: readonly string[] = ['fw']) {
  const clock = new FakeClock();
  const subscribers = new Subscribers(SILENT);
  const [entry] = names.map((name) => subscribers.entry(name, 0)) as [SubscriberEntry];
  const heard: Report[] = [];
  const said: string[] = [];
  const source = new MemorySource(new Map(), 'mirror');
  const world = {
    clock,
    entry,
    heard,
    said,
    answer: (_: Report): Partial<ReportAnswer> => ({ statement: STATEMENT }),
    source,
    reporter: new Reporter({
      sources: [source],
      lineage: LINEAGE,
      token: tokenFor(options.via ?? 'fw'),
      everyMs: 300_000,
      batchMs: 0,
      subscribers,
      newest: () => HEAD,
      clock,
      nowMs: () => 1_700_000_000_000,
      random: () => 0.5,
      logger: { info: (_, text) => void said.push(text), warn: (_, text) => void said.push(text) },
      ...options,
    }),
    /** Asks with a nonce, and lets the reports go. */
    async ask(nonce: number, name = 'fw') {
      const attested = world.reporter.attest(filled(16, nonce), name);
      await Promise.resolve();
      clock.advance(options.batchMs ?? 0);
      return attested;
    },
  };
  source.answer = (bytes) => {
    const report = readReport(bytes, tokenFor);
    heard.push(report);
    const answer = { prove: false, isReplayed: false, statement: undefined, sequence: report.sequence };
    return encodeReportAnswer({ ...answer, ...world.answer(report) }, tokenFor(report.via ?? report.name));
  };
  return world;
}

describe('a reporter', () => {
  it('says what is in force, and gives what is newest to the nonce', async () => {
    const { entry, heard, ask } = rig();
    entry.held = { hash: HEAD, epoch: 1, version: 7 };
    entry.applyMs = 12.4;
    entry.persisted = true;
    expect(await ask(9)).toEqual(STATEMENT);
    expect(heard).toEqual([
      {
        lineage: LINEAGE,
        name: 'fw',
        via: undefined,
        sequence: 1_700_000_000_000,
        nonce: filled(16, 9),
        held: { hash: HEAD, epoch: 1, version: 7, applyMs: 12, isPersisted: true },
        refused: undefined,
        proof: undefined,
      },
    ]);
  });

  it('is quiet for five minutes where nothing changes, and speaks up at once where something does', async () => {
    const { entry, heard, ask, clock } = rig();
    await ask(1);
    expect(await ask(2)).toBeUndefined();
    clock.advance(299_999);
    expect(await ask(3)).toBeUndefined();
    clock.advance(1);
    expect(await ask(4)).toEqual(STATEMENT);
    entry.held = { hash: filled(32, 8), epoch: 1, version: 6 };
    await ask(5);
    entry.refused = [{ hash: hexOf(HEAD), code: 'over-limit', text: '', atMs: 0 }];
    await ask(6);
    await ask(7);
    expect(heard.map(({ nonce }) => nonce[0])).toEqual([1, 4, 5, 6]);
    expect(heard.at(-1)?.refused).toEqual({ hash: HEAD, code: 'over-limit' });
    expect(heard.map(({ sequence }) => sequence - 1_700_000_000_000)).toEqual([0, 1, 2, 3]);
  });

  it('says of what a firewall started with that it is kept, and of what it applied what it said', async () => {
    const { entry, heard, ask } = rig();
    entry.held = { hash: HEAD, epoch: 1, version: 7 };
    await ask(1);
    entry.persisted = false;
    await ask(2);
    expect(heard.map(({ held }) => held?.isPersisted)).toEqual([true, false]);
  });

  it('asks again soon where the publisher is behind', async () => {
    const world = rig();
    world.answer = () => ({});
    expect(await world.ask(1)).toBeUndefined();
    world.clock.advance(30_000);
    world.answer = () => ({ statement: STATEMENT });
    expect(await world.ask(2)).toEqual(STATEMENT);
  });

  it('goes on above a sequence that the publisher has had, with the next nonce', async () => {
    const world = rig();
    world.answer = () => ({ isReplayed: true, sequence: 1_800_000_000_000 });
    expect(await world.ask(1)).toBeUndefined();
    world.answer = () => ({ statement: STATEMENT });
    expect(await world.ask(2)).toEqual(STATEMENT);
    expect(world.heard.at(-1)?.sequence).toBe(1_800_000_000_001);
  });

  it('lives on where somebody with its token has used up all sequences', async () => {
    const world = rig();
    world.answer = () => ({ isReplayed: true, sequence: Number.MAX_SAFE_INTEGER });
    expect(await world.ask(1)).toBeUndefined();
    expect(await world.ask(2)).toBeUndefined();
    expect(world.heard.at(-1)?.sequence).toBe(Number.MAX_SAFE_INTEGER);
  });

  it('asks for a proof where the publisher wants one, and sends it once', async () => {
    const world = rig();
    const proof = { signatures: Uint8Array.of(0), content: filled(40, 5) };
    world.answer = (report) => (report.proof ? { statement: STATEMENT } : { prove: true });
    expect(await world.ask(1)).toBe('prove');
    expect(await world.ask(2)).toBeUndefined();
    world.reporter.prove('fw', proof);
    expect(await world.ask(3)).toEqual(STATEMENT);
    expect(world.heard.map((report) => report.proof)).toEqual([undefined, proof]);
    world.clock.advance(300_000);
    world.answer = () => ({ statement: STATEMENT });
    await world.ask(4);
    expect(world.heard.at(-1)?.proof).toBeUndefined();
  });

  it('waits ever longer while nothing answers, says so once, and goes to the next mirror meanwhile', async () => {
    const second = new MemorySource(new Map(), 'second');
    const first = new MemorySource(new Map(), 'first');
    second.fault = first.fault = 'connection refused';
    const { ask, clock, said } = rig({ sources: [first, second] });
    const asked = (): number => first.tries + second.tries;
    for (const waitMs of [3750, 7500, 15_000, 30_000, 60_000, 120_000, 225_000, 225_000]) {
      const before = asked();
      expect(await ask(1)).toBeUndefined();
      clock.advance(waitMs - 1);
      expect(await ask(2)).toBeUndefined();
      clock.advance(1);
      expect(asked()).toBe(before + 1);
    }
    expect([first.tries, second.tries]).toEqual([4, 4]);
    expect(said).toEqual(['no report is answered: first: connection refused']);
  });

  it.each([
    [
      'counts no report of this token',
      () => new Uint8Array(),
      'the publisher rejects reports with this token',
    ],
    ['is somebody else', () => filled(80, 1), 'its code is wrong'],
  ])('believes nothing of who %s', async (_, answer, text) => {
    const { ask, source, said } = rig();
    source.answer = answer;
    expect(await ask(1)).toBeUndefined();
    expect(said).toEqual([expect.stringContaining(text)]);
  });
});

describe('a reporter of a relay', () => {
  it('reports for all of its firewalls in one request, each with its newest nonce', async () => {
    const names = Array.from({ length: 300 }, (_, i) => `fw-${i}`);
    const { reporter, clock, heard, source } = rig({ via: 'relay', everyMs: 0, batchMs: 1000 }, names);
    const early = reporter.attest(filled(16, 1), 'fw-0');
    const all = names.map((name) => reporter.attest(filled(16, 2), name));
    expect(await early).toBeUndefined();
    clock.advance(1000);
    expect(await Promise.all(all)).toEqual(names.map(() => STATEMENT));
    expect(source.reported.map((reports) => reports.length)).toEqual([256, 44]);
    expect(new Set(heard.map(({ name }) => name)).size).toBe(300);
    expect(heard.every(({ via, nonce }) => via === 'relay' && nonce[0] === 2)).toBe(true);
    const again = reporter.attest(filled(16, 3), 'fw-7');
    clock.advance(1000);
    expect(await again).toEqual(STATEMENT);
  });

  it('has nothing to say of a name that is not there', async () => {
    const { reporter, heard } = rig({ via: 'relay' });
    expect(await reporter.attest(filled(16, 1), 'stranger')).toBeUndefined();
    reporter.prove('stranger', STATEMENT);
    expect(heard).toEqual([]);
  });
});
