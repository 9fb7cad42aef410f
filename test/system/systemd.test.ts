/**
 * The firewall side under systemd, as packaging/systemd says: installed, started, killed, started again
 * without a publisher, stopped.
 */

import { spawn, spawnSync } from 'node:child_process';
import { chmodSync, chownSync, existsSync, mkdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';
import { blockText } from '../docs/blocks.ts';
import { childrenOf, eventually } from '../enforce/enforcer.ts';
import { type Daemon, rulectl } from '../processes.mjs';
import { enforcementGap } from './namespaces.ts';
import { Scene, within } from './scene.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const BOOT = fileURLToPath(new URL('systemd-boot.sh', import.meta.url));
const NAMESPACES = ['--mount', '--pid', '--net', '--uts', '--ipc', '--cgroup', '--fork', '--kill-child'];
const UNIT = 'rulecast-subscriber';
const PROCESSES = `/sys/fs/cgroup/system.slice/${UNIT}.service/cgroup.procs`;
const CONNECT_MS = 20_000;
/**
 * As packaging/systemd/README.md says, with the settings of its block; the command where a package would put
 * it; and in place of that of Qubes a `qrexec-client-vm` that leads to the publisher of the scene.
 */
const INSTALL = `
  cd /opt/rulecast/packaging/systemd
  install -D -m 644 -t /usr/lib/systemd/system rulecast-boot.service rulecast-subscriber.service
  install -D -m 644 -t /usr/lib/rulecast boot-closed.nft
  install -D -m 644 sysusers.conf /usr/lib/sysusers.d/rulecast.conf
  install -D -m 644 tmpfiles.conf /usr/lib/tmpfiles.d/rulecast.conf
  ln -s /opt/rulecast/packages/subscriber/bin/rulecast-subscriber.js /usr/bin/rulecast-subscriber
  install -D -m 644 /srv/trust /etc/rulecast/trust
  cat > /etc/rulecast/subscriber.env <<'END'
${blockText('packaging/systemd/README.md#The firewall side under systemd')}END
  cat > /usr/bin/qrexec-client-vm <<'END'
#!/bin/sh
[ "$*" = 'mgmt rulecast.Subscribe' ] && exec node /opt/rulecast/test/bridge.mjs unix:/srv/subscribers.sock
END
  chmod 755 /usr/bin/qrexec-client-vm
  systemd-sysusers rulecast.conf
  systemd-tmpfiles --create rulecast.conf
  systemctl daemon-reload
`;

let machine: Machine | undefined;

afterEach(() => {
  machine?.kill();
  machine = undefined;
});

describe.skipIf(systemdGap() !== undefined)('the units of packaging/systemd', () => {
  it('enforce what was pushed, and go on with it after a crash, without a publisher, and when stopped', async () => {
    const scene = new Scene();
    const publisher = await scene.publisher();
    machine = await installed(scene);

    machine.run('systemctl enable --now rulecast-boot');
    expect(machine.run('nft list table inet rulecast_closed')).toContain('iifgroup 2 reject');
    machine.run(`systemctl enable --now ${UNIT}`);
    await machine.connected(publisher);
    await block(scene, publisher, '203.0.113.1');
    expect(machine.rules()).toContain('203.0.113.1');
    const started = machine;
    await eventually(async () => started.capabilities().length === 5); // the one that waits is started last
    expect(machine.capabilities()).toEqual([
      { user: 'rulecast', effective: 0 },
      { user: 'rulecast', effective: 0 }, // the channel: what qrexec-client-vm is here
      { user: 'rulecast-applier', effective: 1 << 12 }, // who starts appliers
      { user: 'rulecast-applier', effective: 1 << 12 },
      { user: 'rulecast-applier', effective: 1 << 12 }, // the one that waits
    ]);

    await publisher.stop();
    machine.run(`systemctl restart ${UNIT}`);
    await expectRestored(machine, 1);
    machine.run(`kill -9 $(systemctl show -p MainPID --value ${UNIT})`);
    await expectRestored(machine, 2);
    expect(machine.rules()).toContain('203.0.113.1');

    machine.run(`systemctl stop ${UNIT}`);
    expect(machine.rules()).toContain('203.0.113.1');
    expect(machine.attempt(`test -e ${PROCESSES}`).status).toBe(1); // none is left
    machine.run('systemctl restart rulecast-boot'); // what was in force is not replaced by the boot mode
    expect(machine.rules()).toContain('203.0.113.1');
  });

  // Given twice, an option was one value of an array, or refused; refused, the unit was started again for
  // ever.
  it('leave every option to RULECAST_OPTIONS', async () => {
    const scene = new Scene();
    const publisher = await scene.publisher();
    machine = await installed(scene);
    machine.run(`
      mv /etc/rulecast/trust /etc/rulecast/other
      install -d -m 700 -o rulecast -g rulecast /var/lib/rulecast/other
      sed -i 's|$| --trust /etc/rulecast/other --state /var/lib/rulecast/other --user rulecast --applier-user nobody --enforce|' \\
        /etc/rulecast/subscriber.env
      systemctl enable --now ${UNIT}`);
    await machine.connected(publisher);
    await block(scene, publisher, '203.0.113.1');
    expect(machine.rules()).toContain('203.0.113.1');
    expect(machine.capabilities().map(({ user }) => user)).toContain('nobody');
    expect(machine.run('ls /var/lib/rulecast/other')).not.toBe('');
  });

  it('stay failed after a usage error, and start again when the file of --dns is there', async () => {
    const scene = new Scene();
    const publisher = await scene.publisher();
    const booted = await installed(scene);
    machine = booted;
    const shown = (name: string): string => booted.run(`systemctl show -p ${name} --value ${UNIT}`).trim();
    booted.run(`cp /etc/rulecast/subscriber.env /srv/right.env
      echo 'RULECAST_OPTIONS=--name a --name b' > /etc/rulecast/subscriber.env
      systemctl start ${UNIT}`);
    await eventually(async () => shown('ActiveState') === 'failed');
    expect([shown('ExecMainStatus'), shown('NRestarts')]).toEqual(['64', '0']);

    booted.run(`sed 's|/etc/resolv.conf|/run/late.conf|' /srv/right.env > /etc/rulecast/subscriber.env
      systemctl start ${UNIT}`);
    await eventually(async () => Number(shown('NRestarts')) > 1);
    booted.run('echo nameserver 192.0.2.53 > /run/late.conf');
    await booted.connected(publisher);
  });

  it('are not needed: the command of docs/enforcement.md enforces as well', async () => {
    const scene = new Scene();
    const publisher = await scene.publisher();
    machine = await installed(scene);
    machine.run(`
      mkdir /run/rulecast
      ln -s /srv/subscribers.sock /run/rulecast/subscribers.sock
      cp /srv/trust publisher.trust
      cat > enforce.sh <<'END'
${blockText('docs/enforcement.md#What is needed')}END
      sh enforce.sh >enforce.log 2>&1 &
    `);
    await machine.connected(publisher);
    await block(scene, publisher, '203.0.113.2');
    expect(machine.rules()).toContain('203.0.113.2');
  });
});

/** A machine on which everything is installed, and nothing started. */
async function installed(scene: Scene): Promise<Machine> {
  const booted = await Machine.boot(scene);
  booted.run(`printf '%s\\n' '${await scene.trustLine()}' > /srv/trust\n${INSTALL}`);
  chmodSync(scene.directory, 0o755);
  chownSync(scene.path('subscribers.sock'), Number(booted.run('id -u rulecast')), 0);
  return booted;
}

/**
 * Why systemd cannot be tested here, printed; undefined where it can. Throws instead where CI=true and it is
 * not installed; that a container may not mount what systemd needs is nothing that an installation could
 * mend.
 */
function systemdGap(): string | undefined {
  const gap = enforcementGap();
  if (gap !== undefined) return gap;
  const installed = existsSync('/lib/systemd/systemd');
  if (!installed && process.env['CI'] === 'true')
    throw new Error('the units cannot be tested: systemd is not installed');
  const missing = installed ? bootGap() : 'systemd is not installed';
  if (missing !== undefined) console.log(`tests of the systemd units are skipped: ${missing}`);
  return missing;
}

function bootGap(): string | undefined {
  const probe = `mount --make-rprivate / && mount -t tmpfs tmpfs /run && cd /run && mkdir a b c d &&
    mount -t overlay overlay -o lowerdir=/,upperdir=a,workdir=b c && mount -t cgroup2 cgroup2 d`;
  const { status, stderr } = spawnSync('unshare', [...NAMESPACES, 'sh', '-ec', probe], { encoding: 'utf8' });
  return status === 0 ? undefined : `it cannot be booted in namespaces here: ${stderr.trim()}`;
}

/** A machine of its own as far as systemd can tell; its disk is a copy-on-write view of this one's. */
class Machine {
  private readonly pid: number;

  private constructor(pid: number) {
    this.pid = pid;
  }

  /** Boots with the checkout at /opt/rulecast and the directory of `scene` at /srv. */
  static async boot(scene: Scene): Promise<Machine> {
    const work = scene.path('machine');
    mkdirSync(work);
    const args = [...NAMESPACES, BOOT, work, ROOT, scene.directory, process.execPath];
    const boot = spawn('unshare', args, { stdio: ['ignore', 'ignore', 'inherit'] });
    let machine: Machine | undefined;
    await eventually(async () => {
      const [pid] = childrenOf(boot.pid);
      if (pid === undefined) return false;
      machine = new Machine(pid);
      return isSystemd(pid) && machine.attempt('systemctl is-active basic.target').status === 0;
    });
    if (machine === undefined) throw new Error('systemd did not start');
    return machine;
  }

  /** The output of shell commands that all must succeed. */
  run(commands: string): string {
    const { status, stdout, stderr } = this.attempt(commands);
    if (status !== 0) throw new Error(`${commands}\nended with ${status}: ${stdout}${stderr}`);
    return stdout;
  }

  attempt(commands: string) {
    const inside = [
      '-t',
      String(this.pid),
      '-m',
      '-p',
      '-n',
      '-u',
      '-i',
      '-C',
      '-r',
      '-w',
      'sh',
      '-ec',
      commands,
    ];
    return spawnSync('nsenter', inside, { encoding: 'utf8', timeout: 60_000 });
  }

  /** Resolves when the service has reached its publisher; else rejects with what it said. */
  async connected(publisher: Daemon): Promise<void> {
    const connected = publisher.logged((line) => line['msg'] === 'subscriber connected');
    try {
      await within(connected, CONNECT_MS, 'the service to connect');
    } catch (cause) {
      const { stdout } = this.attempt(`journalctl --no-pager -o cat -n 20 -u ${UNIT}`);
      throw new Error(stdout, { cause });
    }
  }

  rules(): string {
    return this.run('nft list ruleset');
  }

  /** Of the Node processes of the service, by user. */
  capabilities(): readonly { readonly user: string; readonly effective: number }[] {
    const lines = this.run(
      `for pid in $(sort -n ${PROCESSES}); do ps -o comm=,user:32= -p $pid && grep CapEff /proc/$pid/status || true; done`,
    );
    return [...lines.matchAll(/^node +(\S+)\nCapEff:\t(\w+)$/gm)]
      .map(([, user = '', effective = '']) => ({ user, effective: Number.parseInt(effective, 16) }))
      .sort((a, b) => (a.user < b.user ? -1 : Number(a.user > b.user)));
  }

  kill(): void {
    process.kill(this.pid, 'SIGKILL');
  }
}

function isSystemd(pid: number): boolean {
  return readFileSync(`/proc/${pid}/comm`, 'utf8').trim() === 'systemd';
}

/**
 * The log says so many times, from start to start, that the release was restored from disk, and nothing of an
 * error.
 */
async function expectRestored(on: Machine, times: number): Promise<void> {
  const log = (): string => on.run(`journalctl --no-pager -o cat -u ${UNIT}`);
  await eventually(async () => log().split('restored the release that was in force').length - 1 === times);
  expect(log()).not.toContain('"level":50');
}

async function block(scene: Scene, publisher: Daemon, blocked: string): Promise<void> {
  const rules = `drop dst4=${blocked}\naccept\n`;
  const { code, stderr } = await rulectl(scene.directory, ['push', '--policy', 'default', '-'], rules);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  await publisher.logged((line) => line['msg'] === 'applied');
}
