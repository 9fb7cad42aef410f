/**
 * `rulectl init` on a host of its own: user, mount and network namespaces, with an empty /etc and two
 * interfaces, of which one leads to the Internet.
 */

import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { temporaryDirectory } from '../kit/directory.ts';
import { enforcementGap } from './namespaces.ts';

const RULECTL = join(import.meta.dirname, '../../packages/rulectl/bin/rulectl.js');
const NAMESPACES = ['--map-root-user', '--mount', '--net', '--fork', '--kill-child'];

/** Runs lines of shell on the host, whose /etc is kept; `init` there is rulectl's, at nobody's terminal. */
function onHost(etc: string, ...lines: readonly string[]): readonly string[] {
  const script = [
    `mount --bind '${etc}' /etc`,
    'ip link add eth1 type veth peer name wan && ip addr add 192.0.2.2/24 dev wan && ip link set wan up',
    'ip link set eth1 up && ip route add default via 192.0.2.1',
    `init() { setsid -w '${process.execPath}' '${RULECTL}' init --preset ads --yes "$@" 2>&1 || echo "exit $?"; }`,
    ...lines,
  ];
  const options = { encoding: 'utf8', env: { PATH: process.env['PATH'] } } as const;
  const { stdout, stderr, status } = spawnSync(
    'unshare',
    [...NAMESPACES, 'sh', '-ec', script.join('\n')],
    options,
  );
  expect([status, stderr]).toEqual([0, '']);
  return stdout.trim().split('\n');
}

const RULE = 'ACTION=="add", SUBSYSTEM=="net", KERNEL=="eth1", ATTR{netdev_group}="2"';

describe.skipIf(enforcementGap() !== undefined)('init on a host', () => {
  it.each([
    ['', 'no answer, and nothing was written: add --interface eth1'],
    ['--interface eth3', '--interface "eth3": write one of eth1'],
    ['--interface wan', '--interface "wan": write one of eth1'], // all that it judges would be dropped
  ])('with %j refuses, since nothing would be enforced, or too much', (args, words) => {
    const etc = temporaryDirectory();
    expect(onHost(etc, `init ${args}`)).toEqual([expect.stringContaining(words), 'exit 64']);
    expect(readdirSync(etc)).toEqual([]);
  });

  it('refuses where hosts can be behind no interface', () => {
    const etc = temporaryDirectory();
    const shown = onHost(etc, 'ip link del eth1', 'init --interface wan', 'init');
    const refusal = expect.stringContaining('no interface besides the one that leads to the Internet');
    expect(shown).toEqual([refusal, 'exit 2', refusal, 'exit 2']);
    expect(readdirSync(etc)).toEqual([]);
  });

  // Only what is asked of others passes through here.
  it('warns of a resolver on the host where names are to be blocked, but not of one for the host alone', () => {
    const warned = (address: string): boolean =>
      onHost(
        temporaryDirectory(),
        `ip link set lo up; ip addr add 10.9.9.1/24 dev eth1
        python3 -c 'import socket, time; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("${address}", 53)); time.sleep(60)' &
        until ss -Hlnu 'sport = 53' | grep -q .; do sleep 0.1; done
        init --interface eth1; kill $!`,
      ).some((line) => line.startsWith(`warning: something on this host answers DNS at ${address}: `));
    expect(['10.9.9.1', '0.0.0.0', '127.0.0.53'].map(warned)).toEqual([true, true, false]);
  });

  it('puts the interface into the group, has udev do so, and ends with four commands and what proves it', () => {
    const etc = temporaryDirectory();
    const shown = onHost(
      etc,
      'umask 077; init --interface eth1', // as hardened hosts have it
      'ip -json link show eth1 | grep -o \'"group":"[^"]*"\'',
    );
    expect(shown).toEqual([
      'written: /etc/rulecast/publisher.yaml',
      'written: /etc/rulecast/rules.yaml',
      'written: /etc/udev/rules.d/70-rulecast.rules',
      'joined: eth1 is in link group 2 now: hosts behind it are judged',
      '',
      '# here, as root:',
      'systemctl enable --now rulecast-publisher',
      'rulecast-publisher --print-trust > /etc/rulecast/trust',
      'systemctl enable --now rulecast-boot rulecast-subscriber',
      '',
      '# behind the firewall, once rulectl status says that it is enforced, as a proof:',
      expect.stringMatching(/^getent hosts doubleclick\.net; getent hosts ad\.doubleclick\.net +# nothing/),
      expect.stringMatching(/^getent hosts debian\.org +# an address/),
      '"group":"2"',
    ]);
    expect(readFileSync(join(etc, 'udev/rules.d/70-rulecast.rules'), 'utf8').split('\n').slice(1)).toEqual([
      RULE,
      '',
    ]);
    expect(statSync(join(etc, 'rulecast/rules.yaml')).mode & 0o777).toBe(0o644);
    const again = onHost(etc, 'init --interface eth1', 'init --interface eth1', 'init');
    expect(again.filter((line) => /^[a-zN][a-z]+(?::| was)/.test(line)).slice(0, 4)).toEqual([
      'unchanged: /etc/rulecast/publisher.yaml',
      'unchanged: /etc/rulecast/rules.yaml',
      'unchanged: /etc/udev/rules.d/70-rulecast.rules',
      'joined: eth1 is in link group 2 now: hosts behind it are judged', // as after a boot without udev
    ]);
    expect(again.filter((line) => line.startsWith('Nothing was changed'))).toHaveLength(2);
    expect(again.filter((line) => line.startsWith('joined: eth1'))).toHaveLength(1);
  });

  it('tells the subscriber who is behind it where names open something, once', () => {
    const etc = temporaryDirectory();
    const only = 'init --preset only-names --name a.example --interface eth1 --qube';
    const shown = onHost(etc, `${only} 10.137.0.5`, `${only} 10.137.0.6,fd09::6`, `${only} 10.137.0.5`);
    expect(shown).toContain('written: /etc/rulecast/subscriber.env');
    expect(shown.find((line) => line.startsWith('systemctl enable --now rulecast-boot'))).toMatch(
      / restart rulecast-subscriber$/,
    );
    expect(shown.filter((line) => line === 'unchanged: /etc/rulecast/subscriber.env')).toHaveLength(1);
    const settings = readFileSync(join(etc, 'rulecast/subscriber.env'), 'utf8').split('\n').slice(1);
    expect(settings).toEqual([
      'RULECAST_OPTIONS=--source eth1=10.137.0.5 --source eth1=10.137.0.6,fd09::6',
      '',
    ]);
  });

  it('leaves the interface to the person where the files go elsewhere, and says with what', () => {
    const [etc, folder] = [temporaryDirectory(), temporaryDirectory()];
    const shown = onHost(etc, `init --interface eth1 --dir ${folder}`);
    expect(shown.slice(2, 10)).toEqual([
      '',
      '# here, as root:',
      `cp -r ${folder}/{publisher.yaml,rules.yaml} /etc/rulecast/`,
      'ip link set dev eth1 group 2',
      `echo '${RULE}' >> /etc/udev/rules.d/70-rulecast.rules`,
      'systemctl enable --now rulecast-publisher',
      'rulecast-publisher --print-trust > /etc/rulecast/trust',
      'systemctl enable --now rulecast-boot rulecast-subscriber',
    ]);
    expect(readdirSync(etc)).toEqual([]);
  });

  it('in a qube that dom0 has not named says so, since nothing would be kept there', () => {
    const etc = temporaryDirectory();
    const qube =
      'mount -t tmpfs none /usr/share && mkdir /usr/share/qubes && touch /usr/share/qubes/marker-vm';
    const shown = onHost(etc, qube, 'init --firewall sys-firewall').join('\n');
    expect(shown).toMatch(/nothing was written[\s\S]*\nsh rulecast-dom0 [\w-]+ sys-firewall\n[\s\S]*exit 2$/);
    expect(readdirSync(etc)).toEqual([]);
    const service =
      'mount -t tmpfs none /var/run/ && mkdir /var/run/qubes-service && touch /var/run/qubes-service/rulecast-publisher';
    expect(onHost(etc, qube, service, 'init').slice(0, 2)).toEqual([
      'written: /etc/rulecast/publisher.yaml',
      'written: /etc/rulecast/rules.yaml',
    ]);
    expect(readFileSync(join(etc, 'rulecast/publisher.yaml'), 'utf8')).toContain(
      'sys-firewall: {qube: sys-firewall}',
    );
  });
});
