/**
 * A Unix socket between subscribers and a publisher, that a test can cut, slow down, listen in on, or answer
 * itself.
 *
 *   subscriber ══▶ gateway ══▶ publisher            each connection is carried as `carry` says at its start
 */

import { createConnection, createServer, type Server, type Socket } from 'node:net';
import { Connection, type MessageOf, PROTOCOL_VERSION, parseTrust } from '@rulecast/protocol';
import { type Channel, type Listener, listen, parseEndpoint } from '@rulecast/vchan';

/** How the bytes for the subscriber are carried. */
export type Carry =
  | { readonly kind: 'whole' }
  /** Passes so many bytes, then ends both connections. */
  | { readonly kind: 'cut'; readonly afterBytes: number }
  /** Passes so many bytes at a time, with a pause between. */
  | { readonly kind: 'trickle'; readonly bytes: number; readonly pauseMs: number };

export class Gateway {
  /** How to carry the next connections. */
  carry: Carry = { kind: 'whole' };
  /** What went to the subscriber, of each connection. */
  readonly recorded: Buffer[][] = [];
  /** Resolves when the first connection has ended. */
  readonly ended: Promise<void>;
  private noteEnded: () => void = () => undefined;
  private readonly server: Server;
  private readonly sockets = new Set<Socket>();
  /** Path of the publisher's socket that the next connections lead to. */
  upstream: string;

  private constructor(server: Server, upstream: string) {
    this.server = server;
    this.upstream = upstream;
    this.ended = new Promise((resolve) => {
      this.noteEnded = resolve;
    });
    server.on('connection', (socket) => this.take(socket));
  }

  /** @param path Of the new socket. @param upstream Of the publisher's. */
  static async open(path: string, upstream: string): Promise<Gateway> {
    const server = createServer();
    const gateway = new Gateway(server, upstream);
    await new Promise<void>((resolve) => server.listen(path, resolve));
    return gateway;
  }

  private take(subscriber: Socket): void {
    const { carry } = this;
    const publisher = createConnection(this.upstream);
    const record: Buffer[] = [];
    this.recorded.push(record);
    const end = (): void => {
      // What was written before still goes out; nothing more is read.
      for (const socket of [subscriber, publisher]) socket.end(() => socket.destroy());
    };
    for (const socket of [subscriber, publisher]) {
      this.sockets.add(socket);
      socket.on('close', () => this.sockets.delete(socket));
      socket.on('error', () => undefined); // the other side went; `end` follows
      socket.on('close', end);
    }
    subscriber.on('close', () => this.noteEnded());
    subscriber.on('data', (bytes) => publisher.write(bytes));
    publisher.on('data', (bytes) => record.push(bytes));
    if (carry.kind === 'whole') publisher.pipe(subscriber);
    else if (carry.kind === 'trickle') {
      trickle(publisher, subscriber, carry).catch(end); // it was dropped on the way
    } else if (carry.afterBytes === 0) end();
    else {
      let left = carry.afterBytes;
      publisher.on('data', (bytes) => {
        if (left > 0) subscriber.write(bytes.subarray(0, left));
        left -= bytes.length;
        if (left <= 0) end();
      });
    }
  }

  /** Ends all connections. */
  drop(): void {
    for (const socket of this.sockets) socket.destroy();
  }

  async close(): Promise<void> {
    this.drop();
    await new Promise<void>((resolve) => this.server.close(() => resolve()));
  }
}

async function trickle(
  from: Socket,
  to: Socket,
  { bytes, pauseMs }: Extract<Carry, { kind: 'trickle' }>,
): Promise<void> {
  for await (const chunk of from as AsyncIterable<Buffer>) {
    for (let at = 0; at < chunk.length; at += bytes) {
      to.write(chunk.subarray(at, at + bytes));
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
  }
}

/**
 * A publisher that asks and offers nothing: what a subscriber holds and enforces, before the real one can
 * change it.
 */
export class Interviewer {
  private readonly listener: Listener;
  private readonly lineage: Uint8Array;

  private constructor(listener: Listener, lineage: Uint8Array) {
    this.listener = listener;
    this.lineage = lineage;
  }

  static async open(endpoint: string, trustLine: string): Promise<Interviewer> {
    const trust = parseTrust(trustLine);
    if (trust === undefined) throw new TypeError('no trust line');
    return new Interviewer(await listen(parseEndpoint(endpoint)), trust.lineage);
  }

  /** Takes the next connection, asks about egress tcp/443 to some addresses (dotted), and ends it. */
  async ask(addresses: readonly string[]): Promise<Interview> {
    const channel = await this.listener.accept();
    try {
      return await this.interview(channel, addresses);
    } finally {
      channel.close();
    }
  }

  private async interview(channel: Channel, addresses: readonly string[]): Promise<Interview> {
    const connection = new Connection(channel);
    const hello = await expectMessage(connection, 'hello');
    await connection.send({
      kind: 'welcome',
      protocol: PROTOCOL_VERSION,
      name: 'interviewer',
      lineage: this.lineage,
      heartbeatMs: 15_000,
    });
    const actions: string[] = [];
    let hash: string | undefined;
    for (const address of addresses) {
      const dst = Uint8Array.from(address.split('.'), Number);
      const src = Uint8Array.of(10, 137, 0, 5);
      const packet = { direction: 'egress', src, dst, proto: 6, port: 443 } as const;
      await connection.send({ kind: 'query', question: 'test', packet }, actions.length + 1);
      const answer = await expectMessage(connection, 'answer');
      actions.push(answer.verdict?.action ?? answer.code ?? '');
      hash = answer.hash && Buffer.from(answer.hash).toString('hex');
    }
    const holds = hello.holds && {
      hash: Buffer.from(hello.holds.hash).toString('hex'),
      version: hello.holds.version,
    };
    return { holds, hash, actions };
  }

  close(): Promise<void> {
    return this.listener.close();
  }
}

export interface Interview {
  /** What HELLO claims. */
  readonly holds: { readonly hash: string; readonly version: number } | undefined;
  /** The release that answered last. */
  readonly hash: string | undefined;
  /** What happens to the packets, one an address. */
  readonly actions: readonly string[];
}

export async function expectMessage<K extends 'hello' | 'answer' | 'welcome' | 'bye'>(
  connection: Connection,
  kind: K,
): Promise<MessageOf<K>> {
  const received = await connection.receive();
  if (received?.message.kind !== kind) {
    throw new Error(`${kind} expected, came ${received?.message.kind ?? 'the end'}`);
  }
  return received.message as MessageOf<K>; // its kind was compared
}
