/** `rulectl export qubes`: a policy as rules of qvm-firewall that mean the same, or why there are none. */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { temporaryDirectory } from '../../../test/kit/directory.ts';
import { ndjson, rulectl } from './cli.ts';
import { FakePublisher, sendRecords } from './fake-publisher.ts';
import { change, edit, head } from './records.ts';

const DOCUMENT = `lists:
  blocked:
    entries: [192.0.2.0/25, 192.0.2.128/25, 198.51.100.7, "2001:db8::/33", "2001:db8:8000::/33"]
  hosts:
    names: [example.com, example.org]
    resolve: publisher
first:
  egress: [drop dst4=203.0.113.66]
common:
  egress: [drop dst=@blocked]
policies:
  work:
    prefixes: [10.137.0.5, "fd09::5"]
    default: drop
    exceptions:
      egress: [accept dst4=198.51.100.7]
    egress:
      - drop dst4=203.0.113.0/25
      - drop dst4=203.0.113.128/25 comment=another
      - accept dst4=203.0.113.0/26 proto=tcp dstports=80-443
      - accept dst4=203.0.113.64/26 proto=tcp dstports=80-443
      - accept dst=@hosts proto=tcp
      - accept dsthost=private.example proto=tcp private=true
      - accept proto=icmp icmptype=8
      - accept expire=4000000000 specialtarget=dns
      - accept dst4=192.0.2.9 expire=1
`;

const LINES = `action=drop dst4=203.0.113.66/32
action=accept dst4=198.51.100.7/32
action=drop dst4=192.0.2.0/24
action=drop dst4=198.51.100.7/32
action=drop dst4=203.0.113.0/25
action=drop dst6=2001:db8::/32
action=drop dst4=203.0.113.128/25 comment=another
action=accept dst4=203.0.113.0/25 proto=tcp dstports=80-443
action=accept dsthost=example.com proto=tcp
action=accept dsthost=example.org proto=tcp
action=accept dsthost=private.example proto=tcp
action=accept proto=icmp icmptype=8
action=accept expire=4000000000 specialtarget=dns
action=accept expire=1 dst4=192.0.2.9/32
action=drop
`;

/** With a document of rules for one policy. */
function folderOf(text: string): string {
  const directory = temporaryDirectory();
  writeFileSync(join(directory, 'firewall.yaml'), text);
  return directory;
}

let publisher: FakePublisher | undefined;
afterEach(async () => {
  await publisher?.stop();
  publisher = undefined;
});

const words = ['export', 'qubes', 'work', 'firewall.yaml'];

describe('export qubes', () => {
  it('prints first, exceptions, common and own rules in this order, lists and neighbours joined', async () => {
    const { exit, stdout, stderr } = await rulectl(words, { cwd: folderOf(DOCUMENT) });
    expect(stderr).toBe('');
    expect(stdout).toBe(LINES);
    expect(exit).toBe(0);
  });

  it('goes back by import qubes, and means the same for every packet', async () => {
    const cwd = folderOf(DOCUMENT);
    writeFileSync(join(cwd, 'work.rules'), (await rulectl(words, { cwd })).stdout);
    writeFileSync(join(cwd, 'qubes.txt'), 'work|10.137.0.5|fd09::5\n');
    const back = await rulectl(['import', 'qubes', 'work.rules', '--addresses', 'qubes.txt'], { cwd });
    expect(back.exit).toBe(0);
    writeFileSync(join(cwd, 'back.yaml'), back.stdout);
    const again = await rulectl(['export', 'qubes', 'work', 'back.yaml'], { cwd });
    expect(again.stdout).toBe(`${LINES}action=drop\n`); // import leaves default: drop behind the last rule

    const remotes = [
      ...['192.0.2.9', '192.0.3.1', '198.51.100.7', '198.51.100.8', '203.0.113.66', '203.0.113.67'],
      ...['203.0.113.1', '203.0.113.129', '2001:db8::1', '2001:db8:ffff::1', '2001:db9::1', '8.8.8.8'],
      ...['10.139.1.1', '9.9.9.9', '10.0.0.9'],
    ];
    const kinds = [
      ...[79, 80, 443, 444].map((dport) => ({ proto: 'tcp', dport })),
      ...[53, 443].map((dport) => ({ proto: 'udp', dport })),
      ...[8, 13].map((icmptype) => ({ proto: 'icmp', icmptype })),
    ];
    const packets = remotes.flatMap((dst) =>
      kinds.map((kind) => ({
        src: dst.includes(':') ? 'fd09::5' : '10.137.0.5',
        dst,
        ...kind,
        expect: 'drop',
      })),
    );
    writeFileSync(join(cwd, 'packets'), packets.map((packet) => JSON.stringify(packet)).join('\n'));
    const names = ['example.com=9.9.9.9', 'example.org=8.8.8.8', 'private.example=10.0.0.9'];
    const judge = async (file: string): Promise<readonly unknown[]> => {
      const addresses = names.flatMap((name) => ['--address', name]);
      const { stdout } = await rulectl(['check', file, '--packets', 'packets', '--json', ...addresses], {
        cwd,
      });
      return ndjson(stdout).flatMap(({ action }) => (action === undefined ? [] : [action]));
    };
    const actions = await judge('firewall.yaml');
    expect(actions).toHaveLength(packets.length);
    expect(new Set(actions)).toEqual(new Set(['accept', 'drop']));
    expect(await judge('back.yaml')).toEqual(actions);
  });

  it.each([
    [
      'ingress rules of the policy',
      '{ policies: { work: { prefixes: [10.0.0.1], egress: [], ingress: [accept] } } }',
      'refused: policy work: 1 ingress rule, and qvm-firewall judges only what a qube sends\n',
    ],
    [
      'ingress rules of first',
      '{ first: { ingress: [drop src4=192.0.2.1, drop src4=192.0.2.9] }, policies: { work: { prefixes: [10.0.0.1] } } }',
      'refused: first: 2 ingress rules, and qvm-firewall',
    ],
    [
      'names that the DNS of the firewall knows',
      '{ lists: { ads: { names: [.ads.example], resolve: firewall } }, policies: { work: { prefixes: [10.0.0.1], egress: [accept dst4=192.0.2.1, accept dst4=192.0.2.2, drop dst=@ads] } } }',
      "refused: policy work, egress rule 3: dst=@ads goes by what the firewall's own DNS answers",
    ],
    [
      'the names that were answered',
      '{ policies: { work: { prefixes: [10.0.0.1], unlisted: nxdomain, egress: [accept dst=@resolved] } } }',
      "policy work: unlisted: nxdomain is for the firewall's own DNS",
    ],
  ])('refuses %s, and says where', async (_, text, reason) => {
    const { exit, stdout, stderr } = await rulectl(words, { cwd: folderOf(text) });
    expect([exit, stdout]).toEqual([2, '']);
    expect(stderr).toContain(reason);
  });

  it.each([
    [2044, 0, ''],
    [2045, 2, '2,046 lines of 65,452 bytes'],
  ])('of %i hosts ends with %i: dom0 takes 65,444 bytes for a qube', async (count, status, said) => {
    // Lines of 32 bytes, no two of which can be aggregated.
    const entries = Array.from(
      { length: count },
      (_, i) => `10.10.${10 + Math.floor(i / 45)}.${10 + 2 * (i % 45)}`,
    );
    const text = JSON.stringify({
      lists: { hosts: { entries } },
      policies: { work: { prefixes: ['10.0.0.1'], egress: ['drop dst=@hosts'] } },
    });
    const { exit, stdout, stderr } = await rulectl(words, { cwd: folderOf(text) });
    expect(stderr).toContain(said);
    expect([exit, stdout.length > 0]).toEqual([status, status === 0]);
    expect(stdout.length).toBeLessThanOrEqual(65_444);
  });

  it('takes what is released, lists of sources included, where no file is named', async () => {
    publisher = await FakePublisher.start(async (connection) => {
      const received = await connection.receive();
      const request = received?.message.kind === 'greet' ? (await connection.receive())?.message : undefined;
      if (request?.kind === 'status') await sendRecords(connection, [head({ version: 7 })]);
      if (request?.kind === 'diff') {
        await sendRecords(connection, [
          change({ op: 'add', name: 'kept' }),
          edit({ op: 'added', name: 'kept' }),
          change({ op: 'add', kind: 'policy', name: 'work' }),
          edit({ op: 'added', name: 'work', aspect: 'default', lines: ['accept'] }),
          edit({ op: 'added', name: 'work', aspect: 'prefixes', lines: ['10.0.0.1/32'] }),
          edit({ op: 'added', name: 'work', aspect: 'egress', index: 0, lines: ['action=drop dst=@kept'] }),
        ]);
      }
      await connection.send({ kind: 'done', code: 'ok', text: '' });
    });
    const { exit, stdout, stderr } = await rulectl([
      'export',
      'qubes',
      'work',
      '--control',
      publisher.endpoint,
    ]);
    expect(stderr).toBe('');
    expect(stdout).toBe('action=drop dst4=192.0.2.0/24\naction=drop dst4=198.51.100.1/32\naction=accept\n');
    expect(exit).toBe(0);
  });

  it('names the policies where there is none of that name', async () => {
    const { exit, stderr } = await rulectl(['export', 'qubes', 'common', 'firewall.yaml'], {
      cwd: folderOf(DOCUMENT),
    });
    expect(stderr).toContain('no policy is called common: write one of work');
    expect(exit).toBe(2);
  });
});
