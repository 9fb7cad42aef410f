/**
 * The pages of docs/how-to, each run from top to bottom as a reader would: a publisher with /etc/rulecast in
 * its sandbox, a firewall, and at each step what the page says is to be seen.
 */

import { renameSync } from 'node:fs';
import { expect } from 'vitest';
import { freePort, openResolver } from '../kit/dns.ts';
import { fresh } from './reader.ts';
import type { Sandbox } from './sandbox.ts';

/** Runs a page; `block` gives the text of one of its blocks, by its heading. */
export type PageRun = (block: (heading: string) => string) => Promise<void>;

/** The address of each name that is not blocked. */
const WORLD = '93.184.2.7';
/** `getent hosts NAME` of a host that asks 127.0.0.1:PORT. */
const GETENT = `
  const resolver = new (require("dns").promises.Resolver)();
  resolver.setServers(["127.0.0.1:PORT"]);
  resolver.resolve4(process.argv[1]).then(([address]) => console.log(address), () => process.exit(2));`;
const TRIES = 75;
const PAUSE = 'sleep 0.2';

/** A host with the packages: its /etc/rulecast is the sandbox. */
class Host {
  readonly box: Sandbox;

  constructor(box: Sandbox) {
    this.box = box;
  }

  /** Runs a block that is for a host with packages. */
  run(text: string): Promise<string> {
    return this.box.run(text.replaceAll('/etc/rulecast/', ''));
  }

  /** Moved to its place, as an editor does: it is read at once. */
  write(name: string, text: string): void {
    this.box.write(`${name}.part`, text);
    renameSync(this.box.path(`${name}.part`), this.box.path(name));
  }

  /** Runs one line again until it prints what is expected: files are read, releases applied in between. */
  async awaits(line: string, expected: RegExp): Promise<string> {
    let printed = '';
    for (let tries = 0; tries < TRIES; tries++) {
      const { stdout, stderr } = await this.box.attempt(line);
      printed = `${stdout}${stderr}`;
      if (expected.test(printed)) return printed;
      await this.box.run(PAUSE);
    }
    throw new Error(
      `$ ${line}\n${printed}\n${(await this.box.attempt('rulectl status --verbose')).stdout}\nnever has ${String(expected)}`,
    );
  }

  async startPublisher(options = ''): Promise<void> {
    await this.box.run(`rulecast-publisher --config publisher.yaml --state ./publisher ${options} &`);
  }
}

/** A publisher with a configuration, and, after `before`, a firewall that enforces nothing. */
export async function host(options = '', before = 'true'): Promise<Host> {
  const one = new Host(await fresh());
  one.write('publisher.yaml', 'rules: rules.yaml\nlists: {}\n');
  one.write('rules.yaml', 'unmatched: accept\n');
  await one.startPublisher();
  await one.run('rulecast-publisher --state ./publisher --print-trust > publisher.trust');
  await one.run(before);
  await one.run(`rulecast-subscriber --trust publisher.trust --state ./firewall --name fw ${options} &`);
  return one;
}

const last = (text: string): string => text.trim().split('\n').at(-1) ?? '';

export const PAGES: Readonly<Record<string, PageRun>> = {
  'docs/how-to/block-a-country.md': async (block) => {
    const on = await host();
    await on.run(block('Get the addresses'));
    await on.awaits('rulectl lists', /^russia .* ok /m);
    expect(await on.run(block('Get the addresses/2'))).toContain('IPv4: 3 prefixes');
    const look = block('Block it/3');
    for (const [rules, policy] of [
      ['Block it', 'work'],
      ['Block it/2', 'first'],
    ] as const) {
      on.write('rules.yaml', block(rules));
      if (policy === 'first') await on.run('rulectl push --permit no-policy rules.yaml'); // there was one
      await on.awaits(last(look), new RegExp(`: drop\n(.*\n)*.*policy +${policy}(.*\n)*.*list +russia`));
      await on.run(look);
      const other = await on.run("rulectl test '10.137.0.6 > 5.8.1.1 tcp/443'");
      expect(other).toContain(policy === 'work' ? ': none' : ': drop');
    }
    const company = block('Leave one company open/2');
    on.write('publisher.yaml', block('Leave one company open'));
    await on.awaits(last(company), /: accept/);
    const held = await on.run(company);
    expect(held).toContain('list vk');
    expect(held).not.toContain('list russia (');
    expect(await on.run(last(look))).toContain(': drop');
  },

  'docs/how-to/block-ads-by-name.md': async (block) => {
    const [upstream, port] = [await openResolver(WORLD), await freePort()];
    const dns = `rulecast-dns --releases names.sock --listen 127.0.0.1:${port} --upstream 127.0.0.1:${upstream} &
until [ -S names.sock ]; do ${PAUSE}; done`;
    const on = await host('--names router --names-folder .', dns);
    on.box.stub('getent', `exec node -e '${GETENT.replace('PORT', `${port}`)}' "$2"\n`);
    await on.run(block('Choose a list'));
    await on.awaits('rulectl lists', /^ads .* ok /m);
    on.write('rules.yaml', block('Block the names'));
    const look = block('Block the names/2');
    await on.awaits(last(look), /: drop\n(.*\n)*.*list +ads/);
    expect(await on.run(look)).toContain('nothing refused');
    expect(await on.run(block('Block the names/3'))).toBe(`blocked\n${WORLD}\n`);
    on.write('publisher.yaml', block('Open one name again'));
    await on.awaits("rulectl test '10.137.0.5 ? cdn.good.example'", /: accept/);
    expect(await on.run('getent hosts cdn.good.example')).toBe(`${WORLD}\n`);
    expect(await on.run(block('Block the names/3'))).toContain('blocked');
  },
};
