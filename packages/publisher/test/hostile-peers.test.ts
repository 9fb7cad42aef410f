/** What others that may connect can do to a firewall's name and to everybody's places, over real sockets. */

import { connect as connectSocket, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { CONTROL_CONNECTIONS_MAX, FRAME_MAGIC, SUBSCRIBERS_MAX, WAITING_MAX } from '@rulecast/protocol';
import { type Binding, Bindings, type ServedSubscribers } from '@rulecast/sessions';
import {
  type CurveServerKeys,
  connect,
  type Endpoint,
  openCurveKeyPair,
  parseEndpoint,
} from '@rulecast/vchan';
import { pino } from 'pino';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { temporaryDirectory } from '../../../test/kit/directory.ts';
import { FakeClock } from '../../sources/test/fake-clock.ts';
import { serveControl } from '../src/requests/serve.ts';
import { serveSubscribers } from '../src/sessions/host.ts';
import { freshPublisher, release } from './fresh-publisher.ts';
import { ScriptedRulectl } from './scripted-rulectl.ts';
import { ScriptedSubscriber } from './scripted-subscriber.ts';

/** More than may wait to say who they are. */
const CROWD = 2 * WAITING_MAX;
const HOSTS = { 'hosts.txt': '192.0.2.1\n' };

/** A publisher on real sockets with a clock of the test's own, and what it logs. */
async function house(
  bindings: readonly Binding[] = [],
  more: readonly Endpoint[] = [],
  curve?: CurveServerKeys,
) {
  const logged: Record<string, unknown>[] = [];
  const logger = pino({ level: 'info' }, { write: (line: string) => void logged.push(JSON.parse(line)) });
  const clock = new FakeClock();
  const publisher = freshPublisher({ clock, logger });
  const directory = temporaryDirectory();
  const endpoint = parseEndpoint(`unix:${join(directory, 's.sock')}`);
  const control = parseEndpoint(`unix:${join(directory, 'c.sock')}`);
  const served: ServedSubscribers = await serveSubscribers(publisher, [endpoint, ...more], {
    curve,
    bindings: new Bindings(bindings),
    relays: {
      head: undefined,
      object: async () => undefined,
      onHead: () => () => undefined,
      takeReports: async () => [],
    },
  });
  const controlled = await serveControl(publisher, [control], served.ask);
  onTestFinished(async () => {
    await controlled.close();
    await served.close();
  });
  return { publisher, clock, logged, endpoint, control, directory };
}

/** Connections that say nothing. */
async function silent(endpoint: ReturnType<typeof parseEndpoint>, count: number): Promise<readonly Socket[]> {
  const path = 'path' in endpoint ? endpoint.path : '';
  const sockets: Socket[] = [];
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
  });
  for (let i = 0; i < count; i++) {
    const socket = connectSocket(path);
    socket.on('error', () => undefined);
    sockets.push(socket);
    await new Promise((resolve) => socket.once('connect', resolve));
  }
  return sockets;
}

// P-6
describe('a name that nobody is bound to', () => {
  it('stays with who answers a PING, and whoever claims it is told when to come back', async () => {
    const { publisher, endpoint, logged } = await house();
    await release(publisher, HOSTS);
    const real = await ScriptedSubscriber.greet(endpoint, 'fw1');
    await real.take();
    for (let attempt = 0; attempt < 3; attempt++) {
      const thief = await ScriptedSubscriber.connect(endpoint);
      await thief.hello('fw1');
      await real.next('ping');
      await real.pong();
      expect(await thief.next('bye')).toMatchObject({ code: 'name-in-use', retryAfterMs: 30_000 });
    }
    expect(publisher.subscribers.find('fw1')).toMatchObject({ hasApplied: true, lastError: undefined });
    expect(publisher.subscribers.connected()).toEqual(['fw1']);
    await release(publisher, { 'hosts.txt': '192.0.2.2\n' });
    await real.take();
    expect(
      logged.filter(({ code, subscriber }) => code === 'name-in-use' && subscriber === 'fw1'),
    ).toHaveLength(3);
  });

  it('passes to who claims it when the one before answers no PING for two seconds', async () => {
    const { publisher, endpoint, clock, logged } = await house();
    const dead = await ScriptedSubscriber.greet(endpoint, 'fw1');
    const rebooted = await ScriptedSubscriber.connect(endpoint);
    await rebooted.hello('fw1');
    await dead.next('ping');
    clock.advance(1999);
    expect(publisher.subscribers.connected()).toEqual(['fw1']);
    clock.advance(1);
    await rebooted.next('welcome');
    expect(await dead.next('bye')).toMatchObject({ code: 'name-in-use', retryAfterMs: 30_000 });
    await release(publisher, HOSTS);
    await rebooted.take();
    expect(publisher.subscribers.connected()).toEqual(['fw1']);
    expect(logged.some(({ code, msg }) => code === 'name-in-use' && /no PONG/.test(String(msg)))).toBe(true);
  });

  it('goes to one of several that claim it at once, and is asked about by one PING', async () => {
    const { publisher, endpoint, clock } = await house();
    const dead = await ScriptedSubscriber.greet(endpoint, 'fw1');
    const claimants = [];
    for (let i = 0; i < 3; i++) {
      const claimant = await ScriptedSubscriber.connect(endpoint);
      await claimant.hello('fw1');
      claimants.push(claimant);
    }
    await dead.next('ping');
    clock.advance(2000);
    const [winner, ...others] = claimants;
    await winner?.next('welcome');
    void winner?.answerPings(); // of those whose HELLO is read only now
    expect(await dead.byeCode()).toBe('name-in-use'); // and no second PING before it
    for (const other of others) expect(await other.byeCode()).toBe('name-in-use');
    expect(publisher.subscribers.connected()).toEqual(['fw1']);
  });

  it('is not given to who went while it waited', async () => {
    const { publisher, endpoint, clock } = await house();
    const first = await ScriptedSubscriber.greet(endpoint, 'fw1');
    const gone = await ScriptedSubscriber.connect(endpoint);
    await gone.hello('fw1');
    await first.next('ping');
    gone.channel.close();
    first.channel.close();
    await expect.poll(() => publisher.subscribers.connected()).toEqual([]);
    clock.advance(2000);
    await ScriptedSubscriber.greet(endpoint, 'fw1');
  });
});

// P-7
describe('connections that say nothing', () => {
  it(`keep no subscriber out, ${CROWD} of them again and again`, async () => {
    const { publisher, endpoint } = await house();
    for (let round = 0; round < 2; round++) {
      await silent(endpoint, CROWD);
      await ScriptedSubscriber.greet(endpoint, `fw-${round}`);
    }
    expect(publisher.subscribers.connected()).toEqual(['fw-0', 'fw-1']);
  });

  it(`keep no rulectl out, ${CONTROL_CONNECTIONS_MAX} of them or many more`, async () => {
    const { control } = await house();
    await silent(control, CONTROL_CONNECTIONS_MAX * 10);
    const rulectl = await ScriptedRulectl.connect(control);
    await rulectl.send({ kind: 'status', watch: false });
    expect((await rulectl.answer()).end).toMatchObject({ kind: 'done' });
  });

  it('are sent away with a time to come back, the oldest first, and sooner when there are many', async () => {
    const { endpoint, clock } = await house();
    const oldest = await ScriptedSubscriber.connect(endpoint);
    const quiet = await ScriptedSubscriber.connect(endpoint);
    await silent(endpoint, WAITING_MAX - 2);
    const last = await ScriptedSubscriber.connect(endpoint);
    expect(await oldest.next('bye')).toMatchObject({ code: 'too-many-connections', retryAfterMs: 1000 });
    clock.advance(2999);
    expect(quiet.channel.state).toBe('connected');
    clock.advance(1);
    expect(await quiet.next('bye')).toMatchObject({ code: 'too-many-connections', retryAfterMs: 1000 });
    void last;
  });

  it('are no more where they claim a name as relays', async () => {
    const { endpoint } = await house();
    await ScriptedSubscriber.greet(endpoint, 'fw1'); // it answers no PING, and the clock stands still
    const relays: ScriptedSubscriber[] = [];
    for (let i = 0; i <= WAITING_MAX; i++) {
      const relay = await ScriptedSubscriber.connect(endpoint);
      await relay.send({ kind: 'relay', protocolMin: 2, protocolMax: 2, name: 'fw1' });
      relays.push(relay);
    }
    expect(await relays[0]?.next('bye')).toMatchObject({ code: 'too-many-connections' });
  });
});

/** Asked after all is over: by how much something grew in a turn of the event loop at most. */
function mostInATurn(count: () => number): () => number {
  let [before, most] = [count(), 0];
  const turn = (): void => {
    most = Math.max(most, count() - before);
    before = count();
    next = setImmediate(turn);
  };
  let next = setImmediate(turn);
  return () => {
    clearImmediate(next);
    return most;
  };
}

/** Turns of the pace; two may fall into one that is measured. */
const TURN_MOST = 64;

describe('a fleet that comes back at once', () => {
  it('is let in at the first try, some of it in each turn', async () => {
    const { publisher, endpoint, logged } = await house();
    const most = mostInATurn(() => logged.filter(({ msg }) => msg === 'subscriber connected').length);
    const names = Array.from({ length: 120 }, (_, i) => `fw-${i}`);
    await Promise.all(names.map((name) => ScriptedSubscriber.greet(endpoint, name)));
    expect(publisher.subscribers.connected()).toHaveLength(names.length);
    expect(most()).toBeLessThanOrEqual(TURN_MOST);
  });
});

describe('what is said at once', () => {
  it('is heard in turns, by many or by one', async () => {
    const { publisher, endpoint } = await house();
    const names = Array.from({ length: 120 }, (_, i) => `fw-${i}`);
    const fleet = await Promise.all(names.map((name) => ScriptedSubscriber.greet(endpoint, name)));
    const heard = vi.spyOn(publisher, 'nowMs'); // which each event of a session asks for
    const most = mostInATurn(() => heard.mock.calls.length);
    await Promise.all(fleet.map((one) => one.send({ kind: 'ping' })));
    for (const one of fleet) await one.next('pong');
    expect(heard.mock.calls.length).toBeGreaterThanOrEqual(names.length);
    const [loud] = fleet;
    await Promise.all(names.map(() => loud?.send({ kind: 'ping' })));
    for (const _ of names) await loud?.next('pong');
    expect(heard.mock.calls.length).toBeGreaterThanOrEqual(2 * names.length);
    for (const one of fleet) one.channel.close();
    await expect.poll(() => publisher.subscribers.connected()).toHaveLength(0);
    expect(most()).toBeLessThanOrEqual(TURN_MOST);
  });
});

describe('a frame that does not end', () => {
  it('ends its connection, however its bytes drip', async () => {
    const { endpoint, clock } = await house();
    const peer = await ScriptedSubscriber.greet(endpoint, 'fw1');
    clock.advance(1000);
    const header = new Uint8Array(24);
    new DataView(header.buffer).setUint32(0, FRAME_MAGIC, true);
    for (let at = 0; at < 14; at++) {
      peer.channel.write(header.subarray(at, at + 1));
      await expect.poll(() => clock.pendingMs, { timeout: 5000 }).toContain(15_000 - at * 1000); // of the frame
      clock.advance(at < 13 ? 1000 : 0);
    }
    expect(peer.channel.state).toBe('connected');
    clock.advance(2000);
    let heard = await peer.connection.receive();
    while (heard?.message.kind === 'ping') heard = await peer.connection.receive();
    expect(heard?.message).toMatchObject({ kind: 'bye', code: 'timeout' });
  });
});

// P-5
describe('a name that is bound', () => {
  /** Says HELLO and hears that it is not to. */
  async function isRefused(subscriber: ScriptedSubscriber, name: string): Promise<void> {
    await subscriber.hello(name);
    expect(await subscriber.next('bye')).toMatchObject({ code: 'name-bound', retryAfterMs: 30_000 });
  }

  it('to a socket is refused to all others, who disturb nobody, and is all that its socket may say', async () => {
    const directory = temporaryDirectory();
    const own = (name: string) => ({ path: join(directory, `${name}.sock`), mode: 0o600 });
    const bindings = ['fw1', 'fw2'].map((name) => ({ name, socket: own(name) }));
    const { publisher, endpoint, logged } = await house(bindings);
    const socket = (name: string) => ({ kind: 'unix', ...own(name) }) as const;
    await release(publisher, HOSTS);
    const real = await ScriptedSubscriber.greet(socket('fw1'), 'fw1');
    await real.take();
    await isRefused(await ScriptedSubscriber.connect(endpoint), 'fw1');
    await isRefused(await ScriptedSubscriber.connect(socket('fw2')), 'fw1');
    await isRefused(await ScriptedSubscriber.connect(socket('fw2')), 'anybody');
    expect(await real.isQuiet()).toBe(true); // not even a PING
    expect(publisher.subscribers.connected()).toEqual(['fw1']);
    expect(logged.filter(({ code }) => code === 'name-bound').map(({ subscriber }) => subscriber)).toEqual([
      'fw1',
      'fw1',
      'anybody',
    ]);
    await ScriptedSubscriber.greet(socket('fw2'), 'fw2');
    await ScriptedSubscriber.greet(endpoint, 'anybody');
  });

  // P-6
  it('passes to a new connection of its own at once, without a PING', async () => {
    const path = join(temporaryDirectory(), 'fw1.sock');
    const { publisher } = await house([{ name: 'fw1', socket: { path, mode: 0o600 } }]);
    const before = await ScriptedSubscriber.greet({ kind: 'unix', path }, 'fw1');
    await ScriptedSubscriber.greet({ kind: 'unix', path }, 'fw1');
    expect(await before.byeCode()).toBe('name-in-use');
    expect(publisher.subscribers.connected()).toEqual(['fw1']);
  });

  it('to a key is that of the connection that proves to have it', async () => {
    const [server, fw1, fw2] = [newKeys(), newKeys(), newKeys()];
    const curve = { secretKey: server.secretKey, clientKeys: [fw1.publicKey, fw2.publicKey] };
    const ipc = parseEndpoint(`zmq+ipc:${join(temporaryDirectory(), 'z.sock')}`);
    const { publisher } = await house([{ name: 'fw1', curveKey: fw1.publicKey }], [ipc], curve);
    const by = async (keys: typeof fw1): Promise<ScriptedSubscriber> => {
      const channel = await connect(ipc, { curve: { ...keys, serverKey: server.publicKey } });
      return new ScriptedSubscriber(channel);
    };
    await isRefused(await by(fw2), 'fw1');
    await isRefused(await by(fw1), 'fw2');
    const real = await by(fw1);
    await real.hello('fw1');
    await real.next('welcome');
    const other = await by(fw2);
    await other.hello('fw2');
    await other.next('welcome');
    expect(publisher.subscribers.connected()).toEqual(['fw1', 'fw2']);
  });

  it('to a qube is that of the call that qrexec says is of it', async () => {
    const directory = temporaryDirectory();
    const path = join(directory, 'qrexec.sock');
    const bound = [
      { name: 'fw1', qube: 'sys-fw1' },
      { name: 'sys-fw2', qube: 'sys-fw3' },
    ];
    const { publisher } = await house(bound, [{ kind: 'qrexec', path }]);
    let calls = 0;
    const by = async (qube: string, called = 'rulecast.Subscribe'): Promise<ScriptedSubscriber> => {
      const front = join(directory, `${calls++}.sock`); // what qrexec-client-vm is to the qube
      const agent = createServer((program) => {
        const service = connectSocket(path);
        service.write(`${called} ${qube}\0`);
        program.pipe(service).pipe(program);
        for (const socket of [program, service]) socket.on('error', () => undefined);
      });
      onTestFinished(() => void agent.close());
      await new Promise<void>((resolve) => agent.listen(front, resolve));
      return ScriptedSubscriber.connect({ kind: 'unix', path: front });
    };
    await isRefused(await by('work'), 'fw1');
    await isRefused(await by('sys-fw1'), 'other');
    await isRefused(await by('sys-fw1', 'rulecast.Status'), 'fw1');
    await isRefused(await by('sys-fw1', 'rulecast.Subscribe+fw2'), 'fw1');
    // Bound to nothing, a qube has its own name, and no other; and not where that is another's.
    await isRefused(await by('work'), 'home');
    await isRefused(await by('sys-fw2'), 'sys-fw2');
    await isRefused(await by('sys-fw2'), 'other');
    for (const [qube, name] of [
      ['sys-fw1', 'fw1'],
      ['work', 'work'],
    ] as const) {
      const real = await by(qube, `rulecast.Subscribe+${name}`);
      await real.hello(name);
      await real.next('welcome');
    }
    expect(publisher.subscribers.connected()).toEqual(['fw1', 'work']);
  });

  // P-7
  it(`has its place beside ${SUBSCRIBERS_MAX} others and ${CROWD} that are silent, as has rulectl`, async () => {
    const path = join(temporaryDirectory(), 'fw1.sock');
    const { publisher, endpoint, control } = await house([{ name: 'fw1', socket: { path, mode: 0o600 } }]);
    for (let i = 0; i < SUBSCRIBERS_MAX; i++) await ScriptedSubscriber.greet(endpoint, `crowd-${i}`);
    await silent(endpoint, CROWD);
    await silent({ kind: 'unix', path }, CROWD);
    await silent(control, CROWD);
    await ScriptedSubscriber.greet({ kind: 'unix', path }, 'fw1');
    expect(publisher.subscribers.connected()).toContain('fw1');
    const rulectl = await ScriptedRulectl.connect(control);
    await rulectl.send({ kind: 'status', watch: false });
    const { records, end } = await rulectl.answer();
    expect(end).toMatchObject({ kind: 'done' });
    const bound = records.flatMap((record) => (record.record === 'subscriber' ? (record.bound ?? []) : []));
    expect(bound).toEqual([`socket ${path}`]);
  });
});

function newKeys(): { readonly publicKey: string; readonly secretKey: string } {
  return openCurveKeyPair(join(temporaryDirectory(), 'key'));
}
