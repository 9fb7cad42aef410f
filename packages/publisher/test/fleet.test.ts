/** Reports of names: which count, how they are answered, what is known after a restart, and the socket. */

import { once } from 'node:events';
import { statSync } from 'node:fs';
import { type Agent, request } from 'node:http';
import { connect } from 'node:net';
import { join } from 'node:path';
import { PacedLog } from '@rulecast/program';
import {
  decodeManifest,
  encodeManifest,
  encodeReport,
  isSignedBy,
  joinReports,
  manifestHash,
  REPORT_MAX_BYTES,
  REPORTS_MAX,
  type Report,
  readReportAnswer,
  readStatement,
  signBytes,
  splitReports,
  tokenOf,
} from '@rulecast/protocol';
import { describe, expect, it, onTestFinished } from 'vitest';
import { temporaryDirectory } from '../../../test/kit/directory.ts';
import { FakeClock } from '../../sources/test/fake-clock.ts';
import { Fleet, type FleetOptions } from '../src/fleet/fleet.ts';
import { listenForReports } from '../src/fleet/listener.ts';
import type { FleetRow } from '../src/fleet/view.ts';
import type { Publisher } from '../src/release/publisher.ts';
import { hostOf } from '../src/sessions/host.ts';
import type { Release } from '../src/store/store.ts';
import { freshPublisher, hex, release, SILENT } from './fresh-publisher.ts';

const SECRET = new Uint8Array(32).fill(7);
const EVERY_MS = 300_000;

/** A publisher with releases, names that report to it, and what a name says. */
async function world(options: Partial<FleetOptions> = {}) {
  const clock = new FakeClock();
  const publisher = freshPublisher({ clock });
  const releases: Release[] = [];
  for (const host of [1, 2, 3]) releases.push(await release(publisher, { 'bad.txt': `192.0.2.${host}\n` }));
  const opened = (more: Partial<FleetOptions> = {}): Promise<Fleet> =>
    openedFor(publisher, clock, { ...options, ...more });
  const fleet = await opened();
  let sequence = 0;
  const report = (name: string, more: Partial<Report> = {}): Report => ({
    lineage: publisher.identity.lineage,
    name,
    via: undefined,
    sequence: ++sequence,
    nonce: new Uint8Array(16).fill(sequence),
    held: undefined,
    refused: undefined,
    proof: undefined,
    ...more,
  });
  const tokenFor = (name: string, isRelay = false): Uint8Array =>
    tokenOf(SECRET, publisher.identity.lineage, name, isRelay);
  const tokenBehind = ({ name, via }: Report): Uint8Array => tokenFor(via ?? name, via !== undefined);
  const bytesOf = (one: Report): Uint8Array => encodeReport(one, tokenBehind(one));
  const send = async (one: Report, to = fleet) => {
    const [answer = new Uint8Array()] = await to.takeReports([bytesOf(one)]);
    return answer.length === 0 ? undefined : readReportAnswer(answer, tokenBehind(one));
  };
  return { clock, publisher, releases, fleet, opened, report, bytesOf, send, tokenFor };
}

async function openedFor(
  publisher: Publisher,
  clock: FakeClock,
  options: Partial<FleetOptions> = {},
): Promise<Fleet> {
  const { store, nowMs, turn } = publisher;
  const fleet = await Fleet.open({
    store,
    clock,
    nowMs,
    turn,
    publisher,
    view: hostOf(publisher),
    secret: SECRET,
    everyMs: EVERY_MS,
    expected: () => [],
    logger: new PacedLog(SILENT, () => clock.monotonicMs()),
    ...options,
  });
  onTestFinished(() => fleet.close());
  return fleet;
}

function heldOf(
  { manifest, hash }: Pick<Release, 'manifest' | 'hash'>,
  applyMs = 12,
): NonNullable<Report['held']> {
  return { epoch: manifest.epoch, version: manifest.version, hash, applyMs, isPersisted: true };
}

async function namesIn(fleet: Fleet, state: FleetRow['state']): Promise<readonly string[]> {
  const names: string[] = [];
  for await (const { name } of fleet.inState(state)) names.push(name);
  return names;
}

const NONE = { synced: 0, behind: 0, refused: 0, silent: 0, unknown: 0 };

describe('a report', () => {
  it('is answered by a statement to its nonce, with the code of its token', async () => {
    const { send, report, publisher, releases } = await world();
    const one = report('fw-1');
    const answer = await send(one);
    expect(answer).toMatchObject({ prove: false, isReplayed: false, sequence: one.sequence });
    const statement = answer?.statement;
    if (statement === undefined) throw new Error('nothing was stated');
    expect(isSignedBy(publisher.identity.root, 'freshness', statement)).toBe(true);
    expect(readStatement(statement.content)).toMatchObject({
      nonce: one.nonce,
      version: 3,
      hash: releases[2]?.hash,
    });
  });

  it('of nobody, of a wrong token or of another lineage gets nothing signed, noted or told', async () => {
    let signedCount = 0;
    const publisher = freshPublisher();
    const head = await release(publisher, { 'bad.txt': '192.0.2.1\n' });
    const attest = (): never => {
      signedCount++;
      throw new Error('this was signed');
    };
    const clock = new FakeClock();
    const fleet = await openedFor(publisher, clock, { publisher: { head, attest, proved: attest } });
    const { lineage } = publisher.identity;
    const base = {
      via: undefined,
      sequence: 1,
      nonce: new Uint8Array(16),
      held: heldOf(head),
      refused: undefined,
      proof: undefined,
    };
    const token = tokenOf(SECRET, lineage, 'fw-1');
    const other = new Uint8Array(16);
    const bytes = [
      new Uint8Array(),
      new Uint8Array(REPORT_MAX_BYTES + 1),
      encodeReport({ ...base, lineage, name: 'fw-2' }, token),
      encodeReport({ ...base, lineage, name: 'fw-1', via: 'relay' }, token), // the relay's would do
      encodeReport({ ...base, lineage: other, name: 'fw-1' }, token),
      encodeReport({ ...base, lineage: other, name: 'fw-1' }, tokenOf(SECRET, other, 'fw-1')),
      encodeReport({ ...base, lineage, name: 'fw-1' }, token).fill(1, 120, 121),
      encodeReport({ ...base, lineage, name: 'fw-2', via: 'fw-1' }, token), // no firewall vouches for another
    ];
    expect(await fleet.takeReports(bytes)).toEqual(bytes.map(() => new Uint8Array()));
    expect(signedCount).toBe(0);
    expect(clock.pendingMs).toEqual([]);
    expect(fleet.counts()).toEqual({ ...NONE, refusedBy: new Map() });
  });

  it('counts by what it says of the newest release, while it is new', async () => {
    const { send, report, releases, fleet, clock, publisher } = await world({
      expected: () => ['fw-1', 'never'],
    });
    const [, before, head] = releases;
    if (before === undefined || head === undefined) throw new Error('there are releases');
    await send(report('fw-1', { held: heldOf(head) }));
    await send(report('fw-2', { held: heldOf(before), refused: { hash: head.hash, code: 'over-limit' } }));
    await send(report('fw-3', { held: heldOf(before), refused: { hash: before.hash, code: 'over-limit' } }));
    await send(report('fw-4'));
    expect(fleet.counts()).toEqual({
      ...{ synced: 1, behind: 2, refused: 1, silent: 0, unknown: 1 },
      refusedBy: new Map([['over-limit', 1]]),
    });
    expect(fleet.odd(20).map(({ name, state }) => `${name} ${state}`)).toEqual([
      'fw-2 refused',
      'never unknown',
      'fw-3 behind',
      'fw-4 behind',
    ]);
    expect(fleet.odd(1)).toHaveLength(1);
    expect(fleet.find('fw-1')).toMatchObject({
      state: 'synced',
      held: { epoch: 1, version: 3, hash: hex(head.hash) },
      applyMs: 12,
      isPersisted: true,
      heardAtMs: clock.wallMs(),
    });
    clock.advance(2 * EVERY_MS);
    await send(report('fw-3', { held: heldOf(head) }));
    expect(fleet.counts()).toMatchObject({ synced: 2, behind: 1, refused: 1 });
    clock.advance(1);
    expect(fleet.counts()).toMatchObject({ synced: 1, behind: 0, refused: 0, silent: 3, unknown: 1 });
    expect(fleet.counts(clock.wallMs() - 1000)).toMatchObject({ synced: 1, silent: 0, unknown: 0 });
    clock.jumpWall(86_400_000); // nobody is silent for that
    expect(fleet.counts()).toMatchObject({ synced: 1, silent: 3 });
    await release(publisher, { 'bad.txt': '192.0.2.9\n' });
    expect(fleet.counts()).toMatchObject({ synced: 0, behind: 1, silent: 3 });
    expect(await namesIn(fleet, 'silent')).toEqual(['fw-1', 'fw-2', 'fw-4']);
    expect(await namesIn(fleet, 'unknown')).toEqual(['never']);
  });

  it('that comes once more does not count, and its sender is told where to go on', async () => {
    const { send, report, releases, fleet } = await world();
    const [before, , head] = releases as [Release, Release, Release];
    const old = report('fw-1', { held: heldOf(before) });
    await send(old);
    const now = report('fw-1', { held: heldOf(head) });
    await send(now);
    for (const one of [old, now]) {
      expect(await send(one)).toEqual({
        ...{ prove: false, isReplayed: true, sequence: now.sequence },
        statement: undefined,
      });
    }
    expect(fleet.counts().synced).toBe(1);
  });

  it('of a relay counts for a name that does not report itself, and cannot lock it out', async () => {
    const { send, report, releases, fleet, clock } = await world();
    const [before, , head] = releases as [Release, Release, Release];
    const behind = { held: heldOf(before) };
    const most = Number.MAX_SAFE_INTEGER;
    await send(report('fw-1', { via: 'relay', ...behind, sequence: most }));
    expect(fleet.find('fw-1')).toMatchObject({ via: 'relay', state: 'behind' });
    await send(report('fw-1', { held: heldOf(head) }));
    expect(fleet.find('fw-1')).toMatchObject({ via: undefined, state: 'synced' });
    const ignored = await send(report('fw-1', { via: 'relay', ...behind, sequence: most }));
    expect(ignored?.statement).toBeDefined(); // the session behind it needs that
    expect(fleet.find('fw-1')).toMatchObject({ via: undefined, state: 'synced' });
    clock.advance(2 * EVERY_MS + 1);
    await send(report('fw-1', { via: 'relay', ...behind }));
    expect(fleet.find('fw-1')).toMatchObject({ via: 'relay', state: 'behind' });
    expect((await send(report('fw-1', { via: 'relay', sequence: 1 })))?.isReplayed).toBe(true);
    await send(report('fw-1', { via: 'other', ...behind, sequence: 1 })); // it moved
    expect(fleet.find('fw-1')).toMatchObject({ via: 'other' });
    await send(report('fw-1', { held: heldOf(head) }));
    expect(fleet.find('fw-1')).toMatchObject({ via: undefined, state: 'synced' });
  });

  it('of a release that is not here has to be proved, and then nothing is the newest', async () => {
    const { send, report, publisher, releases } = await world();
    const manifest = { ...decodeManifest(releases[2]?.manifestBytes ?? new Uint8Array()), version: 9 };
    const content = encodeManifest(manifest);
    const proof = { content, signatures: signBytes(content, ...publisher.identity.releaseKeys) };
    const held = heldOf({ manifest, hash: manifestHash(content) });
    const asked = { prove: true, statement: undefined };
    expect(await send(report('fw-1', { held }))).toMatchObject(asked);
    const stranger = { content, signatures: signBytes(content) };
    expect(await send(report('fw-1', { held, proof: stranger }))).toMatchObject(asked);
    expect(await send(report('fw-1', { held: { ...held, version: 8 }, proof }))).toMatchObject(asked);
    expect(publisher.behind).toBeUndefined();
    expect(await send(report('fw-1', { held, proof }))).toMatchObject({ prove: false, statement: undefined });
    expect(publisher.behind).toEqual({ epoch: 1, version: 9 });
    expect((await send(report('fw-2', { held: heldOf(releases[2] as Release) })))?.statement).toBeUndefined();
  });
});

describe('what is known of names', () => {
  it('outlives a restart, with sequences and times, but for what is damaged', async () => {
    const { send, report, releases, fleet, clock, opened, publisher } = await world();
    const head = releases[2] as Release;
    const last = report('fw-1', { held: heldOf(head), refused: { hash: head.hash, code: 'over-limit' } });
    await send(last);
    await send(report('fw-1', { via: 'relay' })); // not counted
    clock.advance(1000);
    await send(report('fw-2', { via: 'relay' }));
    for (const name of ['fw-3', 'fw-4', 'fw-5']) await send(report(name));
    expect(fleet.forget('fw-4')).toBe(true);
    expect(fleet.forget('fw-4')).toBe(false);
    const before = fleet.find('fw-1');
    clock.advance(9000);
    await fleet.close();
    await publisher.store.storeReports(new Map([['fw-3', new Uint8Array(40)]]));
    const again = await opened();
    expect(again.find('fw-1')).toEqual(before);
    expect(again.find('fw-2')).toMatchObject({ via: 'relay', heardAtMs: clock.wallMs() - 9000 });
    expect(['fw-3', 'fw-4'].map((name) => again.find(name))).toEqual([undefined, undefined]);
    expect(await send(last, again)).toMatchObject({ isReplayed: true });
    clock.jumpWall(-86_400_000); // what was heard is not in the future then
    await again.close();
    const third = await opened();
    expect(third.find('fw-2')?.state).toBe('behind');
    clock.advance(2 * EVERY_MS + 1);
    expect(third.counts().silent).toBe(3);
  });

  it('is written together, told once, and written again where the disk was full', async () => {
    const writes: ReadonlyMap<string, Uint8Array | undefined>[] = [];
    let isFull = true;
    const { send, report, fleet, clock } = await world({
      store: {
        storedReports: () => [],
        storeReports: async (changed) => {
          writes.push(changed);
          if (isFull) throw new Error('ENOSPC');
        },
      },
    });
    let told = 0;
    const stop = fleet.onChange(() => told++);
    await Promise.all(['a', 'b', 'c'].map((name) => send(report(name))));
    clock.advance(199);
    expect([writes.length, told]).toEqual([0, 0]);
    clock.advance(1);
    expect(told).toBe(1);
    await expect.poll(() => fleet.trouble).toMatch(/^reports cannot be kept/);
    stop();
    isFull = false;
    await send(report('d'));
    clock.advance(200);
    await expect.poll(() => fleet.trouble).toBeUndefined();
    expect(writes.map((changed) => [...changed.keys()].sort().join(''))).toEqual(['abc', 'abcd']);
    expect(told).toBe(1);
  });

  it('can be looked through while reports come', async () => {
    const { send, report, fleet } = await world();
    for (let i = 0; i < 5; i++) await send(report(`fw-${i}`));
    const seen: string[] = [];
    for await (const { name } of fleet.inState('behind')) {
      seen.push(name);
      await send(report(name)); // which does not bring it up once more
    }
    expect(seen).toEqual(['fw-0', 'fw-1', 'fw-2', 'fw-3', 'fw-4']);
  });
});

describe('who is expected to connect', () => {
  it('is nobody who reports, until that ends', async () => {
    const { publisher, fleet, send, report, clock } = await world();
    publisher.subscribers.leaveOut((name) => fleet.hears(name));
    publisher.subscribers.expect(['fw-1', 'fw-2']);
    await send(report('fw-1'));
    expect([...publisher.subscribers.expected()]).toEqual(['fw-2']);
    clock.advance(2 * EVERY_MS + 1);
    expect([...publisher.subscribers.expected()]).toEqual(['fw-1', 'fw-2']);
  });
});

describe('the socket of reports', () => {
  async function socket(take: Parameters<typeof listenForReports>[1], idleMaxMs?: number) {
    const path = join(temporaryDirectory(), 'reports.sock');
    const logger = new PacedLog(SILENT, () => 0);
    const stop = await listenForReports({ kind: 'unix', path }, take, logger, idleMaxMs);
    onTestFinished(stop);
    const post = (
      body: Uint8Array,
      options: { path?: string; method?: string; headers?: Record<string, string>; agent?: Agent } = {},
    ) =>
      new Promise<{ readonly status: number; readonly body: Buffer }>((resolve, reject) => {
        const headers = options.headers ?? { 'content-length': `${body.length}` };
        const sent = request(
          { socketPath: path, path: '/report', method: 'POST', ...options, headers },
          async (response) => {
            const chunks: Buffer[] = [];
            for await (const chunk of response) chunks.push(chunk as Buffer);
            resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks) });
          },
        );
        sent.once('error', reject);
        sent.end(body);
      });
    return { path, post, stop };
  }

  it('hands over the reports of a body, and back their answers, in order', async () => {
    const { path, post } = await socket(async (reports) => reports.map((one) => one.slice(0, 1)));
    expect(statSync(path).mode & 0o777).toBe(0o600);
    const reports = [Buffer.from('one'), Buffer.from(''), Buffer.from('two')];
    const { status, body } = await post(joinReports(reports), { path: '/some/report' });
    expect(status).toBe(200);
    expect(splitReports(body).map((one) => Buffer.from(one).toString())).toEqual(['o', '', 't']);
  });

  it('takes nothing else, and goes on', async () => {
    const taken: number[] = [];
    const { post } = await socket(async (reports) => {
      taken.push(reports.length);
      if (reports[0]?.length === 1) throw new Error('a bug');
      return reports;
    });
    const one = joinReports([Buffer.from('one')]);
    const statuses = [
      await post(one, { path: '/head' }),
      await post(one, { path: '/report?x=/report' }),
      await post(one, { method: 'PUT' }),
      await post(one, { headers: { 'transfer-encoding': 'chunked' } }),
      await post(new Uint8Array(), { headers: { 'content-length': '0' } }),
      await post(Buffer.from([9, 0, 1])),
      await post(new Uint8Array((REPORTS_MAX + 1) * 2)),
      await post(new Uint8Array(), {
        headers: { 'content-length': `${REPORTS_MAX * (2 + REPORT_MAX_BYTES) + 1}` },
      }),
      await post(joinReports([Buffer.from('x')])),
      await post(one),
    ].map(({ status }) => status);
    expect(statuses).toEqual([404, 404, 405, 411, 400, 400, 400, 413, 500, 200]);
    expect(taken).toEqual([1, 1]);
  });

  it('holds 64 connections and refuses the next, until one of them goes', async () => {
    const { path, post } = await socket(async (reports) => reports);
    const opened = async () => {
      const one = connect({ path });
      one.on('error', () => undefined); // some are reset
      await once(one, 'connect');
      return one;
    };
    const held = [];
    for (let i = 0; i < 64; i++) held.push(await opened());
    const refused = await opened();
    await once(refused, 'close');
    const [first] = held;
    first?.write('GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n'); // one that was held is served
    const [answer] = await once(first ?? refused, 'data');
    expect(String(answer)).toMatch(/^HTTP\/1\.1 404 /);
    if (first?.closed === false) await once(first, 'close');
    expect((await post(joinReports([Buffer.from('one')]))).status).toBe(200);
    for (const one of held) one.destroy();
  });

  it('takes their places back from clients that read no answers', async () => {
    const { path, post } = await socket(async (reports) => reports, 100);
    const large = new Uint8Array(REPORT_MAX_BYTES);
    const body = joinReports(Array.from({ length: REPORTS_MAX }, () => large)); // more than a socket holds
    const deaf = Array.from({ length: 64 }, () => connect({ path }));
    for (const one of deaf) {
      one.on('error', () => undefined); // it is reset
      one.pause();
      one.write(`POST /report HTTP/1.1\r\nhost: x\r\ncontent-length: ${body.length}\r\n\r\n`);
      one.write(body);
    }
    const status = () => post(joinReports([Buffer.from('one')])).then((answer) => answer.status, String);
    await expect.poll(status, { timeout: 20_000 }).toBe(200);
    for (const one of deaf) one.destroy();
  });

  it('ends with connections open, and lets another listen there', async () => {
    const { path, stop } = await socket(async (reports) => reports);
    const idle = connect({ path });
    idle.on('error', () => undefined); // it is reset
    await once(idle, 'connect');
    idle.write('POST /report HTTP/1.1\r\n');
    const ended = new Promise((resolve) => idle.once('close', resolve));
    await stop();
    await ended;
    const again = await listenForReports(
      { kind: 'unix', path },
      async (all) => all,
      new PacedLog(SILENT, () => 0),
    );
    await again();
  });
});
