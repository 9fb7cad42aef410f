/**
 * A relay without the key spoils what it carries between a real publisher and a real subscriber: it changes a
 * byte of each stream, and puts checksums right. Once it is gone, the release is taken over the same
 * channel that it stood on.
 */

import { createConnection, createServer, type Server, type Socket } from 'node:net';
import { FrameDecoder, FrameEncoder, MessageType } from '@rulecast/protocol';
import { beforeEach, expect, it } from 'vitest';
import { Scene } from './scene.ts';

let scene: Scene;
beforeEach(() => {
  scene = new Scene();
});

/** What comes from the publisher, with other streams. */
class Spoiler {
  private readonly decoder = new FrameDecoder();
  private readonly encoder = new FrameEncoder();
  spoiledCount = 0;

  /** The bytes that the subscriber gets for some of the publisher's. */
  spoil(bytes: Uint8Array): Buffer {
    const out: Uint8Array[] = [];
    this.decoder.feed(Uint8Array.from(bytes));
    for (let frame = this.decoder.next(); frame !== undefined; frame = this.decoder.next()) {
      const body = Buffer.from(frame.body);
      if (frame.type === MessageType.chunk) body[body.length - 1] = (body.at(-1) ?? 0) ^ 1;
      if (frame.type === MessageType.end) this.spoiledCount += 1;
      out.push(this.encoder.frame(frame.type, frame.transaction, body));
    }
    return Buffer.concat(out);
  }
}

/** Carries connections to the publisher's socket, and spoils them while it is told to. */
class Relay {
  isSpoiling = true;
  readonly spoilers: Spoiler[] = [];
  private readonly sockets = new Set<Socket>();
  private readonly server: Server;

  constructor(path: string, upstream: string) {
    this.server = createServer((subscriber) => {
      const publisher = createConnection(upstream);
      const spoiler = new Spoiler();
      this.spoilers.push(spoiler);
      for (const socket of [subscriber, publisher]) {
        this.sockets.add(socket);
        socket.on('error', () => undefined); // the other side went
        socket.on('close', () => {
          subscriber.destroy();
          publisher.destroy();
        });
      }
      subscriber.pipe(publisher);
      if (this.isSpoiling) publisher.on('data', (bytes) => subscriber.write(spoiler.spoil(bytes)));
      else publisher.pipe(subscriber);
    }).listen(path);
  }

  get spoiledCount(): number {
    return this.spoilers.reduce((sum, { spoiledCount }) => sum + spoiledCount, 0);
  }

  drop(): void {
    for (const socket of this.sockets) socket.destroy();
  }

  close(): void {
    this.drop();
    this.server.close();
  }
}

it('a release whose streams were spoiled is refused for now, and taken once the relay is honest', async () => {
  const { control } = scene;
  await scene.publisher();
  await control.push({ list: 'blocked', text: '192.0.2.0/24\n', wait: 'released' });
  await control.pushText('default.rules', 'drop dst=@blocked\naccept\n');
  const relay = new Relay(scene.path('relay.sock'), scene.path('subscribers.sock'));
  scene.onClose(() => relay.close());
  await scene.subscriber('firewall', `unix:${scene.path('relay.sock')}`);
  await expect.poll(() => relay.spoiledCount, { timeout: 30_000 }).toBeGreaterThan(2);
  relay.isSpoiling = false;
  relay.drop();
  const synced = await control.synced('firewall');
  expect(synced.version).toBe(2);
  expect(synced.refusal).toBeUndefined();
});
