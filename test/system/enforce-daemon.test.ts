/** The enforcing daemon itself: who its processes are, and what it says of the packets that it judged. */

import { once } from 'node:events';
import { chmodSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Connection, type MessageOf, PROTOCOL_VERSION, parseTrust } from '@rulecast/protocol';
import { listen, parseEndpoint } from '@rulecast/vchan';
import { afterEach, describe, expect, it } from 'vitest';
import { childrenOf, ENFORCER, eventually, startEnforcer } from '../enforce/enforcer.ts';
import { type Journey, passed } from '../enforce/journey.ts';
import { address, Network } from '../enforce/network.mjs';
import { type Daemon, rulectl } from '../processes.mjs';
import { expectMessage } from './gateway.ts';
import { enforcementGap } from './namespaces.ts';
import { Scene } from './scene.ts';

/** Users that every Linux has. */
const RECEIVER = { name: 'nobody', uid: 65_534 };
const APPLIER = { name: 'daemon', uid: 1 };
const LOG_READER = fileURLToPath(new URL('../enforce/log-reader.mjs', import.meta.url));
const NET_ADMIN = 1 << 12;
const NO_CAPABILITY = { effective: 0, permitted: 0, inheritable: 0, ambient: 0 };

let network: Network | undefined;

afterEach(async () => {
  await network?.close();
  network = undefined;
});

describe.skipIf(enforcementGap() !== undefined)('an enforcing daemon', () => {
  it('has no privileges but in its applier, which has one', async () => {
    const { scene } = await prepare();
    const enforcer = await startEnforcer(scene, open(), [
      '--user',
      RECEIVER.name,
      '--applier-user',
      APPLIER.name,
    ]);
    await block(scene, '203.0.113.1');
    expect(await passing(['203.0.113.1', '203.0.113.2'])).toEqual([false, true]);

    const receiver = processOf(enforcer.process.pid);
    expect(receiver.capabilities).toEqual(NO_CAPABILITY);
    expect(receiver.users).toEqual(new Set([RECEIVER.uid]));
    const [supervisor] = childrenOf(enforcer.process.pid);
    const [applier] = childrenOf(supervisor);
    for (const pid of [supervisor, applier]) {
      const { capabilities, bounding, users, noNewPrivileges } = processOf(pid);
      expect({ ...capabilities, bounding }).toEqual({
        effective: NET_ADMIN,
        permitted: NET_ADMIN,
        inheritable: NET_ADMIN,
        ambient: NET_ADMIN,
        bounding: NET_ADMIN,
      });
      expect({ users, noNewPrivileges }).toEqual({ users: new Set([APPLIER.uid]), noNewPrivileges: true });
    }
    if (applier === undefined) throw new Error('no applier');
    process.kill(applier, 'SIGKILL');
    await block(scene, '203.0.113.2');
    expect(await passing(['203.0.113.1', '203.0.113.2'])).toEqual([true, false]);
    expect(childrenOf(supervisor)).not.toEqual([applier]);
    expect(await enforcer.stop()).toBe(0);
    expect(await passing(['203.0.113.1', '203.0.113.2'])).toEqual([true, false]);
  });

  it('says what to do where its state is another user’s, and takes the release from the publisher', async () => {
    const { scene } = await prepare();
    const asRoot = await startEnforcer(scene, open());
    await block(scene, '203.0.113.1');
    expect(await asRoot.stop()).toBe(0);
    const enforcer = await startEnforcer(scene, open(), ['--user', RECEIVER.name]);
    const told = await enforcer.logged(({ msg }) => /^cannot read \S+: its files must/.test(String(msg)));
    expect(told['msg']).toMatch(/: its files must belong to the user that this runs as \(chown -R\)$/);
    await scene.control.synced(ENFORCER);
    expect(await passing(['203.0.113.1', '203.0.113.2'])).toEqual([false, true]);
  });

  it('answers a QUERY for counters with what its rules and lists decided', async () => {
    const { scene, publisher } = await prepare();
    await startEnforcer(scene, open());
    await block(scene, '203.0.113.1');
    expect(await passing(['203.0.113.1', '203.0.113.1', '203.0.113.2'])).toEqual([false, false, true]);
    await publisher.stop();
    const ask = await questioner(scene);
    const counted = async () => (await ask({ question: 'stats' })).stats;
    await eventually(async () => (await counted())?.['nftDropped'] === 2);
    const told = await counted();
    expect(told).toMatchObject({ nftDecided: 3, nftDropped: 2, 'list.blocked': 2, nftRepairs: 0 });
    expect(told).toMatchObject({
      'drop.list.blocked': 2,
      'drop.policy.default': 2,
      'accept.policy.default': 1,
    });
  });

  it('keeps what it refused, judged, and has no right, where it runs with --log', async () => {
    const { scene, publisher } = await prepare();
    const enforcer = await startEnforcer(scene, open(), ['--log', '--user', RECEIVER.name]);
    expect(processOf(enforcer.process.pid).capabilities).toEqual(NO_CAPABILITY);
    await block(scene, '203.0.113.1');
    expect(await passing(['203.0.113.1', '203.0.113.1', '203.0.113.2'])).toEqual([false, false, true]);
    await publisher.stop();
    const ask = await questioner(scene);
    const refused = async () => (await ask({ question: 'refused', refused: { after: 0 } })).refused ?? [];
    await eventually(async () => (await refused())[0]?.verdict !== undefined);
    const told = await refused();
    const [version] = told.map((each) => each.version);
    expect(told).toMatchObject([
      {
        what: 'packet',
        qube: Uint8Array.of(10, 137, 0, 5),
        interface: 'vif-a',
        direction: 'egress',
        remote: Uint8Array.of(203, 0, 113, 1),
        proto: 17,
        port: 443,
        reason: 'rule',
        count: 2,
        judgedBy: version,
        verdict: {
          action: 'drop',
          policy: 'default',
          rule: 'action=drop dst=@blocked',
          list: 'blocked',
          prefix: '203.0.113.1/32',
        },
      },
    ]);
    expect(version).toBeGreaterThan(0);
    const after = told[0]?.id ?? 0;
    expect(await ask({ question: 'refused', refused: { after } })).toMatchObject({
      refused: [],
      refusedLost: 0,
    });
    expect(await passing(['203.0.113.1'])).toEqual([false]);
    await eventually(async () => (await refused())[0]?.count === 3);
    expect((await ask({ question: 'stats' })).stats).toMatchObject({ refusedKept: 1, refusedLost: 0 });
  });

  it('enforces as ever where another program reads the log, and says so to who asks', async () => {
    const { scene, publisher } = await prepare();
    const reader = open().router.spawn([process.execPath, LOG_READER, '5310', '2']);
    await once(reader.stdout ?? reader, 'data');
    const enforcer = await startEnforcer(scene, open(), ['--log']);
    await enforcer.logged(({ msg }) =>
      /^refused packets are not logged: group 5310 of NFLOG/.test(String(msg)),
    );
    await block(scene, '203.0.113.1');
    expect(await passing(['203.0.113.1', '203.0.113.2'])).toEqual([false, true]);
    expect(open().router.run(['nft', 'list', 'ruleset'])).not.toContain('5310');
    await publisher.stop();
    const ask = await questioner(scene);
    expect(await ask({ question: 'refused', refused: { after: 0 } })).toMatchObject({
      ok: false,
      code: 'not-ready',
      text: expect.stringContaining('--log-group names another'),
    });
    expect((await ask({ question: 'stats' })).stats).toMatchObject({ logOff: 1 });
  });

  it('has rulectl status --counters show the packets that a list dropped', async () => {
    const { scene } = await prepare();
    await startEnforcer(scene, open());
    await block(scene, '203.0.113.1');
    expect(await passing(['203.0.113.1', '203.0.113.1', '203.0.113.2'])).toEqual([false, false, true]);
    const { stdout } = await rulectl(scene.directory, ['status', '--counters']);
    expect(stdout).toMatch(
      /^counters of subscriber firewall\n {2}judged +3 packets\n {2}dropped +2 packets\n {2}list blocked +2 packets, 2 dropped\n {2}policy default +3 packets, 2 dropped\n {2}rule default\.1 +2 packets\n {2}rule default\.2 +1 packet\n {2}last nft +\d/m,
    );
  });
});

function open(): Network {
  if (network === undefined) throw new Error('no network');
  return network;
}

/** A publisher whose socket any user can reach, and a network. */
async function prepare(): Promise<{ readonly scene: Scene; readonly publisher: Daemon }> {
  network = await Network.open();
  const scene = new Scene();
  const publisher = await scene.publisher();
  chmodSync(scene.directory, 0o755);
  chmodSync(scene.listen.slice('unix:'.length), 0o777);
  return { scene, publisher };
}

async function block(scene: Scene, blocked: string): Promise<void> {
  const list = { blocked: { entries: [blocked] } };
  const policies = { default: { egress: ['drop dst=@blocked', 'accept'] } };
  await scene.control.pushText('rules.yaml', JSON.stringify({ lists: list, policies }));
  await scene.control.synced(ENFORCER);
}

/** Whether packets of qube a to some addresses pass. */
function passing(addresses: readonly string[]): Promise<readonly boolean[]> {
  const journeys = addresses.map((dst): Journey => {
    const [from, to] = [address('10.137.0.5'), address(dst)];
    const packet = {
      direction: 'egress',
      src: from,
      dst: to,
      proto: 17,
      port: 443,
      icmpType: undefined,
    } as const;
    return { from: 'a', to: 'world', packet };
  });
  return passed(open(), journeys);
}

// ── Processes ──────────────────────────────────────────────────────────────────────────────────────────────

/** What the kernel says of a process: its capabilities as numbers, all its user ids. */
function processOf(pid: number | undefined) {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const field = (name: string): string => new RegExp(`^${name}:\\s*(.*)$`, 'm').exec(status)?.[1] ?? '';
  const capabilities = (name: string): number => Number.parseInt(field(name), 16);
  return {
    capabilities: {
      effective: capabilities('CapEff'),
      permitted: capabilities('CapPrm'),
      inheritable: capabilities('CapInh'),
      ambient: capabilities('CapAmb'),
    },
    bounding: capabilities('CapBnd'),
    users: new Set(field('Uid').split(/\s+/).map(Number)),
    noNewPrivileges: field('NoNewPrivs') === '1',
  };
}

// ── Questions ──────────────────────────────────────────────────────────────────────────────────────────────

/** In place of the publisher: takes the subscriber's connection, and asks as often as it is called. */
async function questioner(
  scene: Scene,
): Promise<(asked: Omit<MessageOf<'query'>, 'kind'>) => Promise<MessageOf<'answer'>>> {
  const trust = parseTrust(await scene.trustLine());
  if (trust === undefined) throw new TypeError('no trust line');
  const listener = await listen(parseEndpoint(scene.listen));
  scene.onClose(() => listener.close());
  chmodSync(scene.listen.slice('unix:'.length), 0o777);
  const connection = new Connection(await listener.accept());
  scene.onClose(() => connection.close());
  await expectMessage(connection, 'hello');
  const { lineage } = trust;
  await connection.send({
    kind: 'welcome',
    protocol: PROTOCOL_VERSION,
    name: 'questioner',
    lineage,
    heartbeatMs: 15_000,
  });
  let questions = 0;
  return async (asked) => {
    await connection.send({ kind: 'query', ...asked }, ++questions);
    return expectMessage(connection, 'answer');
  };
}
