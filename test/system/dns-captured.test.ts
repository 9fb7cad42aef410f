/**
 * DNS that is captured, beside the tables of Qubes: qubes ask the resolvers that Qubes gives them, and
 * `rulecast-dns` answers, or nobody. Nothing outside the namespaces is asked.
 */

import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { QUESTIONS_PER_S, SENDERS_PER_S } from '../../packages/nftables/src/limits.ts';
import { childrenOf } from '../enforce/enforcer.ts';
import { type Namespace, Network } from '../enforce/network.mjs';
import { dnsmasqCommand, unboundCommand } from '../kit/forwarders.mjs';
import { ASKED, dig, EVERY, House, OTHERS, PREFIXES, RESOLVERS, ready } from './house.ts';
import { enforcementGap } from './namespaces.ts';
import type { Scene } from './scene.ts';

const FLOOD = fileURLToPath(new URL('../enforce/dns-flood.py', import.meta.url));
/** Questions of a qube that asks too much, and of the other one meanwhile. */
const SENT = 20_000;
const OF_OTHER = 100;
const TOLD6 = '2606:2800:220:1::1';
const SERVING = `require('net').createServer((s) => s.on('error', () => {}).end()).listen({ port: 443, host: '::' }, () => console.log('ready'))`;
const HELLO = `require('http').createServer((_, answer) => answer.end('hello')).listen(443, '::', () => console.log('ready'))`;
/** A resolver that knows names by their first label. */
const UPSTREAM = fileURLToPath(new URL('../enforce/names-upstream.mjs', import.meta.url));

/** What forwards from port 5301 of an address to a resolver that knows some names. */
function forwarder(program: 'unbound' | 'dnsmasq', address: string, scene: Scene): readonly string[] {
  const where = { address, port: 5301, upstreamPort: 5302 };
  if (program === 'dnsmasq') return dnsmasqCommand(where, ['--conf-file=/dev/null']);
  return unboundCommand(where, scene.path('unbound.conf'));
}

/** What a program of a qube says whose resolver is `server`, or how it ends. */
async function asResolved(
  { scene }: House,
  from: Namespace,
  server: string,
  command: readonly string[],
): Promise<string> {
  const path = scene.path('resolv.conf');
  writeFileSync(path, `nameserver ${server}\noptions timeout:2 attempts:1\n`);
  const script = 'mount --bind "$0" /etc/resolv.conf; exec "$@"';
  const [program = '', ...args] = [
    ...from.prefix,
    'unshare',
    '--mount',
    'sh',
    '-ec',
    script,
    path,
    ...command,
  ];
  return promisify(execFile)(program, args).then(
    ({ stdout }) => stdout.trim(),
    ({ code }) => `ended with ${code}`,
  );
}

const sum = (counts: Readonly<Record<string, number>>, rcode: string): number =>
  Object.entries(counts).reduce((all, [key, count]) => all + (key.startsWith(`${rcode} `) ? count : 0), 0);

describe.skipIf(enforcementGap() !== undefined)('DNS of qubes', () => {
  it.each(['4.2', '4.3'] as const)(
    'is answered by rulecast-dns alone, beside the tables of Qubes %s',
    async (version) => {
      const opened = await House.open(version);
      const { router } = opened.network;
      const theirs = (): string => router.run(['nft', '-s', 'list', 'ruleset', 'ip']);
      const before = theirs();
      // A release without names takes nothing: the resolver is asked.
      await opened.push([], {});
      expect(await dig(opened.a, ASKED[4][0], 'x.ads.example')).toBe('NOERROR');
      expect(router.run(['nft', 'list', 'tables'])).not.toContain('rulecast_dns');

      await opened.push(['drop dst=@ads']);
      for (const server of EVERY) {
        expect([server, await dig(opened.a, server, 'x.ads.example')]).toEqual([server, 'NXDOMAIN']);
        expect([server, await dig(opened.b, server, 'x.ads.example')]).toEqual([server, 'NOERROR']); // as another qube
        expect([server, await dig(opened.a, server, 'good.example', '+tcp')]).toEqual([server, 'NOERROR']);
      }
      expect(theirs()).toBe(before);
      // What is not a question of a qube is left alone.
      const other = `require('net').connect(5300, process.argv[1]).on('data', (text) => process.stdout.write(text)).write('?')`;
      for (const server of [...RESOLVERS[4], ...RESOLVERS[6]]) {
        expect(opened.a.run([process.execPath, '-e', other, server])).toBe('other\n');
        expect(await dig(router, server, 'x.ads.example')).toBe('NOERROR');
      }
      // Rules of packets hold for DNS as before: Qubes', and ours.
      router.nft(
        `insert rule ip qubes custom-forward ip saddr 10.137.0.5 ip daddr ${RESOLVERS[4][0]} udp dport 53 drop\n`,
      );
      expect(await dig(opened.a, ASKED[4][0], 'good.example')).toBe('timed out');
      router.nft('flush chain ip qubes custom-forward\n');
      expect(await dig(opened.a, ASKED[4][0], 'good.example')).toBe('NOERROR');
      await opened.push(['drop specialtarget=dns', 'drop dst=@ads']);
      expect(await dig(opened.a, ASKED[4][0], 'good.example')).not.toBe('NOERROR');
      expect(await dig(opened.b, ASKED[4][0], 'good.example')).toBe('NOERROR');
      await opened.push([], {});
      expect(await dig(opened.a, ASKED[4][0], 'x.ads.example')).toBe('NOERROR');
    },
    120_000,
  );

  it.each(['4.2', '4.3'] as const)(
    'opens what a qube is told, of either family, to it alone, beside the tables of Qubes %s',
    async (version) => {
      const opened = await House.open(version);
      const { router, links } = opened.network;
      const world = links.world.namespace;
      const local = ['93.184.0.0/16', '2606:2800::/32'].map((each) => `route add local ${each} dev lo\n`);
      world.run(['ip', '-batch', '-'], local.join(''));
      await ready(world, [process.execPath, '-e', SERVING]);
      const lists = { updates: { names: ['.deb.example'], resolve: 'firewall' } };
      const rules = ['accept dst=@updates proto=tcp dstports=443', 'drop proto=tcp dstports=443'];
      await opened.push(rules, lists, rules);
      const [a, b] = [opened.a, opened.b].map((from) => (what: object) => opened.connects(from, what));
      for (const type of ['A', 'AAAA']) expect([type, await a?.({ type })]).toEqual([type, { open: 1 }]);
      expect(await a?.({ type: 'AAAA', server: ASKED[6][0] })).toEqual({ open: 1 });
      expect(await a?.({ type: 'A', server: ASKED[6][0] })).toEqual({ open: 1 });
      expect([await a?.({ address: TOLD6 }), await b?.({ address: TOLD6 })]).toEqual([
        { open: 1 },
        { refused: 1 }, // which was told nothing
      ]);
      // A qube without an address of IPv6 is told that there is none.
      router.nft(`delete element ip6 qubes allowed { "vif-a" . ${PREFIXES.a[1]} }\n`);
      await expect.poll(() => a?.({ type: 'AAAA' }), { timeout: 5000 }).toEqual({ NODATA: 1 });
      expect(await b?.({ type: 'AAAA' })).toEqual({ open: 1 });
    },
    120_000,
  );

  it.each(['unbound', 'dnsmasq'] as const)(
    'is answered to dig, curl and getent alike, by what %s says',
    async (program) => {
      const opened = await House.open('4.3');
      const world = opened.network.links.world.namespace;
      const local = ['93.184.0.0/16', '2606:2800::/32'].map((each) => `route add local ${each} dev lo\n`);
      world.run(['ip', '-batch', '-'], local.join(''));
      await ready(world, [process.execPath, '-e', HELLO]);
      await ready(world, [process.execPath, UPSTREAM, '5302']);
      const address = program === 'unbound' ? RESOLVERS[4][0] : RESOLVERS[6][0];
      world.spawn(forwarder(program, address, opened.scene));
      await expect.poll(() => dig(world, address, 'n1.deb.example', '-p', '5301')).toBe('NOERROR');
      await opened.dns?.stop();
      opened.upstreams = [program === 'unbound' ? `${address}:5301` : `[${address}]:5301`];
      await opened.startDns();
      const lists = {
        updates: { names: ['.deb.example'], resolve: 'firewall' },
        ads: { names: ['.ads.example', 'n1.cdn.example'], resolve: 'firewall' },
      };
      await opened.push(
        ['accept dst=@updates proto=tcp dstports=443', 'drop dst=@ads', 'drop proto=tcp dstports=443'],
        lists,
      );
      const { a } = opened;
      for (const server of [ASKED[4][0], ASKED[6][0]]) {
        const said = (...command: readonly string[]) => asResolved(opened, a, server, command);
        const number = server === ASKED[4][0] ? 20 : 30;
        for (const family of [4, 6]) {
          const name = `n${number + family}.deb.example`;
          expect([server, family, await said('curl', '-s', `-${family}`, `http://${name}:443/`)]).toEqual([
            server,
            family,
            'hello',
          ]);
          const other = `n${number + family + 4}.deb.example`;
          expect(await said('getent', `ahostsv${family}`, other)).toContain(
            family === 4 ? `93.184.0.${number + 8} ` : `2606:2800:220:1::${(number + 10).toString(16)} `,
          );
        }
        expect(await said('curl', '-s', 'http://www.deb.example:443/')).toBe('hello'); // an alias of a blocked one
        expect(await said('curl', '-s', 'http://n900.other.example:443/')).toBe('ended with 7'); // told, not opened
        for (const blocked of ['x.ads.example', 'www.news.example']) {
          expect(await said('curl', '-s', `http://${blocked}:443/`)).toBe('ended with 6'); // no such name
          expect(await said('getent', 'ahosts', blocked)).toBe('ended with 2');
          expect(await dig(a, server, blocked)).toBe('NXDOMAIN');
        }
        // Too long for a datagram: by TCP.
        // On a busy machine 64 addresses may take longer than an answer waits: it is asked again.
        const many = async (): Promise<number> =>
          (await said('dig', '+noedns', '+short', 'many.deb.example')).split('\n').length;
        await expect.poll(many, { timeout: 10_000 }).toBe(64);
      }
    },
    120_000,
  );

  it('is answered by nobody else, whatever is taken away', async () => {
    const opened = await House.open('4.3');
    const { router } = opened.network;
    await opened.push(['drop dst=@ads']);
    await opened.says(undefined);
    let since = opened.stream(EVERY);
    const isTold: Parameters<typeof opened.scene.control.until>[0] = ({ subscribers: [one] }) =>
      one?.matches === false && /by IPv4: marked/.test(one.lastError?.text ?? '');
    /** Nothing was answered but that there is no such name. */
    const blocked = async (): Promise<number> => {
      const counts = await since();
      expect(Object.keys(counts).filter((key) => !key.startsWith('NXDOMAIN '))).toEqual([]);
      return sum(counts, 'NXDOMAIN');
    };
    const ip = (...lines: readonly string[]): unknown => router.run(['ip', '-batch', '-'], lines.join('\n'));
    const answers = async (): Promise<void> => {
      await expect.poll(blocked, { timeout: 20_000, interval: 200 }).toBeGreaterThan(20);
    };
    await answers();
    const rule = 'pref 53 fwmark 0x530000/0xff0000 lookup 5353';
    const way = (family: 4 | 6): string =>
      `default via ${family === 4 ? '169.254.53.2' : 'fd5a:5e53:5300::2'} dev rulecast-dns metric 1 table 5353`;
    for (const family of [4, 6] as const) {
      const said = new RegExp(`by IPv${family}: marked packets do not leave`);
      const last = `unreachable default metric 4294967295 table 5353`;
      for (const [take, put] of [
        [[`-${family} rule del ${rule}`], [`-${family} rule add ${rule}`]],
        [[`-${family} route del ${way(family)}`], [`-${family} route add ${way(family)}`]],
        [
          [`-${family} route del ${last}`, `-${family} route del ${way(family)}`],
          [`-${family} route add ${last}`, `-${family} route add ${way(family)}`],
        ],
      ] as const) {
        for (const line of take) router.run(['ip', ...line.split(' ')]);
        await opened.says(said);
        await blocked();
        if (family === 4 && take[0]?.includes('rule')) await opened.scene.control.until(isTold);
        for (const line of put) router.run(['ip', ...line.split(' ')]);
        await opened.says(undefined);
        await answers();
      }
    }
    // The tables are ours alone.
    for (const chain of ['taken', 'guard', 'input', 'keep', 'questions'])
      expect(() => router.run(['nft', 'delete', 'chain', 'inet', 'rulecast_dns', chain])).toThrow(
        'not permitted',
      );
    expect(() => router.run(['nft', 'delete', 'table', 'inet', 'rulecast_dns'])).toThrow('not permitted');
    // Resolvers of the firewall that change are followed.
    opened.resolvers(OTHERS);
    await expect.poll(() => dig(opened.a, OTHERS[4][0], 'x.ads.example')).toBe('NXDOMAIN');
    expect(await dig(opened.a, OTHERS[6][0], 'x.ads.example')).toBe('NXDOMAIN');
    since = opened.stream([...ASKED[4], ...ASKED[6], ...OTHERS[4], ...OTHERS[6]]);
    await answers();
    // Without its name the namespace is there while it is used; without the link it is of no use.
    router.run(['ip', 'netns', 'del', opened.namespace]);
    await answers();
    ip('link set rulecast-dns down');
    await opened.says(/leads nowhere|do not leave/);
    await blocked();
    router.run(['ip', 'link', 'del', 'rulecast-dns']);
    await opened.says(/no link rulecast-dns/);
    await blocked();
    await opened.dns?.kill();
    opened.net();
    await opened.startDns();
    await opened.says(undefined);
    await answers();
    await opened.dns?.kill();
    await blocked();
    expect(sum(await since(), 'NXDOMAIN')).toBe(0);
  }, 180_000);

  it.each([
    ['postrouting', 'mangle'],
    ['forward', 'mangle'],
    ['forward', 'raw'],
  ])(
    'is answered beside rules that keep the mark of a packet for its connection, from %s at %s on',
    async (hook, priority) => {
      const opened = await House.open('4.3');
      const { router } = opened.network;
      router.nft(`table inet recipe {
  chain prerouting { type filter hook prerouting priority mangle; meta mark set ct mark; }
  chain save { type filter hook ${hook} priority ${priority}; ct mark set meta mark; }
}`);
      await opened.push(['drop dst=@ads']);
      for (const server of EVERY) {
        expect([server, await dig(opened.a, server, 'x.ads.example')]).toEqual([server, 'NXDOMAIN']);
        expect([server, await dig(opened.a, server, 'good.example', '+tcp')]).toEqual([server, 'NOERROR']);
      }
      expect(router.run(['conntrack', '-L']).match(/ mark=[1-9]\d*/)).toBe(null);
    },
    120_000,
  );

  it('is answered for one qube, whatever another one asks', async () => {
    const opened = await House.open('4.3');
    const { a, b } = opened;
    const { router } = opened.network;
    await opened.push(['drop dst=@ads']);
    const [server] = ASKED[4];
    const [own] = PREFIXES.a;
    const beganMs = performance.now();
    /** What a qube may have been let through since. */
    const most = (perSecond: number): number => perSecond * (1 + (performance.now() - beganMs) / 1000);
    /** Has a send too much; b is answered all the same. */
    const beside = async (kind: 'udp' | 'tcp', addresses: number, sent: number): Promise<void> => {
      const names = Array.from({ length: OF_OTHER }, (_, i) => `n${i}.example\n`).join('');
      const flood = a.spawn(['python3', FLOOD, kind, server, own, `${addresses}`, `${sent}`]);
      const flooded = once(flood, 'exit');
      const how = kind === 'tcp' ? '+tcp' : '+notcp';
      const asking = b.spawn(['dig', '-f', '-', `@${server}`, '+tries=1', '+time=5', how]);
      const said = text(asking.stdout);
      asking.stdin.end(names);
      expect((await said).match(/status: NOERROR/g)).toHaveLength(OF_OTHER);
      expect(await flooded).toEqual([0, null]);
    };

    await beside('udp', 1, SENT);
    expect(opened.beyond().packets).toBeGreaterThan(0);
    const before = opened.beyond().packets;
    await beside('tcp', 1, SENT / 4);
    expect(opened.beyond().packets).toBeGreaterThan(before);
    // Where nothing keeps a qube to its address, it does not take the room of those that begin to ask.
    router.nft('flush chain ip qubes antispoof\n');
    await beside('udp', SENT / 4, SENT / 2);
    expect(opened.beyond().senders).toBeLessThanOrEqual(most(SENDERS_PER_S) + 2);
    expect(await dig(a, server, 'good.example')).toBe('NOERROR');
    await opened.dns?.stop();
    const questions = Number(opened.dns?.log.at(-1)?.['questions']);
    const forged = most(SENDERS_PER_S) * 2;
    expect(questions).toBeGreaterThan(QUESTIONS_PER_S);
    expect(questions).toBeLessThanOrEqual(most(QUESTIONS_PER_S) + forged + 3 * OF_OTHER);
  }, 90_000);

  it('is taken again where somebody takes the table, or part of it, that anybody may change', async () => {
    const network = new Network();
    const { router } = network;
    await router.withoutOwners();
    const opened = await House.open('4.3', [], { network });
    await opened.push(['drop dst=@ads']);
    await opened.says(undefined);
    const since = opened.stream(EVERY);
    const table = (): string => {
      try {
        return router.run(['nft', '-s', '-t', 'list', 'table', 'inet', 'rulecast_dns']);
      } catch {
        return ''; // just now
      }
    };
    const intact = table();
    expect(intact).toContain('chain guard');
    const [one] = childrenOf(opened.enforcer?.process.pid);
    const killed = (): void => void process.kill(one ?? 0, 'SIGKILL');
    for (const [command, before] of [
      ['flush chain inet rulecast_dns questions'],
      ['delete chain inet rulecast_dns taken'],
      ['delete chain inet rulecast_dns guard'],
      ['delete chain inet rulecast_dns keep'],
      ['delete table inet rulecast_dns'],
      ['delete table inet rulecast_dns', killed],
    ] as const) {
      before?.();
      router.nft(`${command}\n`);
      const again = { timeout: 10_000, interval: 20, message: `after ${command}, ${before?.name}` };
      await expect.poll(table, again).toBe(intact);
      // Until it was noticed, others could answer: such a kernel keeps nobody from it.
      const others = (told: Readonly<Record<string, number>>): readonly string[] =>
        Object.keys(told).filter((key) => !key.startsWith('NXDOMAIN '));
      await expect.poll(async () => others(await since()), { timeout: 10_000, interval: 200 }).toEqual([]);
      const counts = async (): Promise<number> => {
        const told = await since();
        expect([command, others(told)]).toEqual([command, []]);
        return sum(told, 'NXDOMAIN');
      };
      await expect.poll(counts, { timeout: 20_000, interval: 200 }).toBeGreaterThan(20);
    }
  }, 120_000);
});
