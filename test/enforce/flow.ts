/**
 * Real connections through the network of the tests: a download that never ends, watched while releases come.
 */

import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Namespace } from './network.mjs';

const DOWNLOAD = fileURLToPath(new URL('./download.mjs', import.meta.url));
const START_TIMEOUT_MS = 20_000;
const STALL_MS = 5000;

/** What a download said. */
export interface Progress {
  /** CLOCK_MONOTONIC. */
  readonly atMs: number;
  /** All so far. */
  readonly bytes: number;
}

/** Starts a server in a namespace; resolves when it listens. It ends with the namespace. */
export async function serveDownloads(namespace: Namespace, host: string, port: number): Promise<void> {
  const server = namespace.spawn([process.execPath, DOWNLOAD, 'serve', host, String(port)]);
  const { stdout } = server;
  if (stdout === null) throw new Error('no standard output');
  await new Promise<void>((resolve, reject) => {
    createInterface({ input: stdout }).once('line', () => resolve());
    server.once('exit', () => reject(new Error('the download server ended')));
  });
}

export class Download {
  readonly progress: Progress[] = [];
  /** What was not as it should be. */
  readonly wrong: string[] = [];
  private readonly watchers = new Set<() => void>();

  private constructor() {}

  /** Starts fetching in a namespace; resolves when bytes come. It ends with the namespace. */
  static async start(namespace: Namespace, host: string, port: number): Promise<Download> {
    const download = new Download();
    const client = namespace.spawn([process.execPath, DOWNLOAD, 'fetch', host, String(port)]);
    const { stdout } = client;
    if (stdout === null) throw new Error('no standard output');
    createInterface({ input: stdout }).on('line', (text) => download.take(JSON.parse(text)));
    await download.grows(START_TIMEOUT_MS);
    return download;
  }

  /** Resolves when more bytes came than until now; rejects if the time ends first. */
  private grows(timeoutMs: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const watcher = (): void => {
        clearTimeout(timer);
        this.watchers.delete(watcher);
        resolve();
      };
      const timer = setTimeout(() => {
        this.watchers.delete(watcher);
        reject(new Error(`no bytes within ${timeoutMs} ms; ${this.wrong.join(', ')}`));
      }, timeoutMs);
      this.watchers.add(watcher);
    });
  }

  /** Resolves when bytes came after a moment of CLOCK_MONOTONIC. */
  async until(atMs: number): Promise<void> {
    while (!(this.lastMs > atMs)) await this.grows(STALL_MS);
  }

  /** When the last bytes came, on CLOCK_MONOTONIC. */
  get lastMs(): number {
    return this.progress.at(-1)?.atMs ?? Number.NaN;
  }

  /** The longest time between two reports from some moment on, in milliseconds. */
  longestGapMs(fromMs: number): number {
    const times = this.progress.map(({ atMs }) => atMs).filter((atMs) => atMs >= fromMs);
    return Math.max(...times.slice(1).map((atMs, index) => atMs - (times[index] ?? atMs)));
  }

  private take(line: Partial<Progress> & { readonly wrong?: string }): void {
    if (line.wrong !== undefined) this.wrong.push(line.wrong);
    if (line.atMs === undefined || line.bytes === undefined) return;
    this.progress.push({ atMs: line.atMs, bytes: line.bytes });
    for (const watcher of [...this.watchers]) watcher();
  }
}
