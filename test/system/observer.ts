/**
 * A subscriber that takes nothing and writes down what it is offered; it connects again whenever the
 * publisher goes.
 */

import {
  Connection,
  decodeManifest,
  type MessageOf,
  manifestHash,
  PROTOCOL_VERSION,
} from '@rulecast/protocol';
import { connect, parseEndpoint } from '@rulecast/vchan';

export interface Offered {
  readonly version: number;
  readonly hash: string;
}

export class Observer {
  /** In the order in which they came. */
  readonly offers: Offered[] = [];
  private readonly endpoint: string;
  private readonly trusted: Pick<MessageOf<'hello'>, 'lineage' | 'root'>;
  private connection: Connection | undefined;
  private closed = false;
  private readonly running: Promise<void>;

  constructor(endpoint: string, trusted: Observer['trusted']) {
    this.endpoint = endpoint;
    this.trusted = trusted;
    this.running = this.run();
  }

  private async run(): Promise<void> {
    while (!this.closed) {
      try {
        this.connection = new Connection(await connect(parseEndpoint(this.endpoint)));
        await this.listen(this.connection);
      } catch {
        await new Promise((resolve) => setTimeout(resolve, 20)); // the publisher is down
      }
    }
  }

  private async listen(connection: Connection): Promise<void> {
    const limits = { entries: 2 ** 24, bytes: 2 ** 28, parts: 1024 };
    await connection.send({
      kind: 'hello',
      protocolMin: PROTOCOL_VERSION,
      protocolMax: PROTOCOL_VERSION,
      name: 'observer',
      ...this.trusted,
      refused: [],
      limits,
    });
    for (;;) {
      const message = (await connection.receive())?.message;
      if (message === undefined) return;
      if (message.kind !== 'offer') continue;
      const hash = manifestHash(message.content);
      const { version } = decodeManifest(message.content);
      this.offers.push({ version, hash: Buffer.from(hash).toString('hex') });
      const text = 'it only looks';
      await connection.send({
        kind: 'nack',
        hash,
        code: 'internal',
        text,
        retry: 'later',
        retryAfterMs: 86_400_000,
      });
    }
  }

  async close(): Promise<void> {
    this.closed = true;
    this.connection?.close();
    await this.running;
  }
}
