/**
 * A firewall in network namespaces of its own, beside the tables of Qubes, whose qubes ask the resolvers that
 * Qubes gives them, and `rulecast-dns` answers, or nobody. Nothing outside the namespaces is asked.
 */

import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect } from 'vitest';
import { ENFORCER, startEnforcer } from '../enforce/enforcer.ts';
import { type Namespace, Network } from '../enforce/network.mjs';
import { qubesDnat, qubesMasquerade, qubesTables } from '../enforce/qubes-tables.mjs';
import { type Daemon, dnsNetCommand, startDns } from '../processes.mjs';
import { namespacePrefix } from '../run/run.mjs';
import { Scene } from './scene.ts';

const STREAM = fileURLToPath(new URL('../enforce/dns-stream.mjs', import.meta.url));
const WORLD = fileURLToPath(new URL('../enforce/dns-world.mjs', import.meta.url));
const LISTENING = fileURLToPath(new URL('../enforce/listening.py', import.meta.url));
/** Asks for names, and connects to what it is told. */
const CLIENT = fileURLToPath(new URL('../enforce/names-client.mjs', import.meta.url));
/** What qubes ask, and who is asked for them: not 10.139.1.1, as behind a VPN. */
export const ASKED = { 4: ['10.139.1.1', '10.139.1.2'], 6: ['fd53::1'] } as const;
export const RESOLVERS = { 4: ['10.53.0.9'], 6: ['2001:db8:53::9'] } as const;
export const OTHERS = { 4: ['10.53.0.10'], 6: ['2001:db8:53::10'] } as const;
export const EVERY = [...ASKED[4], ...ASKED[6], ...RESOLVERS[4], ...RESOLVERS[6]];
const QUBES = [
  { interface: 'vif-a', address: '10.137.0.5', address6: 'fd09:24ef:4179:a::5' },
  { interface: 'vif-b', address: '10.137.128.6', address6: 'fd09:24ef:4179:b::6' },
];
export const PREFIXES = {
  a: ['10.137.0.5', 'fd09:24ef:4179:a::5'],
  b: ['10.137.128.6', 'fd09:24ef:4179:b::6'],
} as const;

/** Asks, and connects, as test/enforce/names-client.mjs says: how often what came of it. */
interface Client {
  (what: object): Promise<Readonly<Record<string, number>>>;
  /** Once it is done. */
  readonly end: () => void;
}

/** A firewall whose qubes a and b ask Qubes' resolvers; the policy of a blocks names. */
export class House {
  readonly scene: Scene;
  readonly network: Network;
  readonly namespace = `${namespacePrefix()}${process.pid}-dns`; // files run side by side
  /** As `--upstream` says them, in their order. */
  upstreams: readonly string[] = [RESOLVERS[4][0]];
  dns: Daemon | undefined;
  enforcer: Daemon | undefined;
  publisher: Daemon | undefined;

  private constructor(scene: Scene, of: Network) {
    this.scene = scene;
    this.network = of;
  }

  /** @param options Of the subscriber. @param more A network is the house's from then on. */
  static async open(
    version: '4.2' | '4.3',
    options: readonly string[] = [],
    more: { readonly network?: Network; readonly upstreams?: readonly string[] } = {},
  ): Promise<House> {
    const network = more.network ?? new Network();
    const house = new House(new Scene(), network);
    house.upstreams = more.upstreams ?? house.upstreams;
    house.scene.onClose(async () => {
      house.net('--remove');
      await network.close();
    });
    const { router, links } = network;
    router.nft(qubesTables(version, QUBES));
    house.resolvers(RESOLVERS);
    router.nft(qubesMasquerade(4) + qubesMasquerade(6));
    const world = links.world.namespace;
    const addresses = [RESOLVERS, OTHERS].flatMap((each) => [...each[4], ...each[6]]);
    world.run(
      ['ip', '-batch', '-'],
      addresses.map((each) => `addr add ${each} dev lo${each.includes(':') ? ' nodad' : ''}\n`).join(''),
    );
    await ready(world, [process.execPath, WORLD, ...addresses]);
    house.net();
    await house.startDns();
    await house.startPublisher();
    await house.startEnforcer(options);
    return house;
  }

  resolvers(to: typeof RESOLVERS | typeof OTHERS): void {
    this.network.router.nft(qubesDnat(4, ASKED[4], to[4]) + qubesDnat(6, ASKED[6], to[6]));
  }

  net(...more: readonly string[]): void {
    this.network.router.run(dnsNetCommand(['--namespace', this.namespace, ...more]));
  }

  /** As its units do: asked in the namespace, asking from the firewall itself. */
  async startDns(): Promise<void> {
    const bound = ['nsenter', `--net=/run/netns/${this.namespace}`, 'python3', LISTENING];
    const launch = [...bound, ...this.network.router.prefix];
    const upstreams = this.upstreams.flatMap((each) => ['--upstream', each]);
    const args = ['--releases', this.#names, '--openings', this.#openings, ...upstreams];
    this.dns = this.scene.keep(await startDns(args, launch));
  }

  async startPublisher(): Promise<void> {
    this.publisher = await this.scene.publisher();
  }

  async startEnforcer(options: readonly string[] = []): Promise<void> {
    const dns = [...ASKED[4], ...ASKED[6]].join();
    const own = ['--names', 'auto', '--names-folder', this.scene.directory, '--dns', dns];
    this.enforcer = await startEnforcer(this.scene, this.network, [...own, ...options]);
  }

  get #names(): string {
    return this.scene.path('names.sock');
  }

  get #openings(): string {
    return this.scene.path('openings.sock');
  }

  async push(
    a: readonly string[],
    lists: object = { ads: { names: ['.ads.example'], resolve: 'firewall' } },
    b: readonly string[] = [],
  ) {
    const policies = {
      a: { prefixes: PREFIXES.a, egress: a, default: 'accept' },
      b: { prefixes: PREFIXES.b, egress: b, default: 'accept' },
    };
    await this.pushDocument({ lists, policies, unmatched: 'drop' });
  }

  async pushDocument(document: object): Promise<void> {
    const { records, ending } = await this.scene.control.pushText('rules.json', JSON.stringify(document));
    expect(ending, JSON.stringify(records)).toMatchObject({ kind: 'done' });
    await this.scene.control.synced(ENFORCER);
  }

  /** What comes of asking a resolver of Qubes for a name, or of connecting to an address. */
  async connects(from: Namespace, what: object): Promise<unknown> {
    const client = this.client(from);
    return client(what).finally(client.end);
  }

  /** A program of a qube that does so time and again. */
  client(from: Namespace): Client {
    const child = from.spawn([process.execPath, CLIENT]);
    const lines = createInterface({ input: child.stdout });
    const does = async (what: object): Promise<Readonly<Record<string, number>>> => {
      const asked = { server: ASKED[4][0], port: 53, domain: 'deb.example', ...what };
      child.stdin.write(`${JSON.stringify(asked)}\n`);
      const [line] = await once(lines, 'line');
      return JSON.parse(String(line));
    };
    return Object.assign(does, { end: () => void child.stdin.end() });
  }

  get a(): Namespace {
    return this.network.links.a.namespace;
  }

  get b(): Namespace {
    return this.network.links.b.namespace;
  }

  /** Asks for a blocked name all the time; `since` is what was answered since the last time. */
  stream(servers: readonly string[]): () => Promise<Readonly<Record<string, number>>> {
    const child = this.a.spawn([process.execPath, STREAM, 'x.ads.example', ...servers]);
    const lines = createInterface({ input: child.stdout });
    return async () => {
      child.stdin.write('\n');
      const [line] = await once(lines, 'line');
      return JSON.parse(String(line));
    };
  }

  /** How many packets were beyond a rate, and how many senders have one. */
  beyond(): { readonly packets: number; readonly senders: number } {
    const listed = (kind: string, name: string): string =>
      this.network.router.run(['nft', 'list', kind, 'inet', 'rulecast_dns', name]);
    const [, packets] = /packets (\d+)/.exec(listed('counter', 'beyond_rate')) ?? [];
    return { packets: Number(packets), senders: listed('set', 'senders4').split(' limit rate ').length - 1 };
  }

  /** Resolves once it is said why DNS is not answered, or, without words, that it is. */
  async says(words: RegExp | undefined): Promise<void> {
    const last = (): string => {
      const said = this.enforcer?.log.filter(({ msg }) => /^(no )?DNS of qubes/.test(String(msg))).at(-1);
      return String(said?.['reason'] ?? '');
    };
    await expect.poll(last, { timeout: 10_000, interval: 100 }).toMatch(words ?? /^$/);
  }
}

/** Starts a command that says when it is ready. */
export async function ready(namespace: Namespace, command: readonly string[]): Promise<void> {
  await once(createInterface({ input: namespace.spawn(command).stdout }), 'line');
}

/** What dig is told: the status, or why there is none. */
export async function dig(
  from: Namespace,
  server: string,
  name: string,
  ...more: readonly string[]
): Promise<string> {
  const [program = '', ...args] = [...from.prefix, 'dig', '+tries=1', '+time=2', ...more, `@${server}`, name];
  const { stdout } = await promisify(execFile)(program, args).catch((error) => error as { stdout: string });
  return (
    /status: (\w+)/.exec(stdout)?.[1] ??
    /timed out|refused|unreachable|no servers/.exec(stdout)?.[0] ??
    stdout
  );
}
