/**
 * Half a download is never taken for a list. One of 4,338 networks, cut in its last line by a server that
 * tells no length, became a list that covered a quarter of all addresses: `220.242.180.0/22` had become
 * `220.242.180.0/2`.
 */

import { readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { type List, prefixCount, subtractPrefixes } from '@rulecast/rules';
import { describe, expect, it } from 'vitest';
import { often } from '../../../test/thorough.ts';
import { FetchError } from '../src/fetch/error.ts';
import type { FetchOutcome } from '../src/fetch/fetcher.ts';
import type { Input } from '../src/read/inputs.ts';
import { type ReadingJob, type ReadList, type ReadRefused, readSource } from '../src/read/reading.ts';
import { freshFetcher, serveRaw } from './http-server.ts';
import { jobOf } from './reading-job.ts';

const NETWORKS = 4338;

/** A published list of so many networks, whose last one is what the one above was. */
function netset(): Buffer {
  const file = new URL('../../../test/fixtures/lists/country-ru-ipv4.netset', import.meta.url);
  const lines = readFileSync(file, 'latin1').split('\n');
  const header = lines.filter((line) => line.startsWith('#'));
  const networks = lines.filter((line) => /^\d/.test(line)).slice(0, NETWORKS - 1);
  return Buffer.from([...header, ...networks, '220.242.180.0/22', ''].join('\n'));
}

const TRUE_BYTES = netset();

function read(bytes: Uint8Array, end: Input['end'] = 'connection', some: Partial<ReadingJob> = {}) {
  return readSource(jobOf({ feed: bytes }, some, end));
}

function listOf(result: ReadList | ReadRefused): List | undefined {
  return result.kind === 'list' ? result.list : undefined;
}

/** Whether a list covers an address that another one does not. */
function coversMore(list: List, than: List): boolean {
  if (list.kind === 'names' || than.kind === 'names') return true;
  return prefixCount({ v4: subtractPrefixes(list.v4, than.v4), v6: subtractPrefixes(list.v6, than.v6) }) > 0;
}

const truth = listOf(await read(TRUE_BYTES));
if (truth === undefined) throw new Error('the whole list is refused');

describe(`a list of ${NETWORKS} networks, cut`, () => {
  it('at every byte, without a length, covers nothing that the whole one does not', async () => {
    // Not all of them each time: a few lines whole, and one byte in so many.
    const step = often(61, 1);
    const cuts = Array.from(TRUE_BYTES, (_, cut) => cut).filter(
      (cut) => cut % step === 0 || cut > TRUE_BYTES.length - 200,
    );
    const taken: number[] = [];
    for (const cut of cuts) {
      const list = listOf(await read(TRUE_BYTES.subarray(0, cut)));
      if (list === undefined) continue;
      taken.push(cut);
      if (coversMore(list, truth)) throw new Error(`cut at byte ${cut}, it covers more`);
    }
    // What is taken ends with a whole line, each of which is one network but for those of the header.
    const header = Buffer.from(TRUE_BYTES).toString('latin1').search(/^\d/m);
    expect(taken).toEqual(cuts.filter((cut) => cut > header && TRUE_BYTES[cut - 1] === 0x0a));
    expect(taken.length).toBeGreaterThan(10);
  });

  const head = (extra: string): string =>
    `HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n${extra}Connection: close\r\n\r\n`;
  const download = async (answer: Buffer): Promise<FetchOutcome | string> => {
    const { url } = await serveRaw(answer);
    const outcome = freshFetcher().fetch({
      url,
      maxBytes: 1 << 20,
      allMaxBytes: 1 << 28,
      timeoutMs: 180_000,
    });
    return outcome.catch((error: unknown) => (error instanceof FetchError ? error.code : String(error)));
  };
  const readDownload = async (answer: Buffer): Promise<ReadList | ReadRefused | string> => {
    const outcome = await download(answer);
    return typeof outcome === 'string' ? outcome : read(await outcome.read(), outcome.end);
  };
  /** In the last line, in the one before, and in the middle. */
  const CUTS = [...Array.from({ length: 34 }, (_, i) => TRUE_BYTES.length - 1 - i), 40_000, 40_001];

  it('with a length, is no download', async () => {
    const length = Buffer.from(head(`Content-Length: ${TRUE_BYTES.length}\r\n`));
    for (const cut of CUTS) {
      const answer = Buffer.concat([length, TRUE_BYTES.subarray(0, cut)]);
      expect([cut, await readDownload(answer)]).toEqual([cut, 'truncated']);
    }
  });

  it('in chunks, is no download', async () => {
    const chunk = Buffer.from(
      `${head('Transfer-Encoding: chunked\r\n')}${TRUE_BYTES.length.toString(16)}\r\n`,
    );
    for (const cut of CUTS) {
      const answer = Buffer.concat([chunk, TRUE_BYTES.subarray(0, cut)]);
      expect([cut, await readDownload(answer)]).toEqual([cut, 'connection']); // the parser of HTTP stumbles over it
    }
  });

  it('with nothing that says where it ends, is refused but at the end of a line', async () => {
    for (const cut of CUTS) {
      const result = await readDownload(Buffer.concat([Buffer.from(head('')), TRUE_BYTES.subarray(0, cut)]));
      if (typeof result === 'string') throw new Error(result);
      const list = listOf(result);
      if (TRUE_BYTES[cut - 1] === 0x0a) expect(list && coversMore(list, truth)).toBe(false);
      else expect([cut, result]).toMatchObject([cut, { kind: 'refused', code: 'truncated' }]);
    }
  });

  it('says what is wrong, and what to do', async () => {
    expect(await read(TRUE_BYTES.subarray(0, -2))).toEqual({
      kind: 'refused',
      code: 'truncated',
      reason:
        'feed: truncated: its last line, 4343, has no line feed, and the server did not say how long the file is; ignore-declared: true accepts it',
    });
    const taken = await read(TRUE_BYTES.subarray(0, -1), 'connection', { ignoreDeclared: true });
    expect(listOf(taken)).toEqual(truth);
  });
});

describe('a last line without an end', () => {
  const LINES = '192.0.2.1\n192.0.2.123';

  it('is taken where a length, the last chunk or the end of a compression says that this is all', async () => {
    const plain = (extra: string, body: string | Buffer): Buffer =>
      Buffer.concat([Buffer.from(`HTTP/1.1 200 OK\r\n${extra}Connection: close\r\n\r\n`), Buffer.from(body)]);
    const answers = [
      plain(`Content-Length: ${LINES.length}\r\n`, LINES),
      plain('Transfer-Encoding: chunked\r\n', `${LINES.length.toString(16)}\r\n${LINES}\r\n0\r\n\r\n`),
      plain('Content-Encoding: gzip\r\n', gzipSync(LINES)),
      plain('', gzipSync(LINES)),
    ];
    for (const answer of answers) {
      const { url } = await serveRaw(answer);
      const outcome = await freshFetcher().fetch({
        url,
        maxBytes: 9999,
        allMaxBytes: 9999,
        timeoutMs: 180_000,
      });
      expect(listOf(await read(await outcome.read(), outcome.end))?.kind).toBe('prefixes');
    }
  });

  it('is taken of JSON, which says itself where it ends, and not of what only looks like it', async () => {
    expect(listOf(await read(Buffer.from('["192.0.2.1"]')))?.kind).toBe('prefixes');
    expect(await read(Buffer.from('["192.0.2.1"'))).toMatchObject({ kind: 'refused', code: 'unusable' });
    expect(await read(Buffer.from('[Adblock Plus 2.0]\n||a.example^\n||b.exam'))).toMatchObject({
      kind: 'refused',
      code: 'truncated',
    });
  });

  it('is taken of a local file, which nobody cuts on the way', async () => {
    expect(listOf(await read(Buffer.from(LINES), 'proven'))?.kind).toBe('prefixes');
  });

  it('stays suspicious in the cache, and the server is asked for all of it again', async () => {
    const { url } = await serveRaw(`HTTP/1.1 200 OK\r\nETag: "1"\r\nConnection: close\r\n\r\n${LINES}`);
    const fetcher = freshFetcher();
    const ask = { url, maxBytes: 9999, allMaxBytes: 9999, timeoutMs: 180_000 };
    expect((await fetcher.fetch(ask)).end).toBe('connection');
    expect((await fetcher.cached(url))?.end).toBe('connection');
    expect((await fetcher.fetch(ask)).kind).toBe('fresh'); // a 304 would have kept half a list for ever
  });
});
