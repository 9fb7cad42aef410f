/**
 * The firewall side under systemd, as packaging/systemd says: installed, started, killed, started again
 * without a publisher, stopped.
 */

import { chmodSync, chownSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { blockText } from '../docs/blocks.ts';
import { eventually } from '../enforce/enforcer.ts';
import { type Daemon, rulectl } from '../processes.mjs';
import { Machine, systemdGap } from './machine.ts';
import { Scene, within } from './scene.ts';

const UNIT = 'rulecast-subscriber';
const PROCESSES = `/sys/fs/cgroup/system.slice/${UNIT}.service/cgroup.procs`;
const CONNECT_MS = 20_000;
/**
 * As packaging/systemd/README.md says, with the settings of its block; the command where a package would put
 * it; and in place of that of Qubes a `qrexec-client-vm` that leads to the publisher of the scene.
 */
const INSTALL = `
  cd /opt/rulecast/packaging/systemd
  install -D -m 644 -t /usr/lib/systemd/system rulecast-boot.service rulecast-subscriber.service rulecast-dns.service \
    rulecast-dns-names.socket rulecast-dns.socket rulecast-dns-net.service
  install -D -m 644 -t /usr/lib/rulecast-firewall boot-closed.nft
  install -D -m 644 firewall.sysusers /usr/lib/sysusers.d/rulecast-firewall.conf
  install -D -m 644 firewall.tmpfiles /usr/lib/tmpfiles.d/rulecast-firewall.conf
  for unit in boot.service subscriber.service dns.service dns-names.socket dns.socket dns-net.service; do
    install -D -m 644 -t /usr/lib/systemd/system/rulecast-$unit.d ../qubes/firewall/30_qubes.conf
  done
  install -D -m 644 -t /usr/lib/systemd/system/rulecast-subscriber.service.d ../qubes/firewall/40_qubesdb.conf
  ln -s /opt/rulecast/packages/subscriber/bin/rulecast-subscriber.js /usr/sbin/rulecast-subscriber
  ln -s /opt/rulecast/packages/dns/bin/rulecast-dns.js /usr/sbin/rulecast-dns
  ln -s /opt/rulecast/packages/dns/bin/rulecast-dns-net.js /usr/sbin/rulecast-dns-net
  install -D -m 644 /srv/trust /etc/rulecast/trust
  cat > /etc/rulecast/subscriber.env <<'END'
${blockText('packaging/systemd/README.md#The firewall side under systemd')}END
  cat > /usr/bin/qrexec-client-vm <<'END'
#!/bin/sh
[ "$*" = 'mgmt rulecast.Subscribe' ] && exec node /opt/rulecast/test/bridge.mjs unix:/srv/subscribers.sock
END
  chmod 755 /usr/bin/qrexec-client-vm
  systemd-sysusers rulecast-firewall.conf
  systemd-tmpfiles --create rulecast-firewall.conf
  systemctl daemon-reload
`;

/** A qube behind an interface of group 2, and two hosts of the Internet. */
const WAY_OUT = `
  mkdir -p /run/netns && ip netns add qube && ip netns add world
  ip link add vif1 group 2 type veth peer name eth0 netns qube
  ip link add out type veth peer name eth0 netns world
  ip addr add 10.9.9.1/24 dev vif1 && ip link set vif1 up
  ip addr add 203.0.113.254/24 dev out && ip link set out up
  ip -n qube addr add 10.9.9.9/24 dev eth0 && ip -n qube link set eth0 up && ip -n qube route add default via 10.9.9.1
  for last in 1 2; do ip -n world addr add 203.0.113.$last/24 dev eth0; done
  ip -n world link set eth0 up && ip -n world route add default via 203.0.113.254
  echo 1 > /proc/sys/net/ipv4/ip_forward`;

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
    await connected(machine, publisher);
    await block(scene, publisher, '203.0.113.1');
    expect(machine.rules()).toContain('203.0.113.1');
    const started = machine;
    await eventually(async () => capabilities(started).length === 4); // the applier is started last
    expect(capabilities(machine)).toEqual([
      { user: 'rulecast', effective: 0 },
      { user: 'rulecast', effective: 0 }, // the channel: what qrexec-client-vm is here
      { user: 'rulecast-applier', effective: 1 << 12 }, // who starts appliers
      { user: 'rulecast-applier', effective: 1 << 12 },
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
      install -d -m 700 -o rulecast -g rulecast /var/lib/rulecast/subscriber/other
      sed -i 's|$| --trust /etc/rulecast/other --state /var/lib/rulecast/subscriber/other --user rulecast --applier-user nobody --enforce|' \\
        /etc/rulecast/subscriber.env
      systemctl enable --now ${UNIT}`);
    await connected(machine, publisher);
    await block(scene, publisher, '203.0.113.1');
    expect(machine.rules()).toContain('203.0.113.1');
    expect(capabilities(machine).map(({ user }) => user)).toContain('nobody');
    expect(machine.run('ls /var/lib/rulecast/subscriber/other')).not.toBe('');
  });

  it('are ready when they enforce, reach Xen and little else, and are started again when they hang', async () => {
    const scene = new Scene();
    const publisher = await scene.publisher();
    const booted = await installed(scene);
    machine = booted;
    const shown = (name: string): string => booted.run(`systemctl show -p ${name} --value ${UNIT}`).trim();
    // What qrexec-client-vm opens first: in place of Xen's a device that is there, for the group alone.
    booted.run(`mkdir /dev/xen && mknod -m 660 /dev/xen/evtchn c 1 3 && chgrp qubes /dev/xen/evtchn
      sed -i '2i : <> /dev/xen/evtchn || exit 1' /usr/bin/qrexec-client-vm
      mkdir -p /run/systemd/system/${UNIT}.service.d
      printf '[Service]\nWatchdogSec=4\n' > /run/systemd/system/${UNIT}.service.d/soon.conf
      systemctl daemon-reload
      systemctl start ${UNIT}`);
    expect(booted.rules()).toContain('rulecast'); // at once
    expect([shown('ActiveState'), shown('NRestarts')]).toEqual(['active', '0']);
    await connected(booted, publisher);
    await block(scene, publisher, '203.0.113.1');
    booted.run(`systemd-analyze security --no-pager --threshold=30 ${UNIT}`);

    const hung = shown('MainPID');
    booted.run(`kill -STOP ${hung}`);
    await eventually(async () => shown('NRestarts') === '1' && shown('ActiveState') === 'active');
    expect(shown('MainPID')).not.toBe(hung);
    expect(booted.rules()).toContain('203.0.113.1');
  });

  // It was started again without rights, as often as it ended, and a flush then opened for good.
  it('are started anew when whoever starts appliers ends, and let nothing forbidden pass meanwhile', async () => {
    const scene = new Scene();
    const publisher = await scene.publisher();
    const booted = await installed(scene);
    machine = booted;
    const shown = (name: string): string => booted.run(`systemctl show -p ${name} --value ${UNIT}`).trim();
    booted.run(`${WAY_OUT}; systemctl start ${UNIT}`);
    await connected(booted, publisher);
    await block(scene, publisher, '203.0.113.1');
    const pings = `ip netns exec qube ping -n -q -i 0.01 -w 40`;
    booted.run(`for to in 1 2; do ${pings} 203.0.113.$to > /run/pinged.$to 2>&1 & done`);
    booted.run(`pkill -9 -P ${shown('MainPID')} -u rulecast-applier`); // its only child of that user
    await eventually(async () => shown('NRestarts') === '1' && shown('ActiveState') === 'active');
    const warnings = booted.run(`journalctl --no-pager -o cat -p warning -u ${UNIT}`);
    expect(warnings).toContain('start this service anew'); // and what is no warning is not there
    expect(warnings).not.toContain('"level":30');
    await block(scene, publisher, '203.0.113.3');
    await block(scene, publisher, '203.0.113.1');
    booted.run('nft flush ruleset');
    await eventually(async () => booted.rules().includes('203.0.113.1'));
    while (booted.attempt('pgrep -x ping').status === 0) await sleep(500);
    expect(booted.run('cat /run/pinged.1')).toMatch(/ 0 received/);
    expect(Number(/(\d+) received/.exec(booted.run('cat /run/pinged.2'))?.[1])).toBeGreaterThan(1_000);
  });

  it('block and open names, by a process that may no more than have port 53', async () => {
    const scene = new Scene();
    const publisher = await scene.publisher();
    const booted = await installed(scene);
    machine = booted;
    booted.run(`sed -i 's|$| --source vif1=10.9.9.9|' /etc/rulecast/subscriber.env
      ${WAY_OUT}
      systemctl start ${UNIT}`);
    await connected(booted, publisher);
    const seen = (): string =>
      booted.attempt(`set +e; pgrep -a -u rulecast-dns; ip -br link | grep rulecast; ls /run/netns | grep rulecast
        systemctl list-units --plain --no-legend --state=active,activating 'rulecast-dns*' | cut -d' ' -f1`)
        .stdout;
    expect(seen()).toBe('rulecast-dns-names.socket\n');
    // A stranger neither starts it nor tells it anything.
    const stranger = `setpriv --reuid=65534 --regid=65534 --clear-groups python3 -c '
import socket; socket.socket(socket.AF_UNIX).connect("/run/rulecast-dns/names.sock")'`;
    expect(booted.attempt(stranger).stderr).toContain('PermissionError');
    expect(seen()).toBe('rulecast-dns-names.socket\n');
    const names = {
      lists: {
        ads: { names: ['.ads.example'], resolve: 'firewall' },
        updates: { names: ['.deb.example'], resolve: 'firewall' },
      },
      common: { egress: ['drop dst=@ads'] },
      unmatched: 'accept',
      policies: {
        one: { prefixes: ['10.9.9.9'], egress: ['accept specialtarget=dns', 'accept dst=@updates'] },
      },
    };
    const push = async (document: object, required = ['--require', 'sys-firewall']): Promise<void> => {
      const args = ['push', ...required, '--yes', '--replace-all', '--permit', 'accept-all,no-policy', '-'];
      const { code, stdout, stderr } = await rulectl(scene.directory, args, JSON.stringify(document));
      const applied = required.length > 0 ? [0, expect.stringContaining('applied')] : [5, expect.anything()];
      expect([code, `${stdout}${stderr}`]).toEqual(applied);
    };
    // The qube asks the resolver that Qubes gives it, and nobody said anything of names.
    const question = 'ip netns exec qube dig +noall +comments +tries=1 +time=2 @10.139.1.1 x.ads.example';
    await push(names);
    expect(booted.run(question)).toContain('NXDOMAIN');
    booted.run('systemd-analyze security --no-pager --threshold=30 rulecast-dns');
    const pid = booted.run('systemctl show -p MainPID --value rulecast-dns').trim();
    expect(booted.run(`sed -n 's/^CapEff:.//p' /proc/${pid}/status`).trim()).toBe('0000000000000400');
    expect(booted.run('stat -c "%U %G %a" /run/rulecast-dns /run/rulecast-dns/names.sock')).toBe(
      'root rulecast-dns 750\nroot rulecast-dns 660\n',
    );
    expect(booted.run('stat -c "%U %G %a" /run/rulecast-openings /run/rulecast-openings/openings.sock')).toBe(
      'rulecast-applier rulecast-applier 750\nrulecast-applier rulecast-applier 660\n',
    );
    expect(booted.run('ss -xH state connected')).toContain('/run/rulecast-openings/openings.sock');
    booted.run(`kill -9 ${pid}`);
    await eventually(async () => booted.attempt(question).stdout.includes('NXDOMAIN')); // told anew
    // Nothing more has names for it: all of it goes, and it comes again with the next one that has.
    await push({ unmatched: 'accept' });
    await eventually(async () => seen() === 'rulecast-dns-names.socket\n');
    expect(booted.run('systemctl show -p Result -p ActiveState rulecast-dns')).toBe(
      'Result=success\nActiveState=inactive\n',
    );
    expect(booted.run('ip rule; ip -6 rule')).not.toContain('0x530000');
    await push(names);
    expect(booted.run(question)).toContain('NXDOMAIN');
    // A subscriber that starts again finds it; one that comes without names relieves it.
    booted.run(`systemctl restart ${UNIT}`);
    await connected(booted, publisher);
    expect(booted.run(question)).toContain('NXDOMAIN');
    booted.run(`systemctl stop ${UNIT} && rm -r /var/lib/rulecast/subscriber/*`);
    expect(booted.run('systemctl is-active rulecast-dns')).toBe('active\n');
    await push({ unmatched: 'accept' }, []);
    booted.run(`systemctl start ${UNIT}`);
    await eventually(async () => seen() === 'rulecast-dns-names.socket\n');
  });

  it('lose no release that comes while rulecast-dns ends, and have no captured question go elsewhere', async () => {
    const scene = new Scene();
    const publisher = await scene.publisher();
    const booted = await installed(scene);
    machine = booted;
    booted.run(`${WAY_OUT}
      ip route add default via 203.0.113.1
      ip netns exec world nft -f - <<'END'
table inet seen {
  counter asked {}
  chain coming {
    type filter hook prerouting priority 0
    ip saddr 10.9.9.9 udp dport 53 counter name asked
  }
}
END
      systemctl start ${UNIT}`);
    await connected(booted, publisher);
    const names = {
      lists: { ads: { names: ['.ads.example'], resolve: 'firewall' } },
      first: { egress: ['drop dst=@ads'] },
      unmatched: 'accept',
    };
    const push = async (document: object, ...options: readonly string[]): Promise<void> => {
      const args = ['push', ...options, '--yes', '--replace-all', '--permit', 'accept-all,no-policy', '-'];
      const { code, stderr } = await rulectl(scene.directory, args, JSON.stringify(document));
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    };
    const ask = 'ip netns exec qube dig +tries=1 +time=1 @10.139.1.1 x.ads.example';
    const elsewhere = 'ip netns exec world nft list counter inet seen asked';
    await push({ unmatched: 'accept' }, '--require', 'sys-firewall');
    booted.attempt(ask);
    expect(booted.run(elsewhere)).toMatch(/packets [1-9]/);
    const isCaptured = 'nft list table inet rulecast_dns >/dev/null 2>&1';
    const signal = (name: string): string => `systemctl kill --signal ${name} --kill-whom main ${UNIT}`;
    for (const isEnding of [
      '[ "$(journalctl -o cat -u rulecast-dns | grep -c "no release needs names")" = 1 ]',
      '[ "$(systemctl is-active rulecast-dns)" = inactive ]',
    ]) {
      await push(names, '--require', 'sys-firewall');
      await push({ unmatched: 'accept' }, '--require', 'sys-firewall');
      booted.run(`while ${isCaptured}; do sleep 0.1; done
        ${signal('STOP')}`);
      await push(names, '--wait', 'released');
      booted.run(`until ${isEnding}; do sleep 0.01; done
        ${signal('CONT')}
        until ${isCaptured}; do sleep 0.01; done
        before=$(${elsewhere})
        until ${ask} | grep -q NXDOMAIN; do :; done
        [ "$before" = "$(${elsewhere})" ]`);
    }
  });

  it('answer names at the addresses of a router, and say who has their port', async () => {
    const scene = new Scene();
    const publisher = await scene.publisher();
    const booted = await installed(scene);
    machine = booted;
    booted.run(`echo RULECAST_NAMES=router >> /etc/rulecast/subscriber.env
      ${WAY_OUT}
      systemd-run --unit taker python3 -c '
import socket, time
taken = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
taken.bind(("10.9.9.1", 53))
time.sleep(1000)'
      systemctl start ${UNIT}`);
    await connected(booted, publisher);
    const names = {
      lists: { ads: { names: ['.ads.example'], resolve: 'firewall' } },
      common: { egress: ['drop dst=@ads'] },
      policies: { one: { prefixes: ['10.9.9.9'], default: 'accept' } },
      unmatched: 'accept',
    };
    const args = ['push', '--require', 'sys-firewall', '--yes', '--permit', 'accept-all', '-'];
    const pushed = await rulectl(scene.directory, args, JSON.stringify(names));
    expect(pushed.stdout + pushed.stderr).toContain(
      'port 53 of 10.9.9.1 is taken by a process of the user root',
    );
    booted.run('systemctl stop taker');
    const status = async (): Promise<string> => (await rulectl(scene.directory, ['status'])).stdout;
    await eventually(async () => !(await status()).includes('taken'));
    const ask = (name: string): string =>
      booted.run(`ip netns exec qube dig +noall +comments +tries=1 +time=5 @10.9.9.1 ${name}`);
    expect(ask('x.ads.example')).toContain('NXDOMAIN');
    expect(booted.run('ss -Hlnu sport = 53')).not.toContain('203.0.113'); // to the Internet it answers nothing
  });

  it('have DNS asked in a network namespace of its own, also by the words of before', async () => {
    const scene = new Scene();
    const publisher = await scene.publisher();
    const booted = await installed(scene);
    machine = booted;
    booted.run(`mkdir -p /run/netns && echo RULECAST_OPTIONS=--upstream 9.9.9.9 > /etc/rulecast/dns.env
      sed -i 's|$| --names /run/rulecast-dns/names.sock --openings /run/rulecast-openings/openings.sock --dns-mode own|' /etc/rulecast/subscriber.env
      systemctl start rulecast-dns ${UNIT}`);
    await connected(booted, publisher);
    // It is outside, and its sockets inside: whatever is asked there, of any address, is answered.
    expect(booted.run('ss -Hlntu sport = 53')).toBe('');
    const routed = 'ip route replace 10.139.1.1 dev rulecast-dns via 169.254.53.2';
    for (const server of ['169.254.53.2', '10.139.1.1'])
      for (const way of ['+notcp', '+tcp'])
        expect(booted.run(`${routed}; dig ${way} +noall +comments +tries=1 @${server} x.example`)).toContain(
          'SERVFAIL',
        );
    // By what may be without a mount namespace of its own, in which nobody else would see what it makes.
    booted.run('systemd-analyze security --no-pager --threshold=34 rulecast-dns-net');
    booted.run('systemctl restart rulecast-dns-net');
    // The socket may be ready a moment later; until then clients are refused.
    const asked = `${routed}; dig +noall +comments +tries=1 @10.139.1.1 x.example`;
    await eventually(async () => booted.attempt(asked).stdout.includes('SERVFAIL'));
    booted.run(`systemctl stop ${UNIT} rulecast-dns-net`);
    expect(booted.run('ip rule; ip -6 rule; ls /run/netns; ip -br link')).not.toMatch(
      /0x530000|rulecast-dns/,
    );
  });

  it('start in a qube only where dom0 says so', async () => {
    const scene = new Scene();
    await scene.publisher();
    const booted = await installed(scene);
    machine = booted;
    const states = (): string => booted.attempt(`systemctl is-active rulecast-boot ${UNIT}`).stdout;
    booted.run(`mkdir -p /usr/share/qubes && touch /usr/share/qubes/marker-vm
      systemctl start rulecast-boot ${UNIT}`);
    expect(states()).toBe('inactive\ninactive\n');
    booted.run(`mkdir -p /run/qubes-service && touch /run/qubes-service/rulecast
      systemctl start rulecast-boot ${UNIT}`);
    expect(states()).toBe('active\nactive\n');
  });

  it('read trust line and endpoint from QubesDB where no file has them, and keep its first answers', async () => {
    const scene = new Scene();
    const publisher = await scene.publisher();
    const booted = await installed(scene);
    machine = booted;
    const logs = (text: string): Promise<void> =>
      eventually(async () => booted.run(`journalctl --no-pager -o cat -u ${UNIT}`).includes(text));
    booted.run(`rm -r /etc/rulecast
      printf '#!/bin/sh\nexec cat /run/qubesdb$1\n' > /usr/bin/qubesdb-read
      chmod 755 /usr/bin/qubesdb-read
      mkdir -p /run/qubesdb/vm-config
      systemctl start --no-block ${UNIT}`);
    await logs('QubesDB has no /vm-config/rulecast-connect: in dom0, rulecast-dom0 MGMT QUBE');
    booted.run(`cd /run/qubesdb/vm-config
      cp /srv/trust rulecast-trust
      echo 'exec:qrexec-client-vm?arg=mgmt&arg=rulecast.Subscribe' > rulecast-connect`);
    await connected(booted, publisher);
    expect(booted.run('stat -c "%U %a" /run/rulecast-first')).toBe('root 700\n');
    booted.run(`for key in trust connect; do echo other > /run/qubesdb/vm-config/rulecast-$key; done
      systemctl restart ${UNIT}`);
    await connected(booted, publisher);
    await logs('QubesDB has another /vm-config/rulecast-connect than when this qube started');
    await logs('QubesDB has another /vm-config/rulecast-trust than when this qube started');
  });

  it('stay failed after a usage error, and start again when the file of --dns is there', async () => {
    const scene = new Scene();
    const publisher = await scene.publisher();
    const booted = await installed(scene);
    machine = booted;
    const shown = (name: string): string => booted.run(`systemctl show -p ${name} --value ${UNIT}`).trim();
    booted.run(`cp /etc/rulecast/subscriber.env /srv/right.env
      echo 'RULECAST_OPTIONS=--name a --name b' > /etc/rulecast/subscriber.env
      systemctl start --no-block ${UNIT}`);
    await eventually(async () => shown('ActiveState') === 'failed');
    expect([shown('ExecMainStatus'), shown('NRestarts')]).toEqual(['64', '0']);

    booted.run(`sed 's|$| --dns /run/late.conf|' /srv/right.env > /etc/rulecast/subscriber.env
      systemctl start --no-block ${UNIT}`);
    await eventually(async () => Number(shown('NRestarts')) > 1);
    booted.run('echo nameserver 192.0.2.53 > /run/late.conf');
    await connected(booted, publisher);
  });

  it('are not needed: the command of docs/explain/enforcement.md enforces as well', async () => {
    const scene = new Scene();
    const publisher = await scene.publisher();
    machine = await installed(scene);
    machine.run(`
      mkdir /run/rulecast
      ln -s /srv/subscribers.sock /run/rulecast/subscribers.sock
      cp /srv/trust publisher.trust
      cat > enforce.sh <<'END'
${blockText('docs/explain/enforcement.md#What is needed')}END
      sh enforce.sh >enforce.log 2>&1 &
    `);
    await connected(machine, publisher);
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

/** Resolves when the service has reached its publisher; else rejects with what it said. */
async function connected(on: Machine, publisher: Daemon): Promise<void> {
  const heard = publisher.logged((line) => line['msg'] === 'subscriber connected');
  try {
    await within(heard, CONNECT_MS, 'the service to connect');
  } catch (cause) {
    const { stdout } = on.attempt(`journalctl --no-pager -o cat -n 20 -u ${UNIT}`);
    throw new Error(stdout, { cause });
  }
}

/** Capabilities of the service's Node processes, by user. */
function capabilities(on: Machine): readonly { readonly user: string; readonly effective: number }[] {
  const lines = on.run(
    `for pid in $(sort -n ${PROCESSES}); do ps -o comm=,user:32= -p $pid && grep CapEff /proc/$pid/status || true; done`,
  );
  return [...lines.matchAll(/^node +(\S+)\nCapEff:\t(\w+)$/gm)]
    .map(([, user = '', effective = '']) => ({ user, effective: Number.parseInt(effective, 16) }))
    .sort((a, b) => (a.user < b.user ? -1 : Number(a.user > b.user)));
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
