/** A control endpoint that answers as a test says, and remembers what it was asked. */

import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { Connection, type ControlRecord, type Message, type MessageOf } from '@rulecast/protocol';
import { formatEndpoint, type Listener, listen } from '@rulecast/vchan';
import { Folder } from './cli.ts';

export interface SentFile {
  readonly name: string;
  readonly role: 'pushed' | 'referenced';
  readonly content: string;
}

export interface SentPush {
  readonly push: MessageOf<'push'>;
  readonly files: readonly SentFile[];
}

/** Answers one connection. */
export type Script = (connection: Connection) => Promise<void>;

export class FakePublisher {
  readonly endpoint: string;
  private readonly listener: Listener;
  private readonly folder: Folder;
  private readonly answering: Promise<void>[] = [];
  private readonly running: Promise<void>;

  private constructor(listener: Listener, folder: Folder, script: Script) {
    this.listener = listener;
    this.folder = folder;
    this.endpoint = formatEndpoint(listener.endpoint);
    this.running = this.run(script);
  }

  static async start(script: Script): Promise<FakePublisher> {
    const folder = new Folder();
    const listener = await listen({ kind: 'unix', path: join(folder.path, 'control.sock') });
    return new FakePublisher(listener, folder, script);
  }

  private async run(script: Script): Promise<void> {
    for (;;) {
      const channel = await this.listener.accept().catch(() => undefined);
      if (channel === undefined) return;
      const connection = new Connection(channel);
      this.answering.push(script(connection).finally(() => connection.close()));
    }
  }

  /** Rejects with what a script threw. */
  async stop(): Promise<void> {
    await this.listener.close();
    await this.running;
    this.folder.remove();
    await Promise.all(this.answering);
  }
}

export async function receive<K extends Message['kind']>(
  connection: Connection,
  kind: K,
): Promise<MessageOf<K>> {
  let received = await connection.receive();
  if (received?.message.kind === 'greet') {
    // It goes before every request.
    const { protocolMin, protocolMax } = received.message;
    await connection.send({ kind: 'greet', protocolMin, protocolMax, capabilities: [] });
    received = await connection.receive();
  }
  if (received?.message.kind !== kind) throw new Error(`${received?.message.kind} where ${kind} was due`);
  return received.message as MessageOf<K>; // its kind was compared
}

/** Takes a push whole, and checks lengths and hashes as a publisher does. */
export async function receivePush(connection: Connection): Promise<SentPush> {
  const push = await receive(connection, 'push');
  const files: SentFile[] = [];
  for (let i = 0; i < push.files; i++) {
    const { name, role, bytes } = await receive(connection, 'file');
    const chunks: Uint8Array[] = [];
    for (let at = 0; at < bytes; ) {
      const chunk = Uint8Array.from((await receive(connection, 'chunk')).bytes);
      chunks.push(chunk);
      at += chunk.length;
    }
    const content = Buffer.concat(chunks);
    const { sha256 } = await receive(connection, 'end');
    if (sha256 === undefined || !createHash('sha256').update(content).digest().equals(sha256))
      throw new Error(`${name}: wrong hash`);
    files.push({ name, role, content: content.toString('utf8') });
  }
  return { push, files };
}

export async function sendRecords(connection: Connection, records: readonly ControlRecord[]): Promise<void> {
  for (const record of records) await connection.send({ kind: 'record', record });
}
