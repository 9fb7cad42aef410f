/** `rulectl init`: what it asks, what it writes, and what it leaves alone. */

import { cpSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { temporaryDirectory } from '../../../test/kit/directory.ts';
import { QUBE_MARKER } from '../src/doctor/common.ts';
import type { Machine } from '../src/doctor/finding.ts';
import { thisMachine } from '../src/doctor/machine.ts';
import { answersOf, endpointsOf } from '../src/init/answers.ts';
import { planFile, planWhole, writeFiles } from '../src/init/files.ts';
import { type CliResult, ndjson, rulectl, rulectlAsked, rulectlTyped } from './cli.ts';

const PACKAGED = fileURLToPath(new URL('../../../packaging/publisher.yaml', import.meta.url));
const ADS = ['--where', 'qubes', '--preset', 'ads', '--yes'];
const COUNTRY = '--where qubes --preset country --country ru --qube 10.137.0.7,fd09::a89:7 --yes'.split(' ');
function init(folder: string, args: readonly string[]): Promise<CliResult> {
  return rulectl(['init', '--dir', folder, ...args]);
}

/** All files of a folder, by name. */
function filesOf(folder: string): Readonly<Record<string, string>> {
  return Object.fromEntries(
    readdirSync(folder).map((name) => [name, readFileSync(join(folder, name), 'utf8')]),
  );
}

describe('questions', () => {
  const QUESTIONS =
    'Where is the firewall? qubes: it is a qube; host: it is this host; hosts: it is another host [host]: ';

  it('are asked for what no option says, and again after an answer that is none', async () => {
    const folder = temporaryDirectory();
    const answers = [
      'cubes',
      'qubes',
      '',
      'ads country',
      'Russia',
      'ru',
      '10.137.0',
      '10.137.0.7,fd09::a89:7',
    ];
    const { exit, screen } = await rulectlTyped(['init', '--dir', folder], answers);
    expect([exit, screen.slice(0, screen.indexOf('written'))]).toEqual([
      0,
      `${QUESTIONS}cubes
--where "cubes": write one of qubes, host, hosts: did you mean qubes?
${QUESTIONS}qubes
What are the firewalls called? [sys-firewall]: 
What should the firewall do?
  ads: Ads and trackers are blocked for all qubes, by name
  bad-addresses: Known bad addresses are blocked for all qubes
  country: A country is blocked for one qube
  only-names: One qube reaches some names, and nothing else
One of these, or several [ads]: ads country
Which country? Its code of two letters, as in ru: Russia
--country "Russia": write the code of two letters, as in ru for Russia
Which country? Its code of two letters, as in ru: ru
For which qube, or host? Its address, or its IPv4 and IPv6 addresses, as in 10.137.0.5,fd09::a89:5: 10.137.0
--qube "10.137.0": write its address as in 10.137.0.5, or 10.137.0.5,fd09::a89:5 (qvm-ls --network in dom0 shows it)
For which qube, or host? Its address, or its IPv4 and IPv6 addresses, as in 10.137.0.5,fd09::a89:5: 10.137.0.7,fd09::a89:7
`,
    ]);
    const other = temporaryDirectory();
    await init(other, ['--preset', 'ads', ...COUNTRY]);
    expect(filesOf(folder)).toEqual(filesOf(other));
  });

  it.each([
    ['the end of the input', '\u0004', 64],
    ['Ctrl-C', '\u0003', 254], // SIGINT, as the driver passes it on
  ])('end with %s, and nothing is written', async (_, key, code) => {
    const folder = temporaryDirectory();
    const { exit, screen } = await rulectlTyped(['init', '--dir', folder], ['qubes', key]);
    expect([exit, readdirSync(folder)]).toEqual([code, []]);
    if (code === 64)
      expect(screen).toContain('\nrulectl: no answer, and nothing was written: add --firewall sys-firewall');
  });

  it.each([
    [['--preset', 'country', '--country', 'ru', '--yes'], 'add --qube 10.137.0.5'],
    [['--preset', 'country', '--qube', '10.137.0.5', '--yes'], 'add --country ru'],
    [['--preset', 'only-names', '--qube', '10.137.0.5', '--yes'], 'add --name deb.debian.org'],
    [['--preset', 'all', '--yes'], 'write one of ads, bad-addresses, country, only-names'],
    [['--preset', 'ads', '--qube', '10.137.0.5', '--yes'], 'the chosen presets do not use it'],
    [['--preset', 'country', '--country', 'rus', '--yes'], 'the code of two letters'],
    [['--preset', 'country', '--country', 'ru', '--qube', 'work', '--yes'], 'qvm-ls --network in dom0'],
    [['--where', 'hosts', '--firewall', 'gate', '--yes'], 'add --interface eth1'],
    [
      ['--where', 'hosts', '--firewall', 'gate', '--interface', '"; reboot', '--yes'],
      'write the name of an interface',
    ],
    [['--where', 'hosts', '--yes'], 'add --firewall sys-firewall'],
    [['--where', 'hosts', '--firewall', 'publisher', '--yes'], 'give it another name'],
    [['--where', 'host', '--firewall', 'gate', '--yes'], 'this host is the firewall'],
    [['--interface', 'eth1', '--yes'], 'leave it out'],
    [['--firewall', 'a b', '--yes'], 'write a name as in sys-firewall'],
    [['--preset', 'country'], 'or --yes for sys-firewall'],
  ])('of %j have what to write, and nothing is written', async (args, words) => {
    const folder = temporaryDirectory();
    const where = args.includes('--where') ? [] : ['--where', 'qubes'];
    const { exit, stderr } = await rulectlAsked(['init', '--dir', folder, ...where, ...args], undefined);
    expect([exit, stderr, readdirSync(folder)]).toEqual([64, expect.stringContaining(words), []]);
  });
});

it('a template is refused before anything is asked', async () => {
  const never = (): never => expect.fail('it asks');
  const machine: Machine = {
    ...thisMachine(0),
    state: (path) => (path === QUBE_MARKER ? { kind: 'file', mode: 0o644 } : undefined),
    run: (program) => ({ status: 0, stdout: program === 'qubesdb-read' ? 'TemplateVM\n' : '' }),
  };
  await expect(answersOf({}, new Map(), machine, never)).rejects.toMatchObject({
    code: 'in-template',
    message: expect.stringContaining('run rulectl init in the management qube'),
  });
});

describe('firewalls on other hosts', () => {
  const of = (...addresses: readonly string[]) => ({
    eth0: addresses.map((address) => ({
      address,
      ...({ netmask: '', mac: '', internal: address === '::1', cidr: null } as const),
      ...(address.includes(':') ? ({ family: 'IPv6', scopeid: 0 } as const) : ({ family: 'IPv4' } as const)),
    })),
  });
  const LOCAL = ['::1', 'fe80::1', '169.254.3.4'];
  it.each([
    ['at the first address', ['fd00::1', '10.0.0.2', '10.0.0.3'], [], '10.0.0.2:7701', '10.0.0.2:7701'],
    ['over IPv6 where nothing else is', ['fd00::1'], [], '[fd00::1]:7701', '[fd00::1]:7701'], // it was 192.0.2.1
    ['as configured', ['10.0.0.2'], ['10.0.0.9:77?buffer=8KiB'], '10.0.0.9:77?buffer=8KiB', '10.0.0.9:77'],
    ['at every address, as configured', ['10.0.0.2'], ['0.0.0.0:77'], '0.0.0.0:77', '10.0.0.2:77'],
    ['at every address of IPv6', ['fd00::1'], ['[::]:77'], '[::]:77', '[fd00::1]:77'],
  ])('reach the publisher %s', (_, addresses, configured, listen, connect) => {
    const listens = ['unix:/x', ...configured.map((each) => `zmq+tcp:${each}`)];
    expect(endpointsOf(listens, of(...LOCAL, ...addresses))).toEqual({
      listen: `zmq+tcp:${listen}`,
      connect: `zmq+tcp:${connect}`,
    });
  });

  it('are refused on a host without an address', () => {
    expect(() => endpointsOf(undefined, of(...LOCAL))).toThrow('connect it to their network');
  });
});

describe('files', () => {
  it('are as the publisher takes them, with all presets and several of each', async () => {
    const folder = temporaryDirectory();
    const every = ['ads', 'bad-addresses', 'country', 'only-names'].flatMap((name) => ['--preset', name]);
    const subjects =
      '--country ru --country DE --qube 10.137.0.7 --qube 10.137.0.8,fd09::8 --name .x.example --name *.y.example';
    const { exit, stdout } = await init(folder, [
      ...every,
      ...subjects.split(' '),
      '--where',
      'qubes',
      '--yes',
    ]);
    expect([exit, stdout]).toEqual([
      0,
      expect.stringContaining('what 10.137.0.7 sends over IPv6 is not judged'),
    ]);
    expect(stdout).toContain('getent hosts x.example ');
    const checked = await rulectl(['check', join(folder, 'publisher.yaml')]);
    expect([checked.exit, checked.stdout]).toEqual([0, expect.stringContaining('nothing refused')]);
    expect(filesOf(folder)['rules.yaml']).toContain(`
  qube-10-137-0-8:
    # the qube 10.137.0.8
    prefixes: [10.137.0.8, "fd09::8"]
    default: drop
    egress:
      - drop dst=@country-ru
      - drop dst=@country-de
      - accept specialtarget=dns
      - accept dst=@names-10-137-0-8
    unlisted: nxdomain`);
  });

  it('stay as they are when it is run again, byte for byte and untouched', async () => {
    const folder = temporaryDirectory();
    expect(await init(folder, ADS)).toMatchObject({ exit: 0, stderr: '' });
    const before = [filesOf(folder), statSync(join(folder, 'rules.yaml')).mtimeMs];
    const { exit, stdout } = await init(folder, ADS);
    expect([exit, stdout]).toEqual([0, expect.stringContaining('Nothing was changed')]);
    expect([filesOf(folder), statSync(join(folder, 'rules.yaml')).mtimeMs]).toEqual(before);
  });

  it('have a second preset beside the first, as if both had been asked for at once', async () => {
    const [one, both] = [temporaryDirectory(), temporaryDirectory()];
    await init(one, ADS);
    const { exit, stdout } = await init(one, COUNTRY);
    expect([exit, stdout]).toEqual([0, expect.stringContaining('written: ')]);
    await init(both, ['--preset', 'ads', ...COUNTRY]);
    expect(filesOf(one)).toEqual(filesOf(both));
  });

  it('have the firewalls of the run before where none is named', async () => {
    const folder = temporaryDirectory();
    await init(folder, [...ADS, '--firewall', 'sys-vpn-firewall']);
    await init(folder, COUNTRY);
    expect(filesOf(folder)['publisher.yaml']).toMatch(/sys-vpn-firewall: /);
    expect(filesOf(folder)['publisher.yaml']).not.toMatch(/^ {2}sys-firewall/m);
  });

  it('take the place of what the packages brought', async () => {
    const folder = temporaryDirectory();
    cpSync(PACKAGED, join(folder, 'publisher.yaml'));
    const { exit, stdout } = await init(folder, ADS);
    expect([exit, stdout]).toEqual([
      0,
      expect.stringMatching(/written: .*publisher\.yaml\nwritten: .*rules\.yaml/),
    ]);
  });

  it('are known as its own where another version ended their first line in other words', async () => {
    const folder = temporaryDirectory();
    await init(folder, ADS);
    const path = join(folder, 'rules.yaml');
    writeFileSync(path, readFileSync(path, 'utf8').replace(/ of what follows.*/, ''));
    const { exit, stdout } = await init(folder, COUNTRY);
    expect([exit, stdout]).toEqual([0, expect.stringContaining(`written: ${path}`)]);
  });

  it.each(['publisher.yaml', 'rules.yaml'])(
    'are left alone, all of them, once a person changed %s',
    async (name) => {
      const folder = temporaryDirectory();
      await init(folder, ADS);
      const path = join(folder, name);
      writeFileSync(path, `${readFileSync(path, 'utf8')}# mine\n`);
      const before = filesOf(folder);
      const again = await init(folder, ADS); // it lacks nothing
      expect([again.exit, again.stdout]).toEqual([0, expect.stringContaining('Nothing was changed')]);
      const more = await init(folder, ['--where', 'qubes', '--preset', 'bad-addresses', '--yes']);
      expect([more.exit, more.stdout]).toEqual([2, '']);
      expect(more.stderr).toMatch(/was changed by a person[\s\S]*feodo[\s\S]*# mine/);
      expect(filesOf(folder)).toEqual(before);
    },
  );

  it('are those that the configuration of a person names', async () => {
    const folder = temporaryDirectory();
    await init(folder, ADS);
    const path = join(folder, 'publisher.yaml');
    writeFileSync(path, readFileSync(path, 'utf8').replace('rules: rules.yaml', 'rules: firewall.yaml'));
    const { exit, stdout } = await init(folder, ADS);
    expect([exit, stdout]).toEqual([0, expect.stringContaining(`written: ${folder}/firewall.yaml`)]);
  });

  it('that cannot be read say where, and nothing is written', async () => {
    const folder = temporaryDirectory();
    writeFileSync(join(folder, 'publisher.yaml'), 'state: /x\nlits: {}\n');
    const { exit, stderr } = await init(folder, ADS);
    expect([exit, stderr]).toEqual([
      2,
      expect.stringContaining('publisher.yaml:2:1: "lits" is no key here: did you mean "lists"?'),
    ]);
    expect(readdirSync(folder)).toEqual(['publisher.yaml']);
  });

  it.each([
    ['before the first had its name', []],
    ['between the two', ['rules.yaml']],
  ])('are the same after a run that was interrupted %s', async (_, whole) => {
    const [done, folder] = [temporaryDirectory(), temporaryDirectory()];
    await init(done, ADS);
    for (const name of whole) cpSync(join(done, name), join(folder, name));
    expect((await init(folder, ADS)).exit).toBe(0);
    expect(filesOf(folder)).toEqual(filesOf(done));
  });

  it('all keep their names where one cannot be written, and none is begun', async () => {
    const folder = temporaryDirectory();
    await init(folder, ADS);
    const before = filesOf(folder);
    const plan = (name: string) => planFile(join(folder, name), '', (text) => `${text}more: all\n`);
    writeFileSync(join(folder, 'file'), '');
    const files = [plan('publisher.yaml'), plan('rules.yaml')];
    const blocked = planWhole(join(folder, 'file/gate.key'), 'key', true); // as on a disk that is full
    expect(() => writeFiles([...files, blocked])).toThrow('move away what is in the way');
    expect(filesOf(folder)).toEqual({ ...before, file: '' });
    // Another run was faster: the first key would stand beside the second configuration.
    await init(folder, COUNTRY);
    const faster = filesOf(folder);
    expect(() => writeFiles(files)).toThrow('was changed while this ran, and nothing was written');
    expect(filesOf(folder)).toEqual(faster);
  });

  it('are left alone where a link leads elsewhere', async () => {
    const [other, folder] = [temporaryDirectory(), temporaryDirectory()];
    await init(other, ADS);
    const before = filesOf(other);
    for (const name of ['publisher.yaml', 'rules.yaml']) symlinkSync(join(other, name), join(folder, name));
    expect((await init(folder, ADS)).stdout).toContain('Nothing was changed');
    const { exit, stderr } = await init(folder, COUNTRY);
    expect([exit, stderr]).toEqual([2, expect.stringContaining('or is a link, and is left alone')]);
    rmSync(join(other, 'rules.yaml'));
    expect((await init(folder, ADS)).exit).toBe(2); // of a link to nothing, too
    expect(filesOf(other)).toEqual({ 'publisher.yaml': before['publisher.yaml'] });
  });

  it('of two hosts have the keys of both, made once, and the blocks where they go', async () => {
    const folder = temporaryDirectory();
    const args = ['--where', 'hosts', '--firewall', 'gate', '--interface', 'eth1', '--yes'];
    const { exit, stdout } = await init(folder, args);
    const key = readFileSync(join(folder, 'keys/gate.key'), 'utf8');
    expect([exit, stdout]).toEqual([
      0,
      expect.stringMatching(/# on gate, as root:[\s\S]*# here, as root:[\s\S]*ip link set dev eth1 group 2/),
    ]);
    expect((await init(folder, args)).stdout).toContain('Nothing was changed');
    expect([
      readFileSync(join(folder, 'keys/gate.key'), 'utf8'),
      statSync(join(folder, 'keys')).mode & 0o777,
    ]).toEqual([key, 0o700]);
    expect((await rulectl(['check', join(folder, 'publisher.yaml')])).exit).toBe(0);
    // A new key would be beside a configuration that names the old one, and the firewall shut out.
    rmSync(join(folder, 'keys/gate.key'));
    const { exit: refused, stderr } = await init(folder, args);
    expect([refused, stderr]).toEqual([2, expect.stringContaining('another curve-key of gate')]);
    expect(readdirSync(join(folder, 'keys'))).toEqual(['publisher.key', 'publisher.pub']);
  });

  it('are judged before a key is made', async () => {
    const folder = temporaryDirectory();
    writeFileSync(join(folder, 'publisher.yaml'), 'state: /x\n');
    const args = [
      '--where',
      'hosts',
      '--firewall',
      'gate',
      '--firewall',
      'gate',
      '--interface',
      'eth1',
      '--yes',
    ];
    const { exit, stderr } = await init(folder, args);
    expect([exit, stderr]).toEqual([2, expect.stringContaining('curve-key: ')]);
    expect(readdirSync(folder)).toEqual(['publisher.yaml']);
  });

  it.each([
    ['a key', ['--where', 'hosts', '--firewall', 'gate', '--interface', 'eth1', '--yes']],
    ['a file', ADS],
  ])('say what to do where %s cannot be written', async (_, args) => {
    const file = join(temporaryDirectory(), 'file');
    writeFileSync(file, '');
    const { exit, stderr } = await init(file, args);
    expect([exit, stderr]).toEqual([2, expect.stringContaining('give --dir DIR, a folder of yours')]);
  });

  it('are told to programs', async () => {
    const folder = temporaryDirectory();
    for (const state of ['written', 'unchanged']) {
      const { stdout } = await init(folder, [...ADS, '--json']);
      expect(ndjson(stdout)).toEqual([
        { kind: 'file', path: join(folder, 'publisher.yaml'), state },
        { kind: 'file', path: join(folder, 'rules.yaml'), state },
        {
          kind: 'instructions',
          changed: state === 'written',
          todo: expect.stringContaining('rulecast-dom0'),
          proof: expect.arrayContaining([expect.stringContaining('getent hosts')]),
        },
        { kind: 'end', exit: 0, code: 'ok' },
      ]);
    }
  });
});
