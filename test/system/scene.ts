/**
 * A directory and the processes that play in it, all gone after the test, also when it fails.
 */

import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Connection, type MessageOf, PROTOCOL_VERSION, parseTrust } from '@rulecast/protocol';
import { connect, parseEndpoint } from '@rulecast/vchan';
import { afterEach } from 'vitest';
import { trusting } from '../kit/roots.mjs';
import { type Daemon, endpointsIn, startPublisher, startSubscriberOf, trustOf } from '../processes.mjs';
import { ControlClient } from './control-client.ts';

const open: Scene[] = [];

afterEach(async () => {
  for (const scene of open.splice(0)) await scene.close();
});

export class Scene {
  readonly directory: string;
  readonly control: ControlClient;
  private readonly daemons = new Set<Daemon>();
  private readonly closers: (() => Promise<void> | void)[] = [];
  private trust: string | undefined;

  /** In a new temporary directory, or in `directory`, which then is the caller's. */
  constructor(directory?: string) {
    this.directory = directory ?? mkdtempSync(join(tmpdir(), 'rulecast-system-'));
    if (directory === undefined) {
      this.onClose(() => rmSync(this.directory, { recursive: true, force: true }));
    }
    this.control = new ControlClient(endpointsIn(this.directory).control);
    open.push(this);
  }

  /** Runs at close, after the processes are gone; the last added first. */
  onClose(closer: () => Promise<void> | void): void {
    this.closers.unshift(closer);
  }

  /** The endpoint where the publisher of this scene waits for subscribers. */
  get listen(): string {
    return endpointsIn(this.directory).listen;
  }

  path(...names: readonly string[]): string {
    return join(this.directory, ...names);
  }

  async publisher(args: readonly string[] = [], launch: readonly string[] = []): Promise<Daemon> {
    return this.keep(await startPublisher(this.directory, args, launch));
  }

  /** A subscriber with its state in the directory of its name. */
  async subscriber(name: string, connect = this.listen, args: readonly string[] = []): Promise<Daemon> {
    const state = ['--state', this.path(name)];
    return this.keep(await startSubscriberOf(await this.trustLine(), connect, name, [...state, ...args]));
  }

  /** The publisher's trust line; its state is made if need be. */
  async trustLine(): Promise<string> {
    this.trust ??= await trustOf(this.directory);
    return this.trust;
  }

  /** What HELLO says of whom it trusts. */
  async trusted(): Promise<Pick<MessageOf<'hello'>, 'lineage' | 'root'>> {
    return trusting(parseTrust(await this.trustLine()));
  }

  /** The first message of a subscriber. */
  async hello(name: string, more: Partial<MessageOf<'hello'>> = {}): Promise<MessageOf<'hello'>> {
    return {
      kind: 'hello',
      protocolMin: PROTOCOL_VERSION,
      protocolMax: PROTOCOL_VERSION,
      name,
      ...(await this.trusted()),
      refused: [],
      limits: { entries: 1000, bytes: 1e6, parts: 10 },
      ...more,
    };
  }

  /** The connection of a subscriber that a test plays; its HELLO is sent. */
  async greet(name: string, more: Partial<MessageOf<'hello'>> = {}): Promise<Connection> {
    const connection = new Connection(await connect(parseEndpoint(this.listen)));
    this.onClose(() => connection.close());
    await connection.send(await this.hello(name, more));
    return connection;
  }

  /** Copies a file or directory of the scene over another. */
  copy(from: string, to: string): void {
    rmSync(this.path(to), { recursive: true, force: true });
    cpSync(this.path(from), this.path(to), { recursive: true });
  }

  /** Ends a daemon with the scene, if it has not ended before. */
  keep(daemon: Daemon): Daemon {
    this.daemons.add(daemon);
    daemon.process.once('exit', () => this.daemons.delete(daemon));
    return daemon;
  }

  async close(): Promise<void> {
    await Promise.all([...this.daemons].map((daemon) => daemon.kill()));
    for (const closer of this.closers) await closer();
  }
}

/** The versions that a daemon's log says with a message. */
export function loggedVersions(daemon: Daemon, message: string): readonly number[] {
  return daemon.log.filter((line) => line['msg'] === message).map((line) => Number(line['version']));
}

/** Resolves or rejects like `promise`, and rejects after `timeoutMs`. */
export async function within<T>(promise: Promise<T>, timeoutMs: number, what: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: not within ${timeoutMs} ms`)), timeoutMs);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
