/** Command line over configuration over defaults. */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseConfig } from '@rulecast/formats';
import { openCurveKeyPair } from '@rulecast/vchan';
import { describe, expect, it } from 'vitest';
import { temporaryDirectory } from '../../../test/kit/directory.ts';
import { readConfigFile } from '../src/daemon/config-file.ts';
import { type Flags, settingsOf } from '../src/daemon/settings.ts';
import { prefixes } from './fresh-publisher.ts';

const NO_FLAGS: Flags = {
  state: undefined,
  listen: undefined,
  control: undefined,
  signer: undefined,
  name: undefined,
  dnsServer: undefined,
  privateZone: [],
  resolve: [],
  curveKey: undefined,
  curvePeer: undefined,
  curveControlPeer: undefined,
};
const DEFAULTS = {
  state: '/var/lib/rulecast/publisher',
  subscribers: 'unix:/run/default/s.sock',
  control: 'unix:/run/default/c.sock',
};

function settings(text: string, flags: Partial<Flags> = {}, file = '/etc/rulecast/publisher.yaml') {
  const { config } = parseConfig(file, Buffer.from(text));
  if (config === undefined) throw new Error('the configuration is refused');
  return settingsOf({ ...NO_FLAGS, ...flags }, config, file, DEFAULTS);
}

describe('reports', () => {
  it.each([
    ['unix:/run/r.sock?group=www', { kind: 'unix', path: '/run/r.sock', group: 'www' }],
    ['unix:/run/r.sock', { kind: 'unix', path: '/run/r.sock' }],
  ])('come to a Unix socket: %s', (text, endpoint) => {
    const found = settings(`fleet: { reports: "${text}", secret: s }`).fleet;
    expect(found).toMatchObject({ reports: endpoint, secret: '/etc/rulecast/s', everyMs: 300_000 });
  });

  it.each([
    ['zmq+tcp:192.0.2.7:7701', 'reports: write unix:PATH'],
    ['memory:x', 'reports: write unix:PATH'],
    ['/run/r.sock', '/run/r.sock'],
  ])('come to nothing else: %s', (text, reason) => {
    expect(() => settings(`fleet: { reports: "${text}", secret: s }`)).toThrow(
      new RegExp(`^/etc/rulecast/publisher.yaml:1:20: .*${reason}`),
    );
  });
});

describe('settingsOf', () => {
  it('without anything is the defaults', () => {
    const found = settingsOf(NO_FLAGS, undefined, undefined, DEFAULTS);
    expect(found).toMatchObject({
      stateDirectory: '/var/lib/rulecast/publisher',
      identityFile: '/var/lib/rulecast/publisher/identity',
      name: 'publisher',
      listenTexts: ['unix:/run/default/s.sock'],
      controlTexts: ['unix:/run/default/c.sock'],
      curve: undefined,
      dnsServers: undefined,
    });
    expect(found.fixedNames.size).toBe(0);
  });

  const TEXT = `name: office
state: /srv/state
listen: [unix:/a.sock, "zmq+tcp:192.0.2.7:7701", "zmq+tcp:0.0.0.0:7702"]
control: unix:/b.sock
dns: { servers: 192.0.2.53, max-age: 2h, private-zones: Corp.Example., fixed: { a.example: 192.0.2.1, b.example: [192.0.2.2, "2001:db8::1"] } }`;

  it('takes what the configuration says', () => {
    const found = settings(TEXT);
    expect(found).toMatchObject({
      name: 'office',
      identityFile: '/srv/state/identity',
      dnsServers: ['192.0.2.53'],
      privateZones: ['corp.example'],
    });
    expect(found.listen.map(({ kind }) => kind)).toEqual(['unix', 'zmq+tcp', 'zmq+tcp']);
    expect(found.fixedNames.get('b.example')).toEqual(prefixes('192.0.2.2', '2001:db8::1'));
    expect(found.peers).toEqual(prefixes('192.0.2.7'));
  });

  describe('bindings', () => {
    const LISTEN = 'listen: [unix:/a.sock, qrexec:/q.sock]\ncontrol: unix:/b.sock\n';

    it('have the ids of groups, and paths from the folder of the file', () => {
      const bound = 'subscribers: { fw: { qube: sys-fw, socket: { path: fw.sock, group: root } } }';
      expect(settings(`${LISTEN}${bound}`).bindings.all).toEqual([
        {
          name: 'fw',
          curveKey: undefined,
          qube: 'sys-fw',
          socket: { path: '/etc/rulecast/fw.sock', mode: 0o660, group: 0 },
        },
      ]);
    });

    it('of keys are admitted', () => {
      const file = join(temporaryDirectory(), 'publisher.key');
      const { publicKey } = openCurveKeyPair(file);
      const text = `listen: zmq+ipc:/z.sock\ncurve: { secret: ${file} }\nsubscribers: { fw: { curve-key: "${publicKey}" } }`;
      expect(settings(text).curve?.clientKeys).toEqual([publicKey]);
    });

    it.each([
      [
        `subscribers: { fw: { socket: { path: x, group: no-such-group } } }`,
        '3:48: group: there is no group',
      ],
      ['subscribers: { fw: { socket: /a.sock } }', '3:30: socket: /a.sock is an endpoint for all'],
      ['subscribers: { fw: { socket: /b.sock } }', '3:30: socket: /b.sock is an endpoint for all'],
      ['subscribers: { fw: { socket: /q.sock } }', '3:30: socket: /q.sock is an endpoint for all'],
      [`subscribers: { fw: { socket: /${'x'.repeat(107)} } }`, '3:30: socket path'],
      [`subscribers: { fw: { curve-key: "${'#'.repeat(40)}" } }`, '3:34: curve-key: this is no key'],
      [`subscribers: { fw: { curve-key: "${'k'.repeat(40)}" } }`, '3:34: curve-key: goes with curve:'],
    ])('that cannot come about are refused with their place: %s', (text, reason) => {
      expect(() => settings(`${LISTEN}${text}`)).toThrow(`/etc/rulecast/publisher.yaml:${reason}`);
    });

    it.each([
      ['operators: { a: { role: push, socket: /b.sock } }', '3:39: socket: /b.sock is an endpoint for all'],
      [
        'subscribers: { fw: { socket: /x } }\noperators: { a: { role: push, socket: /x } }',
        '4:39: socket: /x is bound to fw',
      ],
      [
        'operators: { a: { role: push, qube: q } }',
        '3:37: qube: goes with qrexec:PATH, where qrexec connects to, in control:',
      ],
      [
        `operators: { a: { role: push, curve-key: "${'k'.repeat(40)}" } }`,
        '3:43: curve-key: goes with curve:',
      ],
    ])('of operators that cannot come about are refused with their place: %s', (text, reason) => {
      expect(() => settings(`${LISTEN}${text}`)).toThrow(`/etc/rulecast/publisher.yaml:${reason}`);
    });

    it('of operators have roles, and keys that are admitted where rulectl connects', () => {
      const file = join(temporaryDirectory(), 'publisher.key');
      const { publicKey } = openCurveKeyPair(file);
      const text = `control: [qrexec:/c.sock, "zmq+ipc:/z.sock"]
curve: { secret: ${file} }
operators: { a: { role: status, qube: q }, b: { role: admin, curve-key: "${publicKey}" } }`;
      const found = settings(text);
      expect(found.operators.all.map(({ name, role, qube }) => [name, role, qube])).toEqual([
        ['a', 'status', 'q'],
        ['b', 'admin', undefined],
      ]);
      expect(found.controlCurve?.clientKeys).toEqual([publicKey]);
      expect(found.curve).toBeUndefined();
    });

    it('of qubes need where qrexec connects to', () => {
      expect(() => settings('subscribers: { fw: { qube: q } }')).toThrow(
        ':1:28: qube: goes with qrexec:PATH',
      );
    });
  });

  it('takes the command line over it', () => {
    const flags = {
      state: '/x',
      listen: ['unix:/l.sock'],
      control: ['unix:/c.sock'],
      name: 'n',
      dnsServer: ['192.0.2.54'],
      privateZone: ['lab.example'],
    };
    const found = settings(TEXT, { ...flags, resolve: ['a.example=192.0.2.9,192.0.2.10'] });
    expect(found).toMatchObject({
      stateDirectory: '/x',
      identityFile: '/x/identity',
      name: 'n',
      listenTexts: ['unix:/l.sock'],
      controlTexts: ['unix:/c.sock'],
      dnsServers: ['192.0.2.54'],
      privateZones: ['corp.example', 'lab.example'],
    });
    expect(() => settings(TEXT, { privateZone: ['a b'] })).toThrow(
      '--private-zone a b: write the name of a zone',
    );
    expect(found.fixedNames.get('a.example')).toEqual(prefixes('192.0.2.9', '192.0.2.10'));
    expect(found.fixedNames.get('b.example')).toEqual(prefixes('192.0.2.2', '2001:db8::1'));
  });

  it('says where an endpoint stands that is none', () => {
    expect(() => settings('listen:\n  - unix:relative')).toThrow(/^\/etc\/rulecast\/publisher\.yaml:2:5: /);
    expect(() => settings('', { control: ['nothing'] })).toThrow(/known forms/);
  });

  it.each([
    [['x'], '"" is no address'],
    [['a b=192.0.2.1'], '"a b" is no host name'],
    [['a.example=192.0.2.300'], '"192.0.2.300" is no address'],
  ])('refuses --resolve %j', (resolve, words) => {
    expect(() => settings('', { resolve })).toThrow(words);
  });

  it('reads the keys of both kinds of endpoint from files beside the configuration', () => {
    const directory = temporaryDirectory();
    const own = openCurveKeyPair(join(directory, 'own.key'));
    const [one, two, admin] = ['1.key', '2.key', '3.key'].map(
      (name) => openCurveKeyPair(join(directory, name)).publicKey,
    );
    writeFileSync(join(directory, 'clients'), `${one}  sys-firewall\n${two}\n`);
    writeFileSync(join(directory, 'admin.pub'), `${admin}\n`);
    const file = join(directory, 'p.yaml');
    const found = settings(
      'curve: { secret: own.key, clients: clients, control-clients: admin.pub }',
      {},
      file,
    );
    expect(found.curve).toEqual({ secretKey: own.secretKey, clientKeys: [one, two] });
    expect(found.controlCurve).toEqual({ secretKey: own.secretKey, clientKeys: [admin] });
    expect(settings('curve: { secret: own.key }', {}, file)).toMatchObject({
      curve: undefined,
      controlCurve: undefined,
    });
    expect(() => settings('curve: { secret: own.key, clients: none }', {}, file)).toThrow('none');
  });
});

describe('readConfigFile', () => {
  it('tells a file that cannot be read as a fault of it', async () => {
    expect(readConfigFile('/nowhere/x.yaml')).toMatchObject({
      kind: 'refused',
      rejects: [{ line: 1, column: 1, code: 'unreadable-file' }],
      rejectCount: 1,
    });
  });

  it('tells the faults of the text, and reads a sound one', async () => {
    const file = join(temporaryDirectory(), 'p.yaml');
    writeFileSync(file, 'nme: x\nlists: { a: {} }\n');
    expect(readConfigFile(file)).toMatchObject({ kind: 'refused', rejectCount: 2 });
    writeFileSync(file, 'name: x\n');
    expect(readConfigFile(file)).toMatchObject({ kind: 'config', config: { name: 'x' } });
  });
});
