/** Which clients are admitted, asked the way ZeroMQ does: RFC 27/ZAP. */

import { afterEach, describe, expect, it } from 'vitest';
import * as zmq from 'zeromq';
import { Admission } from '../src/zeromq/curve.ts';
import { decodeZ85, newCurveKeyPair } from '../src/zeromq/curve-key.ts';

const ZAP_ADDRESS = 'inproc://zeromq.zap.01';
const known = newCurveKeyPair();
const unknown = newCurveKeyPair();

const closing: (() => void)[] = [];
afterEach(() => {
  for (const close of closing.splice(0)) close();
});

function admission(of: Pick<typeof zmq, 'Router'>): {
  readonly context: zmq.Context;
  readonly errors: unknown[];
  readonly handler: Admission;
} {
  const context = new zmq.Context();
  const errors: unknown[] = [];
  const handler = new Admission(of, context, [known.publicKey], (error) => errors.push(error));
  closing.push(() => handler.close());
  return { context, errors, handler };
}

/** What ZeroMQ asks of a client with this key. */
function question(
  publicKey: string,
  changed: Partial<Record<'version' | 'domain' | 'mechanism', string>> = {},
) {
  const { version = '1.0', domain = 'rulecast', mechanism = 'CURVE' } = changed;
  const key = decodeZ85(publicKey) ?? Buffer.alloc(0);
  return ['', version, '1', domain, '127.0.0.1', '', mechanism, key];
}

function asker(context: zmq.Context): zmq.Dealer {
  const socket = new zmq.Dealer({ context, linger: 0, receiveTimeout: 5000 });
  socket.connect(ZAP_ADDRESS);
  closing.push(() => socket.close());
  return socket;
}

async function answerTo(
  socket: zmq.Dealer,
  frames: readonly (string | Buffer)[],
): Promise<readonly string[]> {
  await socket.send([...frames]);
  return (await socket.receive()).slice(0, -1).map(String);
}

/** What comes before the property that names the connection. */
const YES = ['', '1.0', '1', '200', 'OK', 'client'];
const NO = ['', '1.0', '1', '400', 'unknown key', ''];

describe('admission', () => {
  it.each([
    ['a key that is listed', question(known.publicKey), YES],
    ['another key', question(unknown.publicKey), NO],
    ['another version', question(known.publicKey, { version: '2.0' }), NO],
    ['another domain', question(known.publicKey, { domain: 'other' }), NO],
    ['another mechanism', question(known.publicKey, { mechanism: 'PLAIN' }), NO],
    ['no key', question(known.publicKey).slice(0, -1), NO],
    ['more than a key', [...question(known.publicKey), 'x'], NO],
  ])('answers %s', async (_what, frames, answer) => {
    const { context } = admission(zmq);
    expect(await answerTo(asker(context), frames)).toEqual(answer);
  });

  it('goes on after what is no question, and after askers that are gone', async () => {
    const { context, errors } = admission(zmq);
    const [strange, gone, good] = [asker(context), asker(context), asker(context)];
    for (const frames of [[''], ['x'], ['', ''], Array.from({ length: 40 }, () => 'y')])
      await strange.send(frames);
    await gone.send(question(known.publicKey));
    gone.close();
    expect(await answerTo(good, question(known.publicKey))).toEqual(YES);
    expect(errors).toEqual([]);
  });

  it('goes on after an error of the socket, and tells it', async () => {
    const due = new Set(['receive', 'send']);
    class Failing extends zmq.Router {
      override receive(): Promise<Buffer[]> {
        return due.delete('receive') ? Promise.reject(new Error('receive')) : super.receive();
      }
      override send(message: zmq.MessageLike[]): Promise<void> {
        return due.delete('send') ? Promise.reject(new Error('send')) : super.send(message);
      }
    }
    const { context, errors } = admission({ Router: Failing });
    const [unlucky, good] = [asker(context), asker(context)];
    await unlucky.send(question(known.publicKey));
    await expect.poll(() => errors.map(String)).toEqual(['Error: receive', 'Error: send']);
    expect(await answerTo(good, question(known.publicKey))).toEqual(YES);
  });

  it('tells the key of each connection by the name that it gave it, once', async () => {
    const { context, handler } = admission(zmq);
    const socket = asker(context);
    const nameOf = async (): Promise<Buffer> => {
      await socket.send(question(known.publicKey));
      const property = (await socket.receive()).at(-1) ?? Buffer.alloc(0);
      expect(property.toString('latin1', 1, 9)).toBe('Identity');
      return property.subarray(13);
    };
    const names = [await nameOf(), await nameOf()];
    expect(handler.keyOf(Buffer.from('made up'))).toBeUndefined();
    for (const name of names) expect(handler.keyOf(name)).toBe(known.publicKey);
    for (const name of names) expect(handler.keyOf(name)).toBeUndefined();
    const forgotten = await nameOf();
    for (let i = 0; i < 16; i++) await nameOf(); // of connections that never showed up
    expect(handler.keyOf(forgotten)).toBeUndefined();
  });
});
