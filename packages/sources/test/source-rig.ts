/**
 * Sources of a configuration over a fake clock, a fake network and a consumer that remembers; files are real.
 */

import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { type PublisherConfig, parseConfig } from '@rulecast/formats';
import type { List } from '@rulecast/rules';
import { turns } from '../../../test/kit/turns.ts';
import { FetchError, FetchErrorCode } from '../src/fetch/error.ts';
import type { FetchOutcome, FetchRequest } from '../src/fetch/fetcher.ts';
import type { Refusal } from '../src/guard/guard.ts';
import type { EntryCounts } from '../src/lists/change.ts';
import { evaluateExpression } from '../src/lists/expression.ts';
import { mergeLayers } from '../src/lists/layers.ts';
import type { Log } from '../src/log.ts';
import { type Downloader, loadedInputs } from '../src/read/inputs.ts';
import { readSource } from '../src/read/reading.ts';
import type { BatchOutcome, ListBatch, ListConsumer } from '../src/source/delivery.ts';
import type { AuditEntry } from '../src/source/list-log.ts';
import type { ListWork } from '../src/source/source.ts';
import { Sources } from '../src/sources.ts';
import { FakeClock } from './fake-clock.ts';
import { entriesOf } from './list-of.ts';

/** Answers as a test says, and has a cache as the real one. */
export class FakeNetwork implements Downloader {
  readonly asked: string[] = [];
  readonly #clock: FakeClock;
  readonly #pages = new Map<string, string | FetchError>();
  readonly #cache: Map<string, FetchOutcome>;

  constructor(clock: FakeClock, cache = new Map<string, FetchOutcome>()) {
    this.#clock = clock;
    this.#cache = cache;
  }

  set(url: string, content: string | FetchError): void {
    this.#pages.set(url, content);
  }

  /** With the same cache, as after a restart. */
  restarted(clock: FakeClock): FakeNetwork {
    return new FakeNetwork(clock, this.#cache);
  }

  async fetch({ url }: FetchRequest): Promise<FetchOutcome> {
    this.asked.push(url);
    const content = this.#pages.get(url);
    if (typeof content !== 'string') {
      throw content ?? new FetchError(FetchErrorCode.connection, 'no network', { temporary: true });
    }
    const bytes = Buffer.from(content);
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    const kind = this.#cache.get(url)?.sha256 === sha256 ? 'not-modified' : 'fresh';
    const fileName = url.slice(url.lastIndexOf('/') + 1);
    const outcome = {
      size: bytes.length,
      read: async () => Uint8Array.from(bytes),
      sha256,
      end: 'proven' as const,
      fetchedAtMs: this.#clock.wallMs(),
      finalUrl: url,
      fileName,
    };
    this.#cache.set(url, { kind: 'not-modified', ...outcome });
    return { kind, ...outcome };
  }

  async cached(url: string): Promise<FetchOutcome | undefined> {
    return this.#cache.get(url);
  }

  async close(): Promise<void> {}
}

export class FakeConsumer implements ListConsumer {
  /** Entries by list, of each batch; undefined for a list that was withdrawn. */
  readonly batches: Readonly<Record<string, readonly string[] | undefined>>[] = [];
  readonly lists = new Map<string, List>();
  readonly refuse = new Map<string, Refusal>();
  failure: Error | undefined;

  /** Lists that rules accept, and are wider now: as a publisher says it of them. */
  readonly wider = new Map<string, Refusal>();

  async update(batch: ListBatch, mayWiden: ReadonlySet<string>): Promise<BatchOutcome> {
    if (this.failure !== undefined) throw this.failure;
    const isHeld = (name: string): boolean => this.wider.has(name) && !mayWiden.has(name);
    this.batches.push(Object.fromEntries([...batch].map(([name, list]) => [name, entriesOf(list)])));
    const changes = new Map<string, EntryCounts>();
    for (const [name, list] of batch) {
      if (this.refuse.has(name) || isHeld(name)) continue;
      const before = new Set(entriesOf(this.lists.get(name)));
      const after = new Set(entriesOf(list));
      const added = [...after].filter((entry) => !before.has(entry)).length;
      changes.set(name, { added, removed: before.size + added - after.size });
      if (list === undefined) this.lists.delete(name);
      else this.lists.set(name, list);
    }
    const held = [...this.wider].filter(([name]) => isHeld(name));
    const widened = new Map([...this.wider].filter(([name]) => !isHeld(name)));
    return { refused: new Map([...this.refuse, ...held]), changes, widened };
  }

  holds(list: string): boolean {
    return this.lists.has(list);
  }
}

export interface RigOptions {
  readonly clock?: FakeClock;
  readonly network?: FakeNetwork;
  readonly consumer?: FakeConsumer;
  readonly work?: Partial<ListWork>;
}

export class SourceRig {
  readonly clock: FakeClock;
  readonly network: FakeNetwork;
  readonly consumer: FakeConsumer;
  readonly audit: AuditEntry[] = [];
  readonly logged: string[] = [];
  readonly directory: string;
  readonly sources: Sources;
  /** What is watched, and tells that something of it changed. */
  watched: readonly string[] = [];
  touch: (path: string) => void = () => undefined;

  constructor(directory: string, config: string, options: RigOptions = {}) {
    this.directory = directory;
    this.clock = options.clock ?? new FakeClock();
    this.network = options.network ?? new FakeNetwork(this.clock);
    this.consumer = options.consumer ?? new FakeConsumer();
    const note = (_fields: object, message: string): void => void this.logged.push(message);
    const log: Log = { info: note, warn: note };
    this.sources = new Sources({
      config: this.parse(config),
      directory: join(directory, 'state'),
      fetcher: this.network,
      work: {
        read: async (order) => readSource({ ...order, inputs: await loadedInputs(order.inputs) }),
        evaluate: async (expression) => evaluateExpression(expression),
        merge: async (merging) => mergeLayers(merging),
        ...options.work,
      },
      watch: async (paths, onChange) => {
        this.watched = paths;
        this.touch = onChange;
        return async () => {
          this.watched = [];
        };
      },
      consumer: this.consumer,
      log,
      clock: this.clock,
      random: () => 0.5,
      audit: (entry) => this.audit.push(entry),
    });
  }

  parse(config: string): PublisherConfig {
    const read = parseConfig(join(this.directory, 'publisher.yaml'), Buffer.from(config));
    if (read.config === undefined) throw new Error(JSON.stringify(read.rejects));
    return read.config;
  }

  /** Starts, and waits for so many batches in all. */
  async start(batches = 1): Promise<void> {
    await this.sources.start(this.consumer.lists);
    await this.batch(batches);
  }

  /** Waits until so many batches came in all, and returns the last of them. */
  async batch(count: number): Promise<Readonly<Record<string, readonly string[] | undefined>> | undefined> {
    await this.#until(() => this.consumer.batches.length >= count);
    return this.consumer.batches[count - 1];
  }

  /** Refreshes while time passes. */
  async refresh(names: readonly string[] = [], codes: readonly string[] = [], by?: string) {
    let isDone = false;
    const work = this.sources.refresh(names, { codes: new Set(codes), needed: new Set(), by }).finally(() => {
      isDone = true;
    });
    work.catch(() => undefined); // told by the promise that is returned
    await this.#until(() => isDone);
    return work;
  }

  status(name: string) {
    const found = this.sources.status().find((list) => list.name === name);
    if (found === undefined) throw new Error(`there is no list ${name}`);
    return found;
  }

  /** Waits until a list is in a state. */
  async state(name: string, state: string): Promise<void> {
    await this.#until(() => this.status(name).state === state);
  }

  /** Time passes, and what it brings about is done before anything else. */
  async pass(ms: number, stepMs = ms): Promise<void> {
    for (let left = ms; left > 0; left -= stepMs) {
      await this.#idle();
      this.clock.advance(Math.min(stepMs, left));
      await this.#idle();
    }
  }

  /** Time passes in small steps until something holds. */
  async #until(holds: () => boolean): Promise<void> {
    for (let step = 0; step < 1000; step++) {
      await this.#idle();
      if (holds()) return;
      this.clock.advance(50);
    }
    throw new Error('what was waited for never came');
  }

  async #idle(): Promise<void> {
    await turns(2);
    await this.sources.idle();
    await turns(2);
  }

  /** As a publisher that stops and starts again, `downMs` later, with what it kept. */
  async restart(config: string, downMs = 60_000): Promise<SourceRig> {
    await this.sources.close();
    const clock = new FakeClock();
    clock.jumpWall(this.clock.wallMs() - clock.wallMs() + downMs);
    const { consumer, directory } = this;
    return new SourceRig(directory, config, { clock, network: this.network.restarted(clock), consumer });
  }
}
