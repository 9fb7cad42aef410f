/** Depots for tests: written by a publisher, shown from memory or by a web server, and spoiled. */

import { createHash, type KeyObject } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import {
  type DepotHead,
  encodeDepotHead,
  joinSigned,
  type ObjectReference,
  objectPath,
  readDepotHead,
  signBytes,
} from '@rulecast/protocol';
import { Depot } from '../../publisher/src/depot/depot.ts';
import type { DepotFiles } from '../../publisher/src/depot/files.ts';
import type { Publisher } from '../../publisher/src/release/publisher.ts';
import type { Release } from '../../publisher/src/store/store.ts';
import { release, SILENT } from '../../publisher/test/fresh-publisher.ts';
import { FakeClock } from '../../sources/test/fake-clock.ts';
import { type DepotSource, SourceError } from '../src/source.ts';

/** By path. */
export type Files = Map<string, Uint8Array>;

/** Pushes some releases of one list that grows, and gives the newest. */
export async function releases(publisher: Publisher, count: number, hosts = 200): Promise<Release> {
  let newest: Release | undefined;
  for (let i = 0; i < count; i++) {
    const text = Array.from({ length: hosts + i }, (_, at) => `10.${at >> 8}.${at & 255}.${i}`).join('\n');
    newest = await release(publisher, { 'blocked.txt': text });
  }
  if (newest === undefined) throw new Error('no release');
  return newest;
}

/** What a publisher writes now, added to what was there. */
export async function write(publisher: Publisher, files: Files = new Map()): Promise<Files> {
  const memory: DepotFiles = {
    read: async (path) => files.get(path),
    write: async (path, bytes) => void files.set(path, Uint8Array.from(bytes)),
    objects: async () => [...files.keys()].filter((path) => path.startsWith('o/')),
    remove: async (path) => void files.delete(path),
  };
  const clock = new FakeClock();
  const depot = new Depot({
    files: memory,
    identity: publisher.identity,
    store: publisher.store,
    transfers: publisher.transfers,
    newest: () => publisher.head,
    clock,
    nowMs: () => clock.wallMs(),
    logger: SILENT,
    signEveryMs: 60_000,
    expiresMs: 300_000,
    keepMs: 7_200_000,
  });
  await depot.start();
  await depot.close();
  return files;
}

export function headOf(files: Files): DepotHead {
  return readDepotHead(files.get('head') ?? new Uint8Array()).head;
}

/** The same depot with another head, signed by those keys. */
export function withHead(files: Files, change: Partial<DepotHead>, ...keys: readonly KeyObject[]): Files {
  const content = encodeDepotHead({ ...headOf(files), ...change });
  return new Map(files).set('head', joinSigned({ signatures: signBytes(content, ...keys), content }));
}

/** A mirror in memory. */
export class MemorySource implements DepotSource {
  readonly name: string;
  files: Files;
  readonly asked: string[] = [];
  readonly reported: (readonly Uint8Array[])[] = [];
  /** Requests with reports. */
  tries = 0;
  /** What is given in place of an object: bytes, or a promise that may never come. */
  instead: (path: string, isAgain: boolean) => Uint8Array | Promise<Uint8Array> | undefined = () => undefined;
  answer: (report: Uint8Array) => Uint8Array = () => new Uint8Array();
  /** Why it gives nothing at all. */
  fault: string | undefined;
  onHeads: (() => void) | undefined;
  #shown: Uint8Array | undefined;
  #end: (error: SourceError) => void = () => undefined;
  readonly #ended: Promise<never>;

  constructor(files: Files, name = 'memory') {
    this.files = files;
    this.name = name;
    this.#ended = new Promise((_, reject) => {
      this.#end = reject;
    });
    this.#ended.catch(() => undefined);
  }

  async head(isAgain = false): Promise<Uint8Array | undefined> {
    const bytes = await this.#get('head', false);
    if (bytes === this.#shown && !isAgain) return undefined;
    this.#shown = bytes;
    return bytes;
  }

  object(reference: ObjectReference, isAgain: boolean): Promise<Uint8Array> {
    return this.#get(objectPath(reference), isAgain);
  }

  async report(reports: readonly Uint8Array[]): Promise<readonly Uint8Array[]> {
    this.tries += 1;
    if (this.fault !== undefined) throw new SourceError(`${this.name}: ${this.fault}`);
    this.reported.push(reports);
    return reports.map((report) => this.answer(report));
  }

  onHead(listener: () => void): void {
    this.onHeads = listener;
  }

  close(): void {
    this.#end(new SourceError('closed'));
  }

  #get(path: string, isAgain: boolean): Promise<Uint8Array> {
    this.asked.push(path + (isAgain ? ' again' : ''));
    const get = async (): Promise<Uint8Array> => {
      if (this.fault !== undefined) throw new SourceError(`${this.name}: ${this.fault}`);
      const bytes = await (this.instead(path, isAgain) ?? this.files.get(path));
      if (bytes === undefined) throw new SourceError(`${this.name}: ${path}: 404`);
      return bytes;
    };
    return Promise.race([this.#ended, get()]);
  }
}

/** A web server's answer out of files: entity tags, and parts. */
export function answerFrom(files: Files): (request: IncomingMessage, response: ServerResponse) => void {
  return ({ url = '', headers }, response) => {
    const bytes = files.get((url.split('?')[0] ?? '').replace(/^\/rules\//, ''));
    if (bytes === undefined) return void response.writeHead(404).end('nothing is here');
    const etag = `"${createHash('sha256').update(bytes).digest('hex').slice(0, 16)}"`;
    if (headers['if-none-match'] === etag) return void response.writeHead(304, { etag }).end();
    const from = Number(/^bytes=(\d+)-$/.exec(headers.range ?? '')?.[1] ?? 0);
    const range = { 'content-range': `bytes ${from}-${bytes.length - 1}/${bytes.length}` };
    const rest = bytes.subarray(from);
    response.writeHead(from === 0 ? 200 : 206, {
      etag,
      'content-length': rest.length,
      ...(from === 0 ? {} : range),
    });
    response.end(rest);
  };
}
