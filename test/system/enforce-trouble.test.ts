/**
 * What the kernel does to packets when something goes wrong: rules stay, damage is repaired, failures are
 * told.
 */

import { readFileSync } from 'node:fs';
import { afterEach, describe, expect, it } from 'vitest';
import { blockText } from '../docs/blocks.ts';
import { childrenOf, ENFORCER, eventually, startEnforcer } from '../enforce/enforcer.ts';
import { frameOf } from '../enforce/frames.mjs';
import { datagramFrom, ipPacketOf, type Journey, passed } from '../enforce/journey.ts';
import { Network } from '../enforce/network.mjs';
import { enforcementGap } from './namespaces.ts';
import { Scene } from './scene.ts';

const SOON_MS = 15_000;
/** A refused release is offered again after half a minute. */
const RETRIED_WITHIN_MS = 90_000;
const SUBSCRIBER_BIN = new URL('../../packages/subscriber/bin/rulecast-subscriber.js', import.meta.url)
  .pathname;
const BOOT_TABLE = new URL('../../packaging/systemd/boot-closed.nft', import.meta.url);
const KILLS = 8;
/** A flush comes too late after this: the next applier owns the table. */
const FLUSHED_WITHIN_MS = 200;
/** Packets a second while it is watched how long they pass. */
const WATCH_RATE = 2000;
const COMPLAINT = 'EPERM, operation not permitted';
/** Tables of Qubes' own, with the hooks that they have: what we must leave alone. */
const QUBES_TABLES = `table ip qubes {
  set downstream { type ipv4_addr; elements = { 10.137.0.5, 10.137.128.6 }; }
  chain antispoof { iifname "vif-a" ip saddr != @downstream counter drop; }
  chain forward { type filter hook forward priority filter; policy accept; ct state invalid counter; jump custom; }
  chain custom { }
}
table ip qubes-firewall {
  chain forward { type filter hook forward priority filter; policy drop; ct state established,related accept; iifname "vif-a" jump qbs-a; iifname "vif-b" accept; iifname "uplink" accept; }
  chain qbs-a { accept; }
}
`;

let network: Network | undefined;

afterEach(async () => {
  await network?.close();
  network = undefined;
});

describe.skipIf(enforcementGap() !== undefined)('an enforcing firewall in trouble', () => {
  it('lets nothing through before the first release, from before forwarding is on', async () => {
    const { scene } = await prepare({ forwarding: false });
    await scene.publisher();
    await startEnforcer(scene, open());
    open().startForwarding();
    expect(await verdicts(EVERY_WAY)).toEqual(EVERY_WAY.map(() => false));
    await scene.control.pushText('default.rules', 'accept\n');
    await scene.control.synced(ENFORCER);
    expect(await verdicts(EVERY_WAY)).toEqual(EVERY_WAY.map(() => true));
  });

  it('lets nothing through from the table that is packaged for the boot until its first release', async () => {
    const { scene } = await prepare({ forwarding: false });
    open().router.nft(readFileSync(BOOT_TABLE, 'utf8'));
    open().startForwarding();
    expect(await verdicts(EVERY_WAY)).toEqual(EVERY_WAY.map(() => false));
    await scene.publisher();
    await startEnforcer(scene, open());
    expect(await verdicts(EVERY_WAY)).toEqual(EVERY_WAY.map(() => false));
    await scene.control.pushText('default.rules', 'accept\n');
    await scene.control.synced(ENFORCER);
    expect(await verdicts(EVERY_WAY)).toEqual(EVERY_WAY.map(() => true));
  });

  it('lets everything through before the first release with --boot open', async () => {
    const { scene } = await prepare();
    await scene.publisher();
    await startEnforcer(scene, open(), ['--boot', 'open']);
    expect(await verdicts(EVERY_WAY)).toEqual(EVERY_WAY.map(() => true));
  });

  it('takes a release that has lists alone for none', async () => {
    const { scene } = await prepare();
    await scene.publisher();
    await startEnforcer(scene, open());
    await scene.control.pushText('some.txt', '203.0.113.1\n');
    await scene.control.synced(ENFORCER);
    expect(await verdicts(EVERY_WAY)).toEqual(EVERY_WAY.map(() => false));
  });

  it('keeps its rules in the kernel when its applier or itself is killed, and goes on afterwards', async () => {
    const { scene } = await prepare();
    await scene.publisher();
    let enforcer = await startEnforcer(scene, open());
    await block(scene, '203.0.113.1');
    const [applier] = childrenOf(enforcer.process.pid);
    if (applier === undefined) throw new Error('no applier');
    process.kill(applier, 'SIGKILL');
    expect(await passing(['203.0.113.1', '203.0.113.2'])).toEqual([false, true]);
    await block(scene, '203.0.113.2');
    expect(await passing(['203.0.113.1', '203.0.113.2'])).toEqual([true, false]);

    await enforcer.kill();
    expect(await passing(['203.0.113.1', '203.0.113.2'])).toEqual([true, false]);
    enforcer = await startEnforcer(scene, open());
    await scene.control.synced(ENFORCER);
    expect(await passing(['203.0.113.1', '203.0.113.2'])).toEqual([true, false]);
    await block(scene, '203.0.113.1');
    expect(await passing(['203.0.113.1', '203.0.113.2'])).toEqual([false, true]);
    expect(await enforcer.stop()).toBe(0);
    expect(await passing(['203.0.113.1', '203.0.113.2'])).toEqual([false, true]);
  });

  it.each([
    ['', true],
    [', with tables that anybody may change', false],
  ])(
    'lets nothing pass soon after its applier is killed and its tables are flushed%s',
    async (_, hasOwners) => {
      const { scene } = await prepare({ hasOwners });
      await scene.publisher();
      const enforcer = await startEnforcer(scene, open());
      await block(scene, '203.0.113.1');
      const appliers = (): readonly number[] => childrenOf(enforcer.process.pid);
      const holes: number[] = [];
      for (let kill = 0; kill < KILLS; kill++) {
        await eventually(async () => appliers().some(isLoaded));
        const hole = await holeAfter('203.0.113.1', () => {
          process.kill(appliers()[0] ?? 0, 'SIGKILL');
          // The kernel skips the table until the last thread of its owner has ended.
          const untilMs = performance.now() + FLUSHED_WITHIN_MS;
          do open().router.nft('flush ruleset\n');
          while (open().router.table() !== '' && performance.now() < untilMs);
        });
        holes.push(hole);
      }
      console.log(`open for ${holes.map(Math.round).join(', ')} ms`);
      expect(Math.max(...holes)).toBeGreaterThan(0); // else no flush came before the next applier
      expect(holes.sort((a, b) => a - b)[KILLS >> 1]).toBeLessThanOrEqual(1000);
      expect(holes.at(-1)).toBeLessThanOrEqual(2000);
    },
  );

  it('has another applier adopt its rules where the one hangs', async () => {
    const { scene } = await prepare();
    await scene.publisher();
    const enforcer = await startEnforcer(scene, open());
    await block(scene, '203.0.113.1');
    const [applier] = childrenOf(enforcer.process.pid);
    if (applier === undefined) throw new Error('no applier');
    process.kill(applier, 'SIGSTOP');
    expect(await passing(['203.0.113.1', '203.0.113.2'])).toEqual([false, true]);
    await block(scene, '203.0.113.2');
    expect(await passing(['203.0.113.1', '203.0.113.2'])).toEqual([true, false]);
    expect(() => process.kill(applier, 0)).toThrow();
    expect(() => open().router.nft(filled('delete table inet TABLE\n'))).toThrow('Operation not permitted');
  });

  it('is not ready before its boot mode is in the kernel', async () => {
    const { scene } = await prepare();
    await scene.publisher();
    const owner = open().router.spawn(['nft', '-i']); // of a table that it needs
    owner.stdin?.write('add table inet rulecast_a { flags owner; }\n');
    await eventually(async () => open().router.run(['nft', 'list', 'tables']).includes('rulecast_a'));
    let seen = '';
    open()
      .router.spawn(['nft', 'monitor'])
      .stdout?.on('data', (bytes: Buffer) => {
        seen += bytes.toString();
      });
    let isReady = false;
    const starting = startEnforcer(scene, open()).finally(() => {
      isReady = true;
    });
    await eventually(async () => seen.split('add table inet rulecast_probe_owner').length > 2); // for the second time
    expect(isReady).toBe(false);
    owner.kill('SIGKILL');
    await starting;
    expect(await verdicts(EVERY_WAY)).toEqual(EVERY_WAY.map(() => false));
  });

  it('lets nothing pass and says that it does not enforce while its table can be neither kept nor loaded', async () => {
    const { scene } = await prepare({ hasOwners: false });
    await scene.publisher();
    await startEnforcer(scene, open());
    await block(scene, '203.0.113.1');
    const owner = open().router.spawn(['nft', '-i']);
    const table = open().router.table();
    const other = table === 'rulecast_a' ? 'rulecast_b' : 'rulecast_a';
    owner.stdin?.write(`add table inet ${other} { flags owner; }\ndelete table inet ${table}\n`);
    owner.stdin?.write(`add table inet ${table} { flags owner; }\n`);
    await eventually(async () => (await passing(['203.0.113.1', '203.0.113.2'])).join() === 'false,false');
    const { subscribers } = await scene.control.until(
      ({ subscribers: [one] }) => one?.lastError !== undefined,
      SOON_MS * 3,
    );
    expect(subscribers[0]).toMatchObject({ matches: false, lastError: { code: 'sink-failed' } });
    expect(subscribers[0]?.lastError?.text).toMatch(/^not enforced since 20/);
    owner.kill('SIGKILL');
    await eventually(async () => (await passing(['203.0.113.1', '203.0.113.2'])).join() === 'false,true');
    await scene.control.synced(ENFORCER, SOON_MS * 3);
  });

  it('takes its tables away with --remove, once the daemon has ended', async () => {
    const { scene } = await prepare();
    await scene.publisher();
    const enforcer = await startEnforcer(scene, open());
    await block(scene, '203.0.113.1');
    const [, ...words] = blockText('docs/explain/enforcement.md#Removing it').trim().split(' ');
    const remove = ['node', SUBSCRIBER_BIN, ...words];
    expect(() => open().router.run(remove)).toThrow('stop rulecast-subscriber first');
    expect(await passing(['203.0.113.1', '203.0.113.2'])).toEqual([false, true]);
    await enforcer.stop();
    open().router.run(remove);
    expect(open().router.run(['nft', 'list', 'tables'])).toBe('');
    open().router.run(remove); // there is nothing to do any more
  });

  it('ends soon although its applier hangs', async () => {
    const { scene } = await prepare();
    await scene.publisher();
    const enforcer = await startEnforcer(scene, open());
    await block(scene, '203.0.113.1');
    const [applier] = childrenOf(enforcer.process.pid);
    if (applier === undefined) throw new Error('no applier');
    process.kill(applier, 'SIGSTOP');
    const startMs = performance.now();
    expect(await enforcer.stop()).toBe(0);
    expect(performance.now() - startMs).toBeLessThan(2000);
    expect(await passing(['203.0.113.1', '203.0.113.2'])).toEqual([false, true]);
  });

  it('refuses a release that the kernel does not take, keeps the last good one in kernel, table and state', async () => {
    const { scene } = await prepare();
    const squatter = new Squatter();
    await scene.publisher();
    let enforcer = await startEnforcer(scene, open());
    await block(scene, '203.0.113.1');
    const { head } = await scene.control.status();
    await squatter.refuse();
    await pushRefused(scene, '203.0.113.2');
    expect(await passing(['203.0.113.1', '203.0.113.2'])).toEqual([false, true]);
    expect(await scene.control.verdict('203.0.113.1', ENFORCER)).toMatchObject({ action: 'drop' });
    expect(await scene.control.verdict('203.0.113.2', ENFORCER)).toMatchObject({ action: 'accept' });
    await enforcer.kill();
    squatter.leave();
    enforcer = await startEnforcer(scene, open());
    expect(enforcer.log.find(({ msg }) => msg === 'ready')).toMatchObject({ version: head.version });
    await scene.control.synced(ENFORCER);
    expect(await passing(['203.0.113.1', '203.0.113.2'])).toEqual([true, false]);
  });

  it('takes a refused release by itself once the kernel takes it', async () => {
    const { scene } = await prepare();
    const squatter = new Squatter();
    await scene.publisher();
    await startEnforcer(scene, open());
    await block(scene, '203.0.113.1');
    await squatter.refuse();
    await pushRefused(scene, '203.0.113.2');
    squatter.leave();
    await scene.control.synced(ENFORCER, RETRIED_WITHIN_MS);
    expect(await passing(['203.0.113.1', '203.0.113.2'])).toEqual([true, false]);
  });

  it.each([
    ['removed', 'delete table inet TABLE'],
    ['flushed', 'flush table inet TABLE'],
    ['all rules of the machine removed', 'flush ruleset'],
  ])('repairs its table when it is %s', async (_, script) => {
    const { scene } = await prepare({ hasOwners: false });
    await scene.publisher();
    await startEnforcer(scene, open());
    await block(scene, '203.0.113.1');
    open().router.nft(`${filled(script)}\n`);
    await eventually(async () => (await passing(['203.0.113.1', '203.0.113.2'])).join() === 'false,true');
    await block(scene, '203.0.113.2');
    expect(await passing(['203.0.113.1', '203.0.113.2'])).toEqual([true, false]);
  });

  it('puts right at its start what was changed while it was away, without a publisher', async () => {
    const { scene } = await prepare();
    const publisher = await scene.publisher();
    let enforcer = await startEnforcer(scene, open());
    await block(scene, '203.0.113.1');
    for (const script of ['flush table inet TABLE', 'delete table inet TABLE', '']) {
      await enforcer.stop();
      if (publisher.process.exitCode === null) await publisher.stop();
      if (script !== '') open().router.nft(`${filled(script)}\n`);
      enforcer = await startEnforcer(scene, open());
      expect(await passing(['203.0.113.1', '203.0.113.2'])).toEqual([false, true]);
    }
  });

  it('leaves the tables of Qubes alone, and stays when they are made anew', async () => {
    const { scene } = await prepare();
    const { router } = open();
    router.nft(QUBES_TABLES);
    const others = (): string =>
      ['qubes', 'qubes-firewall']
        .map((table) => router.run(['nft', '-s', 'list', 'table', 'ip', table]))
        .join('');
    const before = others();
    await scene.publisher();
    const enforcer = await startEnforcer(scene, open());
    await block(scene, '203.0.113.1');
    expect(others()).toBe(before);
    expect(await passing(['203.0.113.1', '203.0.113.2'])).toEqual([false, true]);
    router.nft(`delete table ip qubes\ndelete table ip qubes-firewall\n${QUBES_TABLES}`);
    expect(await passing(['203.0.113.1', '203.0.113.2'])).toEqual([false, true]);
    await block(scene, '203.0.113.2');
    router.nft(
      'add rule ip qubes-firewall qbs-a ip daddr 203.0.113.3 drop\ninsert rule ip qubes-firewall qbs-a ip daddr 203.0.113.3 drop\n',
    );
    expect(await passing(['203.0.113.1', '203.0.113.2', '203.0.113.3'])).toEqual([true, false, false]);
    expect(await enforcer.stop()).toBe(0);
  });
});

function open(): Network {
  if (network === undefined) throw new Error('no network');
  return network;
}

async function prepare({ forwarding = true, hasOwners = true } = {}): Promise<{ readonly scene: Scene }> {
  network = await Network.open({ forwarding });
  if (!hasOwners) await network.router.withoutOwners();
  return { scene: new Scene() };
}

/** A command about the table in force. */
function filled(command: string): string {
  return command.replace('TABLE', open().router.table());
}

/** Makes the kernel refuse releases: somebody else owns the table that the next one would be built in. */
class Squatter {
  private owner: ReturnType<Network['router']['spawn']> | undefined;

  async refuse(): Promise<void> {
    const other = open().router.table() === 'rulecast_a' ? 'rulecast_b' : 'rulecast_a';
    await eventually(async () => !this.has(other)); // the one before is deleted when there is time
    this.owner = open().router.spawn(['nft', '-i']);
    this.owner.stdin?.write(`add table inet ${other} { flags owner; }\n`);
    await eventually(async () => this.has(other));
  }

  leave(): void {
    this.owner?.kill('SIGKILL');
  }

  private has(table: string): boolean {
    return open().router.run(['nft', 'list', 'tables']).includes(table);
  }
}

/** Puts a release in force that drops one address, and perhaps more, and accepts all else. */
async function block(scene: Scene, blocked: string, more: readonly string[] = []): Promise<void> {
  const document = `lists:
  blocked:
    entries: [${[blocked, ...more].join(', ')}]
policies:
  default:
    egress: ["drop dst=@blocked", "accept"]
`;
  const { ending } = await scene.control.pushText('rules.yaml', document);
  expect(ending?.kind).toBe('done');
  await scene.control.synced(ENFORCER, SOON_MS);
}

/** Pushes another blocked address, and waits until the subscriber said why it is not in force. */
async function pushRefused(scene: Scene, blocked: string): Promise<void> {
  await scene.control.push({ list: 'blocked', text: `${blocked}\n`, wait: 'released' });
  const { subscribers } = await scene.control.until((status) =>
    status.subscribers.some(({ lastError }) => lastError !== undefined),
  );
  expect(subscribers[0]?.lastError).toMatchObject({ code: 'sink-failed' });
  expect(subscribers[0]?.lastError?.text).toContain(COMPLAINT);
}

const EVERY_WAY: readonly Journey[] = [
  datagramFrom('a', 'world', '10.137.0.5', '203.0.113.1'),
  datagramFrom('a', 'world', 'fd09:24ef:4179:a::5', '2001:db8:1::1'),
  datagramFrom('a', 'b', '10.137.0.5', '10.137.128.6'),
  datagramFrom('world', 'a', '203.0.113.1', '10.137.0.5'),
  datagramFrom('world', 'b', '2001:db8:1::1', 'fd09:24ef:4179:b::6'),
];

async function verdicts(journeys: readonly Journey[]): Promise<readonly boolean[]> {
  return passed(open(), journeys);
}

/** Whether a process has loaded what an applier works with. */
function isLoaded(pid: number): boolean {
  return readFileSync(`/proc/${pid}/maps`, 'utf8').includes('koffi');
}

/**
 * Does something that may take our table away, and waits until one is in force: how long packets to a
 * forbidden address passed, in ms.
 */
async function holeAfter(dst: string, act: () => void): Promise<number> {
  const journey = datagramFrom('a', 'world', '10.137.0.5', dst);
  const { routerMac, hostMac } = open().links.a;
  const { mark, ip } = ipPacketOf(journey);
  await open().stream('a', [frameOf(routerMac, hostMac, ip)], WATCH_RATE);
  act();
  await eventually(async () => open().router.table() !== '');
  await open().stopStream('a');
  const passed = (await open().arrived('world')).get(mark);
  return passed === undefined ? 0 : passed.lastMs - passed.firstMs;
}

/** Whether packets of qube a to some addresses pass. */
function passing(addresses: readonly string[]): Promise<readonly boolean[]> {
  return verdicts(addresses.map((dst) => datagramFrom('a', 'world', '10.137.0.5', dst)));
}
