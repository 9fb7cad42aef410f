/**
 * What `rulectl` says, without starting a process for it: CONTROL.md "Control". One connection a request.
 * Answers come as records, as the publisher sent them.
 */

import { Connection, type ControlRecord, type ControlRecordOf, type MessageOf } from '@rulecast/protocol';
import { connect, parseEndpoint } from '@rulecast/vchan';

export type Ending = MessageOf<'done'> | MessageOf<'fail'> | MessageOf<'bye'>;

export interface Answer {
  readonly records: readonly ControlRecord[];
  /** Undefined where the publisher went without one, or the caller had heard enough. */
  readonly ending: Ending | undefined;
}

/** What guards of pushes ask about, for tests of other things. */
const PERMITTED = {
  allowEmpty: true,
  allowShrink: true,
  allowGrowth: true,
  allowCoverage: true,
  allowAll: true,
  allowAcceptAll: true,
  allowDropAll: true,
  allowNoPolicy: true,
} as const;

/** One list, pushed as a file. */
export interface PushedList {
  readonly list: string;
  readonly text: string | Uint8Array;
  readonly wait?: 'released' | 'applied';
  readonly policy?: string;
  readonly asNewEpoch?: boolean;
  /** Ends the request, as a `rulectl` that is interrupted does. */
  readonly enough?: (record: ControlRecord) => boolean;
}

export interface Status {
  readonly head: ControlRecordOf<'head'>;
  readonly parts: readonly ControlRecordOf<'part'>[];
  readonly subscribers: readonly ControlRecordOf<'subscriber'>[];
}

const STATUS_TIMEOUT_MS = 60_000;

export class ControlClient {
  private readonly endpoint: string;

  constructor(endpoint: string) {
    this.endpoint = endpoint;
  }

  /** Pushes entries as a list. An answer without an ending means that the publisher went meanwhile. */
  push({ list, text, wait = 'applied', asNewEpoch, enough }: PushedList): Promise<Answer> {
    const bytes = typeof text === 'string' ? Buffer.from(text) : text;
    return this.pushFiles({ list, wait, asNewEpoch }, [{ name: `${list}.txt`, bytes }], enough);
  }

  /** Pushes rules as the policy `default`, or a rule set document. */
  pushText(name: string, text: string): Promise<Answer> {
    return this.pushFiles({ wait: 'applied' }, [{ name, bytes: Buffer.from(text) }]);
  }

  private pushFiles(
    options: {
      readonly list?: string;
      readonly wait: 'released' | 'applied';
      readonly asNewEpoch?: boolean | undefined;
    },
    files: readonly { readonly name: string; readonly bytes: Uint8Array }[],
    enough?: (record: ControlRecord) => boolean,
  ): Promise<Answer> {
    const send = async (connection: Connection): Promise<void> => {
      await connection.send({
        kind: 'push',
        action: 'replace',
        replaceAll: false,
        dryRun: false,
        timeoutMs: 60_000,
        files: files.length,
        ...PERMITTED,
        ...options,
      });
      for (const { name, bytes } of files) {
        await connection.send({ kind: 'file', name, role: 'pushed', bytes: bytes.length });
        const sent = await connection.sendBytes([bytes]);
        await connection.send({ kind: 'end', sha256: sent.sha256 });
      }
    };
    return this.ask(send, enough);
  }

  /** The verdicts of a packet, `direction` egress, to a port of tcp. Addresses are dotted. */
  async verdict(
    dst: string,
    subscriber: string,
    src = '10.137.0.5',
  ): Promise<ControlRecordOf<'verdict'> | undefined> {
    const { records } = await this.ask((connection) =>
      connection.send({
        kind: 'test',
        subscriber,
        packet: { direction: 'egress', src: ipv4(src), dst: ipv4(dst), proto: 6, port: 443 },
      }),
    );
    return records.find((record) => record.record === 'verdict');
  }

  async status(): Promise<Status> {
    const { records } = await this.ask((connection) => connection.send({ kind: 'status', watch: false }));
    const status = statusOf(records);
    if (status === undefined) throw new Error('the publisher sent no status');
    return status;
  }

  /** Watches the status until it matches; throws with the last one seen after `timeoutMs`. */
  async until(matches: (status: Status) => boolean, timeoutMs = STATUS_TIMEOUT_MS): Promise<Status> {
    let batch: ControlRecord[] = [];
    let found: Status | undefined;
    const enough = (record: ControlRecord): boolean => {
      if (record.record === 'head') batch = [];
      batch.push(record);
      const status = record.record === 'end' ? statusOf(batch) : undefined;
      if (status !== undefined && matches(status)) found = status;
      return found !== undefined;
    };
    await this.ask((connection) => connection.send({ kind: 'status', watch: true }), enough, timeoutMs);
    if (found === undefined) throw new Error(`not within ${timeoutMs} ms; last: ${JSON.stringify(batch)}`);
    return found;
  }

  /** Waits until a subscriber has the head in force. */
  async synced(subscriber: string, timeoutMs?: number): Promise<ControlRecordOf<'subscriber'>> {
    const isSynced = (row: ControlRecordOf<'subscriber'>): boolean =>
      row.name === subscriber && row.state === 'synced';
    const status = await this.until(({ subscribers }) => subscribers.some(isSynced), timeoutMs);
    const row = status.subscribers.find(isSynced);
    if (row === undefined) throw new TypeError('unreachable: it matched');
    return row;
  }

  private async ask(
    send: (connection: Connection) => Promise<void>,
    enough: (record: ControlRecord) => boolean = () => false,
    timeoutMs?: number,
  ): Promise<Answer> {
    const connection = new Connection(await connect(parseEndpoint(this.endpoint)));
    const timer = timeoutMs === undefined ? undefined : setTimeout(() => connection.close(), timeoutMs);
    const sending = send(connection).catch(() => undefined); // a publisher that went is told by the missing ending
    const records: ControlRecord[] = [];
    try {
      for (;;) {
        const message = (await connection.receive().catch(() => undefined))?.message;
        if (message === undefined) return { records, ending: undefined };
        if (message.kind === 'record') {
          records.push(message.record);
          if (enough(message.record)) return { records, ending: undefined };
        } else if (message.kind === 'done' || message.kind === 'fail' || message.kind === 'bye') {
          return { records, ending: message };
        }
      }
    } finally {
      clearTimeout(timer);
      connection.close();
      await sending;
    }
  }
}

/** The release record in an answer to a push. Throws, with the answer, if there is none. */
export function releaseOf(answer: Answer): ControlRecordOf<'release'> {
  const release = answer.records.find((record) => record.record === 'release');
  if (release === undefined) throw new Error(`no release: ${JSON.stringify(answer)}`);
  return release;
}

function statusOf(records: readonly ControlRecord[]): Status | undefined {
  const head = records.find((record) => record.record === 'head');
  if (head === undefined) return undefined;
  return {
    head,
    parts: records.filter((record) => record.record === 'part'),
    subscribers: records.filter((record) => record.record === 'subscriber'),
  };
}

function ipv4(text: string): Uint8Array {
  return Uint8Array.from(text.split('.'), Number);
}
