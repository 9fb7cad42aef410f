/**
 * Names that rules accept, end to end: publisher, subscriber with its applier, `rulecast-dns`, a resolver,
 * and qubes that connect to what they are told at once. Nothing outside the namespaces is asked.
 */

import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';
import { childrenOf, startEnforcer } from '../enforce/enforcer.ts';
import { antispoofTables, type Namespace, Network } from '../enforce/network.mjs';
import { PERMITTED, rulectl, startDns } from '../processes.mjs';
import { enforcementGap } from './namespaces.ts';
import { Scene } from './scene.ts';

const CLIENT = fileURLToPath(new URL('../enforce/names-client.mjs', import.meta.url));
const UPSTREAM = fileURLToPath(new URL('../enforce/names-upstream.mjs', import.meta.url));
const [DNS4, DNS6] = ['10.138.0.1', 'fd09:24ef:4179:ffff::1'];
const POLICIES = {
  a: ['10.137.0.5', 'fd09:24ef:4179:a::5'],
  b: ['10.137.128.6', 'fd09:24ef:4179:b::6'],
};
const LISTENING = `require('net').createServer((s) => s.on('error', () => {}).end()).listen({ port: 443, host: '::', backlog: 4096 }, () => console.log('ready'))`;

/** Releases that take the place of each other, and how often. */
const RELEASES = 30;
const SWAPPED_EVERY_MS = 100;
/** Meanwhile, right after an answer, and as many to what was told before. */
const CONNECTIONS = 20_000;
/** Questions of a qube at a time, and their interval: within the rate of one qube. */
const [AT_A_TIME, EVERY_MS] = [200, 450];
/** Not all that a qube may hold: 200 at once leave no time to make room. */
const NAMES = 800;

let network: Network | undefined;

afterEach(async () => {
  await network?.close();
  network = undefined;
});

/** What a qube does, as test/enforce/names-client.mjs says. */
type Client = (what: object) => Promise<Readonly<Record<string, number>>>;

function clientIn(namespace: Namespace, server = DNS4): Client {
  const child = namespace.spawn([process.execPath, CLIENT]);
  const lines = createInterface({ input: child.stdout });
  return async (what) => {
    child.stdin.write(`${JSON.stringify({ server, domain: 'deb.example', ...what })}\n`);
    const [line] = await once(lines, 'line');
    return JSON.parse(String(line));
  };
}

async function ready(namespace: Namespace, command: readonly string[]): Promise<void> {
  await once(createInterface({ input: namespace.spawn(command).stdout }), 'line');
}

function documentOf(names: readonly string[], more: readonly string[]): object {
  const accepts = ['updates', 'corp'].map((name) => `accept dst=@${name} proto=tcp dstports=443`);
  const egress = [...accepts, ...more];
  const policies = Object.entries(POLICIES).map(([name, prefixes]) => [name, { prefixes, egress }]);
  return {
    lists: {
      updates: { names, resolve: 'firewall' },
      corp: { names: ['.corp.example'], resolve: 'firewall', private: true },
    },
    policies: Object.fromEntries(policies),
    unmatched: 'drop',
  };
}

/** A house whose firewall opens by name, with qubes a and b. */
async function opened() {
  const scene = new Scene();
  network = new Network();
  const { router, links } = network;
  const world = links.world.namespace;
  world.run(
    ['ip', '-batch', '-'],
    'route add local 93.184.0.0/16 dev lo\nroute add local 2606:2800::/32 dev lo\nroute add local 10.55.0.0/16 dev lo\n',
  );
  await ready(world, [process.execPath, '-e', LISTENING]);
  await ready(router, [process.execPath, UPSTREAM, '5300']);
  router.nft(antispoofTables());
  const [names, openings] = [scene.path('names.sock'), scene.path('openings.sock')];
  await scene.publisher();
  const listen = ['--listen', `${DNS4}:5353`, '--listen', `[${DNS6}]:5353`, '--upstream', '127.0.0.1:5300'];
  scene.keep(await startDns(['--releases', names, '--openings', openings, ...listen], router.prefix));
  const enforcer = await startEnforcer(scene, network, [
    '--names',
    'router',
    '--names-folder',
    scene.directory,
  ]);
  const tryPush = (list: readonly string[], more: readonly string[] = []) => {
    writeFileSync(scene.path('rules.json'), JSON.stringify(documentOf(list, more)));
    return rulectl(scene.directory, [
      ...['push', scene.path('rules.json'), '--yes', '--require', 'firewall'],
      ...PERMITTED,
    ]);
  };
  const push = async (list: readonly string[], more: readonly string[] = []): Promise<string> => {
    const { code, stdout, stderr } = await tryPush(list, more);
    expect([code, stdout + stderr]).toEqual([0, expect.stringContaining('applied by firewall')]);
    return stdout + stderr;
  };
  // Until rulecast-dns has found the applier, such a release is not taken.
  let tries = 0;
  const first = async () => (await tryPush([`first${tries++}.example`])).code;
  await expect.poll(first, { timeout: 30_000 }).toBe(0);
  const [a, b] = [clientIn(links.a.namespace), clientIn(links.b.namespace)];
  return { scene, push, a, b, a6: clientIn(links.a.namespace, DNS6), enforcer, router, links };
}

describe.skipIf(enforcementGap() !== undefined)('a name that a rule accepts', () => {
  it('is told once its addresses are open, to the qube that asked and to no other, whatever goes on', async () => {
    const { push, a, b, a6, scene, enforcer, router } = await opened();
    await push(['.deb.example']);
    expect(await a({ count: 400 })).toEqual({ open: 400 });
    expect(await b({ address: '93.184.0.7', count: 4 })).toEqual({ refused: 4 });
    const tested = async (packet: string): Promise<string> =>
      (await rulectl(scene.directory, ['test', packet])).stdout;
    const accepted =
      /: accept\n[\s\S]*rule +action=accept dst=@updates .*\n +list +updates\n +prefix +93\.184\.0\.7\/32\n +resolved +as n7\.deb\.example, \d+ s ago/;
    expect(await tested(`${POLICIES.a[0]} > 93.184.0.7 tcp/443`)).toMatch(accepted);
    for (const other of ['10.137.128.6 > 93.184.0.7 tcp/443', '10.137.0.5 > 93.184.0.7 tcp/80'])
      expect(await tested(other)).toContain(': drop\n');
    expect(await b({ from: 7 })).toEqual({ open: 1 });
    expect(await a({ label: 'www' })).toEqual({ open: 1 }); // what it is an alias of is no matter
    expect(await a6({ type: 'AAAA', count: 50 })).toEqual({ open: 50 });
    // Hints of a service (HTTPS), of both families.
    expect(await a({ type: 'UNKNOWN_65', from: 900, count: 20 })).toEqual({ open: 40 });
    expect(await b({ address: '93.184.3.132' })).toEqual({ refused: 1 });
    // By whichever of its addresses it asks, as its interface says which these are, and else its policy.
    const guard = (text: string): void => router.nft(`${text}\n`);
    const six = `element ip6 qubes allowed { "vif-a" . ${POLICIES.a[1]} }`;
    const third = 'element ip qubes allowed { "vif-a" . 10.137.0.99 }';
    expect(await a({ type: 'AAAA', from: 70, count: 50 })).toEqual({ open: 50 });
    expect(await b({ address: '2606:2800:220:1::46', count: 4 })).toEqual({ refused: 4 });
    expect(await a6({ type: 'A', from: 700 })).toEqual({ open: 1 });
    expect(await b({ address: '93.184.2.188' })).toEqual({ refused: 1 });
    guard(`add ${third}`);
    expect(await a({ type: 'AAAA', from: 130 })).toEqual({ open: 1 });
    guard(`delete ${third}; delete ${six}`);
    const isAlone = async (): Promise<unknown> => a({ type: 'AAAA', from: 140 });
    await expect.poll(isAlone, { timeout: 5000 }).toEqual({ NODATA: 1 }); // it has none, nor a stranger's
    expect(await a({ type: 'UNKNOWN_65', from: 950 })).toEqual({ open: 1 }); // the other hint is left out
    guard(`add ${six}`);
    await expect.poll(isAlone, { timeout: 5000 }).toEqual({ open: 1 });
    expect(await a({ label: 'inner' })).toEqual({ NODATA: 1 }); // left out
    expect(await a({ label: 'inner', domain: 'corp.example' })).toEqual({ open: 1 }); // by a list that says so
    expect(await b({ address: '10.55.0.1' })).toEqual({ refused: 1 });
    expect(await a({ label: 'many' })).toEqual({ open: 64 }); // of 65, no more is told than is open
    // No rule accepts it by its name: it is told, and judged as all are.
    expect(await a({ domain: 'other.example', from: 5000 })).toEqual({ refused: 1 });
    const plain = await scene.subscriber('plain', scene.listen, ['--names', scene.path('none.sock')]);
    const { stdout } = await rulectl(scene.directory, ['status']);
    expect(stdout).toMatch(/^firewall .* synced /m);
    expect(stdout).toMatch(/^plain [\s\S]*opens\s+nothing\s+by\s+name/m);
    await plain.stop();

    // While releases come and go.
    expect(await b({ from: 30_000 })).toEqual({ open: 1 });
    let isOver = false;
    const asking = (async () => {
      const seen: Record<string, number> = {};
      // So few at a time that it stays below what a qube may ask in a second.
      for (let from = 0; !isOver; from += 5) {
        const answers = [await a({ from, count: 5 }), await b({ address: '93.184.117.48', count: 4 })];
        for (const [what, count] of answers.flatMap((each) => Object.entries(each)))
          seen[what] = (seen[what] ?? 0) + count;
      }
      return seen;
    })();
    for (let i = 0; i < 3; i++) await push(['.deb.example'], [`accept dst4=198.51.100.${i}`]);
    for (let i = 0; i < 3; i++) await push(['.deb.example', `n${i}.example`]);
    isOver = true;
    const seen = await asking;
    expect([Object.keys(seen), (seen['open'] ?? 0) > 50]).toEqual([['open'], true]);

    // While nothing opens it, it is not told; what was open stays so.
    expect(await a({ from: 50_000 })).toEqual({ open: 1 });
    const [applier = 0] = childrenOf(enforcer.process.pid);
    process.kill(applier, 'SIGKILL');
    expect(await a({ address: '93.184.195.80' })).toEqual({ open: 1 }); // from before
    const first = await a({ from: 100 });
    expect([{ SERVFAIL: 1 }, { open: 1 }]).toContainEqual(first);
    await expect.poll(() => a({ from: 200 }), { timeout: 10_000 }).toEqual({ open: 1 });
    expect(await a({ address: '93.184.195.80' })).toEqual({ open: 1 }); // from before

    await push(['other.example']);
    expect(await a({ address: '93.184.195.80' })).toEqual({ refused: 1 });
    expect(await a({ from: 1 })).toEqual({ refused: 1 }); // told, and no rule is about it

    // Every answered name, for the qube that asked.
    await push(['.deb.example'], ['accept dst=@resolved proto=tcp dstports=443']);
    expect(await a({ domain: 'any.example', from: 600, count: 50 })).toEqual({ open: 50 });
    expect(await a({ from: 600 })).toEqual({ open: 1 }); // by its list, too
    expect(await b({ address: '93.184.2.88' })).toEqual({ refused: 1 });
    expect(await a({ address: '93.184.3.88' })).toEqual({ refused: 1 }); // of no answer
    expect(await a({ domain: 'lan', label: 'private' })).toEqual({ refused: 1 }); // told, and not opened
    expect(await a6({ type: 'AAAA', domain: 'any.example' })).toEqual({ open: 1 });
    expect(await a({ domain: 'any.example', type: 'AAAA', from: 800 })).toEqual({ open: 1 });
    expect(await b({ address: '2606:2800:220:1::320' })).toEqual({ refused: 1 });
  }, 180_000);

  it.each<[string, (release: number) => Parameters<typeof documentOf>]>([
    ['rules', (release) => [['.deb.example'], [`accept dst4=198.51.100.${release % 250}`]]],
    ['its list', (release) => [['.deb.example', `n${release}.example`], []]],
  ])(
    'is open from the answer on, and long after, while each 100 ms a release changes %s',
    async (_, next) => {
      const { scene, a, b, links } = await opened();
      const [a2, b2] = [clientIn(links.a.namespace), clientIn(links.b.namespace)];
      let releases = 0;
      const swap = async (): Promise<void> => {
        const document = JSON.stringify(documentOf(...next(releases++)));
        const { ending } = await scene.control.pushText('rules.json', document);
        expect(ending).toMatchObject({ kind: 'done' });
      };
      await swap();
      for (const client of [a2, b2])
        await expect.poll(() => client({ count: 400 }), { timeout: 10_000 }).toEqual({ open: 400 });
      let isOver = false;
      /** Connects again and again, until it is over. */
      const connecting = async (client: Client, seen: Record<string, number>, again: boolean) => {
        for (let from = 0; !isOver; from += AT_A_TIME) {
          const due = pause(EVERY_MS);
          const answers = await client({ from: from % (again ? 400 : NAMES), count: AT_A_TIME, again });
          for (const [what, count] of Object.entries(answers)) seen[what] = (seen[what] ?? 0) + count;
          await due;
        }
      };
      const [atOnce, later]: [Record<string, number>, Record<string, number>] = [{}, {}];
      const connected = Promise.all([
        ...[a, b].map((client) => connecting(client, atOnce, false)),
        ...[a2, b2].map((client) => connecting(client, later, true)),
      ]);
      const isEnough = ({ open = 0 }: Record<string, number>): boolean => open >= CONNECTIONS;
      const goesOn = (): boolean => releases < RELEASES || !isEnough(atOnce) || !isEnough(later);
      while (goesOn()) {
        const due = pause(SWAPPED_EVERY_MS);
        await swap();
        await due;
      }
      isOver = true;
      await connected;
      console.log(`${releases} releases, right after an answer:`, atOnce, 'later:', later);
      const { SERVFAIL = 0, ...told } = atOnce; // beside other work some answers are late, and say so
      expect([Object.keys(told), Object.keys(later)]).toEqual([['open'], ['open']]);
      expect(SERVFAIL).toBeLessThan(CONNECTIONS / 10);
    },
    240_000,
  );
});
