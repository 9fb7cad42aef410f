/**
 * The other end of a control connection: one request, led message by message or whole, and the records that
 * answer it.
 */

import { createHash } from 'node:crypto';
import {
  Connection,
  type ControlRecord,
  type ControlRecordOf,
  type Message,
  type MessageOf,
} from '@rulecast/protocol';
import { type Channel, connect, type Endpoint } from '@rulecast/vchan';
import { onTestFinished } from 'vitest';
import { bytesOf } from './fresh-publisher.ts';

export interface Answer {
  readonly records: readonly ControlRecord[];
  readonly end: MessageOf<'done' | 'fail' | 'bye'>;
}

export class ScriptedRulectl {
  readonly channel: Channel;
  readonly connection: Connection;

  private constructor(channel: Channel) {
    this.channel = channel;
    this.connection = new Connection(channel);
    onTestFinished(() => channel.close());
  }

  static async connect(endpoint: Endpoint): Promise<ScriptedRulectl> {
    return new ScriptedRulectl(await connect(endpoint));
  }

  /** Connects, pushes files given as name and text, and hears the answer to its end. */
  static async push(
    endpoint: Endpoint,
    files: Readonly<Record<string, string>>,
    push: Partial<MessageOf<'push'>> = {},
  ): Promise<Answer> {
    const rulectl = await ScriptedRulectl.connect(endpoint);
    await rulectl.sendPush(files, push);
    return rulectl.answer();
  }

  async sendPush(
    files: Readonly<Record<string, string>>,
    push: Partial<MessageOf<'push'>> = {},
  ): Promise<void> {
    await this.announce({ files: Object.keys(files).length, ...push });
    for (const [name, text] of Object.entries(files)) await this.sendFile(name, bytesOf(text));
  }

  announce(push: Partial<MessageOf<'push'>>): Promise<void> {
    return this.send({
      kind: 'push',
      action: 'replace',
      list: undefined,
      policy: undefined,
      replaceAll: false,
      ifVersion: undefined,
      dryRun: false,
      wait: 'released',
      timeoutMs: 60_000,
      files: 1,
      ...push,
    });
  }

  async sendFile(name: string, bytes: Uint8Array, role: 'pushed' | 'referenced' = 'pushed'): Promise<void> {
    await this.send({ kind: 'file', name, role, bytes: bytes.length });
    await this.connection.sendBytes([bytes]);
    await this.send({ kind: 'end', sha256: new Uint8Array(createHash('sha256').update(bytes).digest()) });
  }

  send(message: Message): Promise<void> {
    return this.connection.send(message);
  }

  /** The next record, which must be of this kind. */
  async record<K extends ControlRecord['record']>(kind: K): Promise<ControlRecordOf<K>> {
    const message = (await this.connection.receive())?.message;
    if (message?.kind !== 'record' || message.record.record !== kind) {
      throw new Error(`${kind} was due, not ${JSON.stringify(message)}`);
    }
    return message.record as ControlRecordOf<K>;
  }

  /** All records, to the end of the answer; then the connection must be closed. */
  async answer(): Promise<Answer> {
    const records: ControlRecord[] = [];
    for (;;) {
      const message = (await this.connection.receive())?.message;
      if (message?.kind === 'record') records.push(message.record);
      else if (message?.kind === 'done' || message?.kind === 'fail' || message?.kind === 'bye') {
        if ((await this.connection.receive()) !== undefined) throw new Error('a message after the end');
        return { records, end: message };
      } else throw new Error(`a record or an end was due, not ${JSON.stringify(message)}`);
    }
  }
}

/** The records of one kind. */
export function recordsOf<K extends ControlRecord['record']>(
  answer: Answer,
  kind: K,
): readonly ControlRecordOf<K>[] {
  return answer.records.filter((record): record is ControlRecordOf<K> => record.record === kind);
}
