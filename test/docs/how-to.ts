/**
 * The pages of docs/how-to, each run from top to bottom as a reader would: a publisher and a firewall in a
 * sandbox, and at each step what the page says is to be seen.
 */

import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  symlinkSync,
} from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import { freePort, openResolver } from '../kit/dns.ts';
import { DOM0_SCRIPT } from '../qrexec/policy.ts';
import { ROOT } from './blocks.ts';
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
const TRUST = `rulecast2:${'a'.repeat(32)}:${'b'.repeat(64)}`;

/**
 * A host with the packages, whose /etc, /var and /run are folders of the sandbox. Its service manager knows
 * the publisher alone.
 */
class Host {
  readonly box: Sandbox;
  readonly #stopped = new Set<unknown>();

  constructor(box: Sandbox) {
    this.box = box;
  }

  /** Runs a block that is for such a host. */
  async run(text: string): Promise<string> {
    let printed = '';
    for (const line of text.trim().split('\n')) {
      const [, service] = /^systemctl (?:(?:en|dis)able --now|(?:re)?st[a-z]+) (\S+)$/.exec(line) ?? [];
      if (service !== 'rulecast-publisher') printed += await this.box.run(this.#here(line));
      else {
        if (/disable|stop|restart/.test(line)) await this.stopPublisher();
        if (/enable|start/.test(line) && !line.includes('disable')) await this.startPublisher();
      }
    }
    return printed;
  }

  #here(text: string): string {
    return text
      .replaceAll(/(?<![\w.])\/(etc|var\/lib|run)\/(rulecast|systemd)/g, `${this.box.directory}/$1/$2`)
      .replaceAll('-C /', `-C ${this.box.directory}`);
  }

  /** Writes a file of /etc/rulecast: moved to its place, as an editor does, so that it is read at once. */
  write(name: string, text: string): void {
    this.box.write('part', this.#here(text));
    mkdirSync(this.box.path('etc/rulecast'), { recursive: true });
    renameSync(this.box.path('part'), this.box.path('etc/rulecast', name));
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
    const { stdout } = await this.box.attempt('rulectl status --verbose');
    throw new Error(`$ ${line}\n${printed}\n${stdout}\nnever has ${String(expected)}`);
  }

  async startPublisher(): Promise<void> {
    await this.box.run(
      'rulecast-publisher --config etc/rulecast/publisher.yaml --state var/lib/rulecast/publisher',
    );
  }

  async stopPublisher(): Promise<void> {
    const { pid } = await this.box.logged(
      ({ name, msg, pid: of }) => name === 'rulecast-publisher' && msg === 'ready' && !this.#stopped.has(of),
    );
    this.#stopped.add(pid);
    await this.box.run(`kill ${String(pid)}; tail --pid=${String(pid)} -f /dev/null`);
  }

  /** Programs of dom0, played, with folders for these qubes. */
  async playDom0(...qubes: readonly string[]): Promise<void> {
    for (const qube of qubes) mkdirSync(this.box.path('dom0', qube), { recursive: true });
    for (const name of ['check', 'tags', 'features', 'ls', 'run', 'shutdown', 'start'])
      symlinkSync(join(ROOT, 'test/qrexec/dom0.sh'), this.box.path('bin', `qvm-${name}`));
    const services = this.box.path('run/qubes-service');
    await this.box.run(`export DOM0='${this.box.path('dom0')}' SERVICES='${services}'`);
  }
}

/** A publisher with a configuration, and, after `before`, a firewall that enforces nothing. */
export async function host(options = '', before = 'true'): Promise<Host> {
  const one = new Host(await fresh());
  one.write('publisher.yaml', 'rules: rules.yaml\nlists: {}\n');
  one.write('rules.yaml', 'unmatched: accept\n');
  await one.startPublisher();
  await one.run('rulecast-publisher --state var/lib/rulecast/publisher --print-trust > publisher.trust');
  await one.run(before);
  await one.run(`rulecast-subscriber --trust publisher.trust --state ./firewall --name fw ${options} &`);
  return one;
}

/** A publisher whose rules are pushed, and a firewall. */
async function pushing(): Promise<Host> {
  const on = await host();
  on.write('publisher.yaml', 'lists: {}\n');
  await on.awaits('rulectl push --dry-run --yes examples/firewall.yaml', /would change|version/);
  return on;
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
      if (policy === 'first') await on.run('rulectl push --permit no-policy etc/rulecast/rules.yaml'); // there was one
      await on.awaits(last(look), new RegExp(`: drop\n(.*\n)*.*policy +${policy}(.*\n)*.*list +russia`));
      await on.run(look);
      const other = await on.run("rulectl test '10.137.0.6 > 5.8.1.1 tcp/443'");
      expect(other).toContain(policy === 'work' ? ': none' : ': drop');
    }
    const company = block('Leave one company open/2');
    on.write('publisher.yaml', block('Leave one company open'));
    await on.awaits(last(company), /: (accept|none)/);
    const held = await on.run(company);
    expect(held).toContain('list vk');
    expect(held).not.toContain('list russia (');
    expect(await on.run(last(look))).toContain(': drop');
  },

  'docs/how-to/block-ads-by-name.md': async (block) => {
    const [upstream, port] = [await openResolver(WORLD), await freePort()];
    const dns = `rulecast-dns --releases names.sock --listen 127.0.0.1:${port} --upstream 127.0.0.1:${upstream} &
timeout 60 sh -c 'until [ -S names.sock ]; do ${PAUSE}; done'`;
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

  'docs/how-to/second-firewall.md': async (block) => {
    const on = await host();
    await on.playDom0('mgmt', 'sys-firewall', 'fw-work');
    on.box.stub('sudo', '[ "$1 $2 $4" = "install -o -g" ] && { shift 5; set -- install "$@"; }; exec "$@"\n');
    on.box.write('dom0/mgmt/answers', `#!/bin/sh\necho ${TRUST}\n`);
    chmodSync(on.box.path('dom0/mgmt/answers'), 0o755);
    const script = readFileSync(DOM0_SCRIPT, 'utf8');
    on.box.write('rulecast-dom0', script.replace(/^file=.*$/m, `file='${on.box.path('policy')}'`));
    expect(await on.run(block('On Qubes'))).toContain('fw-work has the tag rulecast-firewall');
    expect(existsSync(on.box.path('dom0/fw-work/running'))).toBe(true);
    const listen = 'listen: [qrexec:/run/rulecast/qrexec.sock]\n';
    mkdirSync(on.box.path('run/rulecast'), { recursive: true });
    on.write('publisher.yaml', `rules: rules.yaml\nlists: {}\n${listen}${block('On Qubes/2')}`);
    await on.run(block('On Qubes/3'));
    expect(await on.run('rulectl status')).toMatch(/^fw-work +qube +disconnected/m);

    // Another host, as init has it: its files with paths and addresses of the sandbox.
    const init = block('On another host').replace('init', 'init --dir made');
    await on.run(init.replace('fw-2', 'fw-1'));
    const printed = await on.run(init);
    await on.stopPublisher();
    const at = `127.0.0.1:${await freePort()}`;
    const [, address = ''] = /CONNECT=zmq\+tcp:(\S+?)'/.exec(printed) ?? [];
    const config = readFileSync(on.box.path('made/publisher.yaml'), 'utf8')
      .replace(/ {2}- (unix|qrexec):.*\n/g, '')
      .replace(/^control:\n/m, '')
      .replace(/^state:.*\n/m, '')
      .replaceAll(address, at);
    await on.run('cp -r made/rules.yaml made/keys etc/rulecast/');
    on.write('publisher.yaml', config);
    await on.startPublisher();
    const [, variables = ''] = /^(printf 'RULECAST_.*) > /m.exec(printed) ?? [];
    const keys = variables.replaceAll('/etc/rulecast/', 'etc/rulecast/keys/').replace(address, at);
    await on.box.run(`${keys} > subscriber.env
set -a; . ./subscriber.env; set +a
rulecast-subscriber --trust publisher.trust &`);
    expect(await on.run(block('See that it works').split('\n')[0] ?? '')).toMatch(/^fw-2 +curve/m);
    await on.awaits('rulectl status', /^fw-2 .* synced/m);
    expect(await on.run(block('See that it works'))).toContain('203.0.113.7');
  },

  'docs/how-to/import-qvm-firewall.md': async (block) => {
    const on = await pushing();
    on.box.stub('qvm-firewall', "echo 'action=accept dst4=192.0.2.0/24'; echo action=drop\n");
    on.box.stub('qvm-ls', "echo 'work|10.137.0.5|fd09::a89:5'; echo 'personal|10.137.0.6|-'\n");
    await on.run(block('Save the rules'));
    const make = block('Make a document of them').trim().split('\n');
    expect(await on.run(make.slice(0, -1).join('\n'))).toContain('nothing refused');
    expect((await on.box.attempt(make.at(-1) ?? '')).stdout).toContain('policy work');
    expect(await on.run(block('Push it'))).toMatch(/tcp\/443: accept\n(.*\n)*.*policy +work/);
    await on.run(block('Later'));
  },

  'docs/how-to/test-policies-in-ci.md': async (block) => {
    const on = await pushing();
    const document = `policies:
  work: { prefixes: [10.137.0.5], default: accept, egress: [drop dst4=192.0.2.0/24], ingress: [accept] }
unmatched: accept\n`;
    on.box.write('firewall.yaml', document);
    on.box.write('packets.ndjson', block('Write down what must hold'));
    expect(await on.run(block('Judge them'))).toContain('3 of 3 as expected');
    const [judge = ''] = block('Judge them').trim().split('\n');
    on.box.write('firewall.yaml', document.replace('drop dst4', 'accept dst4'));
    expect(await on.box.attempt(judge)).toMatchObject({
      code: 1,
      stdout: expect.stringContaining('expected'),
    });
    on.box.write('firewall.yaml', document);
    on.box.write('ads.txt', '203.0.113.7\n');
    await on.run('rulectl push --no-wait ads.txt');
    on.box.write('firewall.yaml', document.replace('egress: [', 'egress: [drop dst=@ads, '));
    expect(await on.box.attempt(judge)).toMatchObject({ code: 2 });
    expect(await on.run(block('Judge them/2'))).toContain('3 of 3 as expected');
    const [, script = ''] = /- (rulectl .*)/.exec(block('In CI')) ?? [];
    expect(script).toBe(judge);
    const [live = '', diff = ''] = block('Before the push').trim().split('\n');
    expect((await on.box.attempt(live)).code).toBe(0);
    expect((await on.box.attempt(diff)).stdout).toContain('policy work');
  },

  'docs/how-to/monitor.md': async (block) => {
    const on = await host();
    on.box.stub('promtool', 'test -s "$3"\n');
    on.box.stub('systemctl', 'echo "$@" >> asked\n');
    const shipped = (text: string): string =>
      text
        .replaceAll('/usr/share/doc/rulecast/examples', join(ROOT, 'packaging/prometheus'))
        .replaceAll(/\/etc\/(systemd\/system|prometheus)\//g, on.box.path('$1/'));
    for (const folder of ['systemd/system', 'prometheus'])
      mkdirSync(on.box.path(folder), { recursive: true });
    await on.run(shipped(block('Write the metrics each minute')));
    expect(readdirSync(on.box.path('systemd/system')).sort()).toEqual([
      'rulecast-metrics.service',
      'rulecast-metrics.timer',
    ]);
    await on.awaits('rulectl metrics', /matches_head\{subscriber="fw"\} 1/);
    expect(await on.run(block('Write the metrics each minute/2'))).toMatch(
      /matches_head\{subscriber="fw"\} 1$/m,
    );
    await on.run(shipped(block('Take the alerts')));
    expect(await on.run(block('Without Prometheus'))).toMatch(/^\S/);
  },

  'docs/how-to/test-firewall.md': async (block) => {
    const on = await host();
    await on.run('mkdir run/rulecast-trial; cd etc/rulecast');
    const trial = 'etc/rulecast/trial';
    on.box.write(`${trial}/publisher.yaml`, block('Set it up').replaceAll('/run/', `${on.box.path('run')}/`));
    on.box.write(`${trial}/rules.yaml`, 'unmatched: accept\n');
    await on.run(block('Set it up/2'));
    await on.run(block('Set it up/3'));
    on.box.write(`${trial}/rules.part`, 'first: { egress: [drop dst4=192.0.2.0/24] }\nunmatched: accept\n');
    renameSync(on.box.path(`${trial}/rules.part`), on.box.path(`${trial}/rules.yaml`));
    const tried = block('Try a change').replaceAll('/run/', `${on.box.path('run')}/`);
    await on.awaits(last(tried), /: drop/);
    expect(await on.run(tried)).toContain('fw-test');
    expect(await on.run("rulectl test '10.137.0.5 > 192.0.2.7 tcp/443'")).toContain(': none');
    await on.run(block('Give it to all'));
    await on.awaits("rulectl test '10.137.0.5 > 192.0.2.7 tcp/443'", /: drop/);
  },

  'docs/how-to/move-a-publisher.md': async (block) => {
    const on = await host();
    on.box.stub('chown', 'true\n');
    on.write('rules.yaml', 'first: { egress: [drop dst4=192.0.2.0/24] }\nunmatched: accept\n');
    await on.awaits('rulectl status', /synced +2 /);
    await on.run(block('Take it with you'));
    await on.run('mv var var.old; mv etc etc.old; rm -r var.old etc.old');
    await on.run(block('Put it in place').replace(/^systemctl stop.*\n/, ''));
    await on.awaits('rulectl status', /^fw .*synced +2 /m);
    expect(await on.run(block('See that it works'))).toMatch(/^\s*2 /m);
  },

  'docs/how-to/back-up-and-restore.md': async (block) => {
    const on = await host();
    on.box.stub('chown', 'true\n');
    await on.awaits('rulectl status', /^fw .*synced +1 /m);
    await on.run(block('Save it'));
    await on.run(block('Restore it'));
    await on.awaits('rulectl status', /^fw .*synced +1 /m);
    on.write('rules.yaml', 'first: { egress: [drop dst4=192.0.2.0/24] }\nunmatched: accept\n');
    await on.awaits('rulectl status', /^fw .*synced +2 /m);
    on.box.write('firewall.yaml', readFileSync(on.box.path('etc/rulecast/rules.yaml'), 'utf8'));
    await on.run(block('Restore it').replace(/^rulectl status\n/m, ''));
    await on.awaits('rulectl status', /behind|newer/);
    const printed = await on.run(block('If the backup is older than the firewalls'));
    expect(printed).toContain('epoch 2');
    await on.awaits('rulectl status', /^fw .*synced/m);
  },

  'docs/how-to/tor.md': async (block) => {
    const on = await host();
    await on.run(block('Get the list'));
    const added = readFileSync(on.box.path('etc/rulecast/publisher.yaml'), 'utf8');
    expect(added).toContain('https://www.dan.me.uk/'); // for which the proxy has no certificate
    on.write('publisher.yaml', added.replace('www.dan.me.uk', 'check.torproject.org'));
    await on.awaits('rulectl lists', /^tor-nodes .* ok /m);
    on.write('rules.yaml', block('Let a qube reach only Tor'));
    const look = block('Let a qube reach only Tor/2');
    await on.awaits(look.split('\n')[1] ?? '', /: drop/);
    expect(await on.run(look)).toContain(': none');
    const [node = ''] = (await on.run('rulectl lists show tor-nodes --export plain')).match(/^[\d.]+/m) ?? [];
    await on.run(`rulectl test 'tor > ${node} tcp/9001' --expect accept`);
    on.write('rules.yaml', block('Keep Tor out/2'));
    const comes = `rulectl test --direction ingress '${node} > 10.137.0.30 tcp/443'`;
    await on.run('rulectl push --permit accept-all,no-policy etc/rulecast/rules.yaml');
    await on.awaits(comes, /: drop/);
    on.write('rules.yaml', block('Keep Tor out'));
    await on.run('rulectl push --permit accept-all,no-policy etc/rulecast/rules.yaml');
    await on.run(`rulectl test '10.137.0.5 > ${node} tcp/443' --expect drop`);
  },

  'docs/how-to/upgrade.md': async (block) => {
    const on = await host();
    expect(await on.run(block('Before'))).toContain('fw');
    on.box.stub('apt', '[ "$1" = install ]\n');
    const [install = '', ...look] = block('The publisher').trim().split('\n');
    await on.run(install);
    await on.run('systemctl restart rulecast-publisher'); // as the package does
    await on.awaits('rulectl status', /^fw .*synced/m);
    expect(await on.run(look.join('\n'))).toMatch(/^\d+\.\d+\.\d+$/m);
    await on.box.attempt(block('The firewalls/2').trim());
  },

  'docs/how-to/fetch-by-timer.md': async (block) => {
    const on = await host();
    for (const qube of ['fetch', 'mgmt']) mkdirSync(on.box.path('qubes', qube), { recursive: true });
    // Each qube is a folder; what is run there finds the publisher's folder in the sandbox.
    on.box.stub(
      'qvm-run',
      `echo "run $*" >> '${on.box.path('asked')}'
while case "$1" in --pass-io) ;; -u) shift ;; *) false ;; esac; do shift; done
cd '${on.box.path('qubes')}/'"$1" && exec sh -c "$2"\n`,
    );
    on.box.stub('qvm-shutdown', `echo "shutdown $*" >> '${on.box.path('asked')}'\n`);
    on.box.stub(
      'curl',
      `[ "$1 $2 $3" = '-fsS -o list' ] && printf '||ads.example^\\n||more.example^\\n' > list\n`,
    );
    const here = (text: string): string =>
      text.replaceAll('/var/lib/rulecast', on.box.path('var/lib/rulecast'));
    await on.run(block('The list'));
    on.write('publisher.yaml', block('The list/2'));
    on.box.write('rulecast-fetch', here(block('The script')));
    const [, start = ''] = /^ExecStart=\/bin\/bash (\S+)$/m.exec(block('The timer')) ?? [];
    await on.run(`bash ${start.replace('/usr/local/bin', '.')}`);
    expect(readFileSync(on.box.path('asked'), 'utf8').trim().split('\n').at(-1)).toBe(
      'shutdown --wait fetch',
    );
    await on.awaits('rulectl lists', /^ads .* ok +2 /m);
    on.write('rules.yaml', 'first: { egress: [drop dst=@ads] }\nunmatched: accept\n');
    expect(await on.run(block('See that it works'))).toContain('ads');
    // A download that fails leaves the last file.
    on.box.stub('curl', 'exit 22\n');
    expect((await on.box.attempt('bash ./rulecast-fetch')).code).toBe(22);
    expect(readFileSync(on.box.path('var/lib/rulecast/lists/ads.txt'), 'utf8')).toContain('ads.example');
    const timer = block('The timer/2');
    for (const key of ['OnCalendar=daily', 'Persistent=true', 'WantedBy=timers.target'])
      expect(timer).toContain(key);
    const managed = block('By Salt').match(/^\/\S+(?=:$)/gm) ?? [];
    expect(managed.map((path) => path.replace(/.*\//, ''))).toEqual([
      'rulecast-fetch',
      'rulecast-fetch.service',
      'rulecast-fetch.timer',
    ]);
  },

  'docs/how-to/troubleshoot.md': async (block) => {
    const on = await host();
    await on.awaits('rulectl status', /^fw .*synced/m);
    const [status = '', doctor = ''] = block('Troubleshoot by symptom').trim().split('\n');
    await on.run(status);
    const { stdout, stderr } = await on.box.attempt(doctor);
    expect(`${stdout}${stderr}`).toMatch(/package|rulecast/); // of a checkout it looks at little
    expect(await on.run(block('Something does not pass'))).toContain(': none');
    expect((await on.box.attempt(block('Report a bug').trim())).stdout).toContain('rulecast');
    // Each code of the page has a page of its own.
    const page = readFileSync(join(ROOT, 'docs/how-to/troubleshoot.md'), 'utf8');
    const tables = page
      .split('| code |')
      .slice(1)
      .map((text) => text.slice(0, text.indexOf('\n\n')));
    const codes = tables.flatMap((table) =>
      [...table.matchAll(/^\| (`.*?`) \|/gm)].flatMap(([, cell = '']) => cell.match(/[a-z-]+/g) ?? []),
    );
    expect(codes.length).toBeGreaterThan(15);
    for (const code of codes) await on.run(`rulectl help ${code}`);
    expect(await on.run(block('Troubleshoot by symptom/2'))).toContain('Cure:');
  },
};
