/**
 * Every code block of README and the documents does what it says, as it stands: docs/sandbox.ts runs
 * commands, docs/reader.ts has what a reader has before a block, docs/feeds.ts the feeds.
 */

import { existsSync, readdirSync, readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { defaultEndpoints } from '@rulecast/program';
import { parseTrust, readDepotHead } from '@rulecast/protocol';
import { describe, expect, it } from 'vitest';
import { allBlocks, type Block, blockText, ROOT } from '../docs/blocks.ts';
import { host, PAGES } from '../docs/how-to.ts';
import { bare, expectReleased, fresh, withConfiguration, withDaemons, withDepot } from '../docs/reader.ts';
import type { Sandbox } from '../docs/sandbox.ts';
import { filesIn, releaseIn } from '../kit/depot.ts';
import { freePort } from '../kit/dns.ts';
import { shippedPolicy } from '../qrexec/policy.ts';

/** Blocks that need more than a sandbox, and the file that runs them. */
const RUN_ELSEWHERE: Readonly<Record<string, string>> = {
  'README.md#Try it': '.ci/debian', // on a Debian as README describes it
  'README.md#Install it': '.ci/debian', // as root, on a machine of its own
  'docs/tutorial/plain-linux.md#Install': '.ci/debian',
  'docs/tutorial/plain-linux.md#Choose what to block': '.ci/debian',
  'docs/tutorial/plain-linux.md#Start it': '.ci/debian',
  'docs/tutorial/plain-linux.md#Start it/2': '.ci/debian',
  'docs/tutorial/plain-linux.md#Ads are gone': '.ci/debian',
  'docs/tutorial/plain-linux.md#Ads are gone/2': '.ci/debian',
  'docs/tutorial/plain-linux.md#Refuse an address': '.ci/debian',
  'docs/tutorial/plain-linux.md#Refuse an address/2': '.ci/debian',
  'docs/tutorial/plain-linux.md#Refuse an address/3': '.ci/debian',
  'docs/tutorial/plain-linux.md#Take it away': '.ci/debian',
  'docs/explain/enforcement.md#What is needed': 'test/system/systemd.test.ts', // as root, on a machine of its own
  'docs/explain/enforcement.md#Removing it': 'test/system/enforce-trouble.test.ts', // as root
  'docs/how-to/log.md#See it': 'test/system/log.test.ts', // as root
  'docs/how-to/log.md#See it/2': 'test/system/log.test.ts',
  'docs/how-to/log.md#See it/3': 'test/system/log.test.ts',
  'docs/how-to/web.md#Open it': 'test/system/web.test.ts', // in a browser
  'packaging/systemd/README.md#The firewall side under systemd': 'test/system/systemd.test.ts',
  'docs/how-to/relay.md#As a unit': 'test/system/packages.test.ts',
  'ocaml/README.md#Rulecast in OCaml': 'test/kit/ocaml.ts',
  'docs/explain/mirage.md#A firewall that is called/3': 'test/system/ocaml-mirage.test.ts',
  'packaging/systemd/README.md#Names': 'test/system/packages.test.ts',
  'packaging/systemd/README.md#A signer with a user of its own': 'test/system/packages.test.ts',
  'packaging/README.md#Packages': 'test/system/packages.test.ts',
  'packaging/README.md#Packages/2': 'test/system/packages.test.ts',
  'packaging/README.md#Packages/3': 'test/system/packages.test.ts',
  'packaging/README.md#Publish a release': 'test/system/release.test.ts',
  'packaging/README.md#Publish a release/2': '.ci/debian', // by apt, over HTTP
  'packaging/README.md#Publish a release/3': 'test/system/release.test.ts',
  'packaging/README.md#Check a release': 'test/system/release.test.ts',
  'packaging/README.md#Check a release/2': 'test/system/release.test.ts',
  'packaging/README.md#Check a release/3': '.ci/debian',
  'packaging/README.md#From Rulecast 0.2': 'test/system/packages.test.ts',
  'packaging/README.md#From Rulecast 0.2/2': 'test/system/packages.test.ts',
  'packaging/README.md#From Rulecast 0.1': 'test/system/packages.test.ts',
  'packaging/README.md#From Rulecast 0.1/2': 'test/system/packages.test.ts',
  'packaging/README.md#From Rulecast 0.1/3': 'test/system/packages.test.ts',
  ...inQubes(
    'In the templates',
    'In the templates/2',
    'In dom0',
    'In dom0/2',
    'In the management qube',
    'Start the firewall',
    'Your own rules/2',
    'Removal',
  ),
};

/** With both packages installed, on a machine that stands for both qubes and dom0. */
function inQubes(...blocks: readonly string[]): Readonly<Record<string, string>> {
  return Object.fromEntries(
    blocks.map((block) => [`docs/tutorial/qubes.md#${block}`, 'test/system/packages.test.ts']),
  );
}

/** Without --state the publisher was another one than that of the trust line: wrong-lineage, for ever. */
async function expectKeys(text: string): Promise<void> {
  const box = await fresh();
  await box.run('rulecast-publisher --state ./publisher --init > publisher.trust');
  await box.run(text.replaceAll('192.0.2.1', '127.0.0.1')); // both hosts are this one
  await box.run('rulectl push examples/firewall.yaml');
  expect(box.errors()).toEqual([]);
}

async function expectBoundNames(text: string): Promise<void> {
  const box = await fresh();
  const group = String(process.getgid?.()); // another one takes root
  box.write('publisher.yaml', text.replaceAll('/run/rulecast', box.directory).replace('users', group));
  await box.run('rulectl check publisher.yaml');
  await box.run('rulecast-publisher --state ./publisher --init > publisher.trust');
  await box.run(`rulecast-publisher --state ./publisher --config publisher.yaml &
rulecast-subscriber --trust publisher.trust --name lab-firewall --connect unix:${box.directory}/lab.sock &`);
  const status = await box.run('rulectl status');
  expect(status).toMatch(/^lab-firewall +socket +synced/m);
  expect(status).toMatch(/^sys-firewall +qube +disconnected/m);
  expect(box.errors()).toEqual([]);
}

/** Daemons, and a dom0 that has rules of the qube `work`. */
async function withRulesOfQubes(): Promise<Sandbox> {
  const box = await withDaemons();
  box.stub('qvm-firewall', `[ "$*" = 'work list --raw' ] && cat <<'END'\n${qubesRules()}END\n`);
  box.stub(
    'qvm-ls',
    `[ "$*" = '--raw-data --fields NAME,IP,IP6' ] && echo 'work|10.137.0.5|fd09:24ef:4179::a89:5'\n`,
  );
  return box;
}

/** A publisher, and a document as `firewall.yaml` beside the list that it names. */
async function withDocument(text: string): Promise<Sandbox> {
  const box = await fresh();
  box.write('country-ru.netset', '5.3.0.0/16\n');
  box.write('firewall.yaml', text);
  await box.run('rulecast-publisher --state ./publisher --resolve deb.debian.org=192.0.2.80');
  return box;
}

/** A check of packets ends with 0 if each gets what it expects, and else with 1. */
async function expectJudged(text: string, packet: string): Promise<void> {
  const box = await fresh();
  const document = readFileSync(join(ROOT, 'examples/firewall.yaml'), 'utf8').replaceAll('../', '');
  box.write('firewall.yaml', document);
  box.write('packets.ndjson', `${packet}\n`);
  expect(await box.run(text)).toMatch(/: drop$|"action":"drop"/m);
  box.write('packets.ndjson', `${packet.replace('"expect":"drop"', '"expect":"accept"')}\n`);
  expect((await box.attempt(text.trim())).code).toBe(1);
}

/** A firewall gives a verdict by a recipe: lists, and from the comment `in rules.yaml` on the rules. */
async function expectRecipe(text: string, verdicts: Readonly<Record<string, RegExp>>): Promise<void> {
  const lines = text.split('\n');
  const rules = lines.findIndex((line) => line.endsWith('# in rules.yaml'));
  const dns = `rulecast-dns --releases names.sock --listen 127.0.0.1:${await freePort()} &
timeout 60 sh -c 'until [ -S names.sock ]; do sleep 0.2; done'`;
  const on = await host('--names router --names-folder .', dns);
  on.write('publisher.yaml', `rules: rules.yaml\n${lines.slice(0, rules).join('\n')}\n`);
  on.write('rules.yaml', lines.slice(rules).join('\n'));
  expect(await on.run('rulectl check /etc/rulecast/publisher.yaml')).toContain('nothing refused');
  for (const [asked, verdict] of Object.entries(verdicts))
    await on.awaits(`rulectl test '10.137.0.9 ${asked}'`, verdict);
}

/** What each block does, by its name. */
const RUN_HERE: Readonly<Record<string, (text: string) => Promise<void>>> = {
  'docs/how-to/from-checkout.md#Run it from the checkout': async (text) => {
    const printed = await bare().run(text);
    expect(printed).toMatch(/^10\.137\.0\.5 > 203\.0\.113\.7 tcp\/443: drop$/m);
  },

  'docs/reference/json.md#JSON output': async (text) => {
    const box = await fresh();
    const { code, stdout } = await box.attempt('rulectl status --json');
    const records = (lines: string): unknown[] =>
      lines
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line));
    const [error, end] = records(text.replace(' at …', ''));
    const message: unknown = expect.stringContaining((error as { readonly message: string }).message);
    expect(records(stdout)).toEqual([{ ...(error as object), message }, end]);
    expect(end).toMatchObject({ exit: code });
  },

  'docs/reference/metrics.md#Metrics': async (text) => {
    const box = await withDaemons();
    expect(await box.run(text)).toMatch(/^rulecast_subscriber_matches_head\{subscriber="[^"]+"\} [01]$/m);
    expect(await box.run('cat rulecast.prom')).toMatch(/^rulecast_head_version \d+$/m);
  },

  'README.md#Three recipes': (text) =>
    expectRecipe(text, {
      '> 5.8.1.1 tcp/443': /: drop\n(.*\n)* +list +russia$/m,
      '> 87.240.129.1 tcp/443': /: accept\n(.*\n)* +list +vk$/m,
    }),

  'README.md#Three recipes/2': (text) =>
    expectRecipe(text, { '? cdn.ads.example': /: drop\n(.*\n)* +list +ads$/m }),

  'README.md#Three recipes/3': (text) =>
    expectRecipe(text, { '> 101.99.92.179 tcp/443': /: drop\n(.*\n)* +list +tor-exits$/m }),

  'docs/reference/releases.md#Releases': async (text) => {
    const box = await withDaemons();
    box.write('office.yaml', 'lists: { office: { entries: [198.51.100.0/24, 203.0.113.0/24] } }\n');
    const printed = await box.run(text);
    expect(printed).toMatch(/^2 .*\n +printer in room 4$/m);
    expect(printed).toMatch(/^released version 3 /m);
    expect(box.errors()).toEqual([]);
  },

  'docs/reference/init.md#rulectl init and its presets': async (text) => {
    const box = await fresh();
    const printed = await box.run(text);
    expect(printed).toMatch(/^publisher\.yaml: .*nothing refused$/m);
    expect(await box.run('cat rules.yaml')).toContain('drop dst=@country-ru');
  },

  'docs/reference/rule-language.md#Check a rule': async (text) => {
    const box = await fresh();
    const printed = await box.run(text);
    expect(printed).toContain('work.rules: egress rules, 1 rule');
    expect(printed).toMatch(/^10\.137\.0\.5 > 192\.0\.2\.7 tcp\/443: accept$/m);
  },

  'docs/reference/rule-language.md#Rules of Qubes': async (text) => {
    await (await withRulesOfQubes()).run(text);
  },

  'docs/reference/rule-language.md#Rules of Qubes/2': async (text) => {
    const box = await withRulesOfQubes();
    await box.run(blockText('docs/reference/rule-language.md#Rules of Qubes'));
    await box.run(text);
    expect(await box.run('rulectl get policy work')).toContain('10.137.0.5');
  },

  'docs/reference/documents.md#Rule set documents': async (text) => {
    const box = await withDocument(text);
    expect(await box.run('rulectl check firewall.yaml')).toContain('firewall.yaml: a rule set document');
  },

  'docs/reference/documents.md#Rule set documents/2': async (text) => {
    const box = await withDocument(blockText('docs/reference/documents.md#Rule set documents'));
    await box.run('rulecast-publisher --state ./publisher --print-trust > publisher.trust');
    await box.run('rulecast-subscriber --trust publisher.trust');
    expect(await box.run(text)).toMatch(/^released version 1 /m);
    expect(box.errors()).toEqual([]);
  },

  'docs/reference/documents.md#Test a document': (packet) =>
    expectJudged(blockText('docs/reference/documents.md#Test a document/2'), packet.trim()),

  'docs/reference/documents.md#Test a document/2': (text) =>
    expectJudged(text, blockText('docs/reference/documents.md#Test a document').trim()),

  'docs/reference/endpoints.md#ZeroMQ with keys': async (text) => {
    const box = await fresh();
    await box.run(text);
    expect(await box.run('stat -c %a publisher.key firewall.key')).toBe('600\n600\n');
  },

  'docs/reference/endpoints.md#ZeroMQ with keys/2': (text) =>
    expectKeys(`${blockText('docs/reference/endpoints.md#ZeroMQ with keys')}${text}`),

  'docs/reference/endpoints.md#Bind a name to a firewall': expectBoundNames,

  // It used variables that nothing defined.
  'docs/reference/embedding.md#Embedding/2': async (text) => {
    const box = await withDaemons();
    box.write('embed.mjs', text);
    await box.run(
      ': >embed.out; node embed.mjs >>embed.out 2>&1 & grep -m1 -x drop <(tail --pid=$! -n +1 -f embed.out) || { cat embed.out; false; }',
    );
  },

  'docs/how-to/block-now.md#See that it works': async (text) => {
    const box = await withDaemons();
    expect(await box.run(text)).toMatch(/: drop\n(.*\n)*.*rulectl block 1/);
  },

  'docs/how-to/block-now.md#Block, allow or cut off at once': async (text) => {
    const box = await withDaemons();
    const printed = await box.run(text);
    expect(printed).toMatch(/^1 +block +203\.0\.113\.7 +all qubes .*seen in the log$/m);
    expect(printed).toMatch(/^4 +cut +everything +10\.137\.0\.6 /m);
    expect(printed.match(/in force at 1 of 1 subscriber/g)).toHaveLength(5);
    expect(await box.run('rulectl blocks --json')).not.toContain('203.0.113.7');
  },

  'docs/how-to/keys.md#For one person': async (text) => {
    const box = await fresh();
    expect(await box.run(text)).toMatch(/^release +1 of 1: [0-9a-f]{16} \(here\)$/m);
  },

  'docs/how-to/keys.md#For one person/2': async (text) => {
    const box = await fresh();
    await box.run(blockText('docs/how-to/keys.md#For one person'));
    expect(await box.run(text)).toMatch(
      /^root 2 of lineage .*\n(?:.*\n)*release +1 of 1: [0-9a-f]{16} \(here\)$/m,
    );
    await box.run('rulecast-publisher --state ./publisher');
    expect(box.errors()).toEqual([]);
  },

  'docs/how-to/keys.md#A root to be renewed in time': async (text) => {
    const box = await fresh();
    await box.run(blockText('docs/how-to/keys.md#For one person'));
    const shown = await box.run(text);
    const [, date = ''] = /^root 3 of .*\nto be renewed by (\S+)$/m.exec(shown) ?? [];
    expect(Math.round((Date.parse(date) - Date.now()) / 86_400_000)).toBe(180);
    await box.run('rulecast-publisher --state ./publisher');
    expect(box.errors()).toEqual([]);
  },

  'docs/how-to/share-the-root-key.md#Make three keys': async (text) => {
    const box = await fresh();
    await box.run(blockText('docs/how-to/keys.md#For one person'));
    const printed = await box.run(text);
    expect(printed).toMatch(/^root +2 of 3: /m);
    await box.run('rulecast-publisher --state ./publisher');
    expect(box.errors()).toEqual([]);
  },

  'docs/how-to/report-tokens.md#Make the secret and the tokens': async (text) => {
    const box = await fresh();
    await box.run(blockText('docs/how-to/keys.md#For one person'));
    await box.run(text);
    const tokens = await box.run('cat fw-17.token tokens/fw-18.token tokens/fw-19.token');
    expect(new Set(tokens.match(/^[0-9a-f]{64}$/gm)).size).toBe(3);
    expect(await box.run('stat -c %a fleet.key fw-17.token tokens/fw-18.token')).toBe('600\n600\n600\n');
  },

  'docs/how-to/keys.md#When a key is lost or stolen': async (text) => {
    const box = await fresh();
    await box.run(blockText('docs/how-to/keys.md#For one person'));
    const before = await box.run('rulectl keys show --identity ./publisher/identity --json');
    const shown = await box.run(text);
    const after: unknown = JSON.parse(shown.trim().split('\n').at(-2) ?? '');
    expect(after).toMatchObject({ kind: 'root', number: 2, hasRootKey: false });
    expect(JSON.parse(before.split('\n')[0] ?? '')).toMatchObject({
      kind: 'root',
      number: 1,
      hasRootKey: false,
    });
    expect(box.errors()).toEqual([]);
  },

  'docs/how-to/share-the-root-key.md#One of them is lost': async (text) => {
    const box = await fresh();
    await box.run(blockText('docs/how-to/keys.md#For one person'));
    await box.run(blockText('docs/how-to/share-the-root-key.md#Make three keys'));
    await box.run('rm bert.key');
    expect(await box.run(text)).toMatch(/^root 3 of lineage .*\n(?:.*\n)*root +2 of 3: /m);
    await box.run('rulecast-publisher --state ./publisher');
    expect(box.errors()).toEqual([]);
  },

  'docs/how-to/keys.md#When a key is lost or stolen/2': async (text) => {
    const box = await fresh();
    await box.run(blockText('docs/how-to/keys.md#For one person'));
    expect(await box.run(text)).toMatch(/^rulecast2:/m);
    await box.run('! diff -q publisher.trust publisher-2.trust');
  },

  'docs/how-to/mirror.md#Two hosts and a folder': async (text) => {
    const box = await withDepot(text);
    expect(readDepotHead(readFileSync(box.path('depot/head'))).head.version).toBe(1);
    expect(box.errors()).toEqual([]);
  },

  // While objects are copied the head is the one before; after it is copied all that it names is there.
  'docs/how-to/mirror.md#An object store': async (text) => {
    if (existsSync('/usr/bin/rsync') || process.env['CI'] === 'true') {
      const box = await withDepot(blockText('docs/how-to/mirror.md#Two hosts and a folder'));
      const trust = parseTrust(
        (await box.run('rulecast-publisher --state ./publisher --print-trust')).trim(),
      );
      const [objects = '', head = ''] = text.trim().split('\n');
      await box.run(objects);
      expect(readdirSync(box.path('mirror'))).toEqual(['o']);
      await box.run(head);
      const found = releaseIn(filesIn(box.path('mirror')), trust ?? expect.fail('no trust line'));
      expect(found.head.version).toBe(1);
    } else console.log('copies of a depot are not tried: rsync is not installed');
  },

  // By a session, where the block has a mirror: nobody answers at rules.example.
  'docs/how-to/relay.md#Start it': async (text) => {
    const box = await withDepot(blockText('docs/how-to/mirror.md#Two hosts and a folder'));
    await box.run('rulecast-publisher --state ./publisher --print-trust > publisher.trust');
    await box.run('(umask 077; printf %064d 1 > dc1.token)');
    const { subscribers } = defaultEndpoints({ XDG_RUNTIME_DIR: box.path('run') });
    await box.run(
      text.replace('https://rules.example/', subscribers).replace('/run/relay/', `${box.directory}/`),
    );
    await box.logged(({ msg, relay }) => msg === 'relay connected' && relay === 'dc1');
    expect(box.errors()).toEqual([]);
  },

  'docs/how-to/recover.md#When the store is lost': async (text) => {
    const box = await withDaemons();
    const { pid } = await box.logged(({ name, msg }) => name === 'rulecast-publisher' && msg === 'ready');
    await box.run(`kill ${pid}; tail --pid=${pid} -f /dev/null; rm -r ./publisher/store`);
    expect(await box.run(text)).toMatch(/^released version 1 \(epoch 17\)/m);
    await box.logged((line) => line['msg'] === 'applied' && line['epoch'] === 17);
    expect(box.errors()).toEqual([]);
  },

  'CONTRIBUTING.md#Debug a daemon': async (text) => {
    const box = await fresh();
    await box.run(text);
    expect(box.said()).toMatch(/Debugger listening on ws:\/\/127\.0\.0\.1:/);
    expect(box.errors()).toEqual([]);
  },

  'docs/explain/names.md#All that is answered': async (text) => {
    const box = await fresh();
    box.write('names.yaml', text);
    expect((await box.attempt('rulectl check names.yaml')).code).toBe(0);
  },

  'docs/explain/names.md#Private addresses': async (text) => {
    const box = await fresh();
    box.write('names.yaml', text);
    const { code, stdout, stderr } = await box.attempt('rulectl check names.yaml');
    expect([code, `${stdout}${stderr}`]).toEqual([0, expect.not.stringContaining('unused-list')]);
  },

  'docs/explain/names.md#Examples': async (text) => {
    const box = await fresh();
    box.write('names.yaml', text);
    expect((await box.attempt('rulectl check names.yaml')).code).toBe(0);
  },

  'docs/explain/names.md#Examples/2': async (text) => {
    const box = await fresh();
    box.write('names.yaml', blockText('docs/explain/names.md#Examples'));
    expect(await box.run(text)).toMatch(/ads\.example: drop\n +answer +nxdomain\n/);
  },

  'docs/reference/embedding.md#Embedding': async (text) => {
    const box = await fresh();
    expect(await box.run(text)).toMatch(/policy default, egress: /);
  },

  // No library of Xen is here: each end says so.
  'docs/reference/qubes.md#A vchan without qrexec': async (text) => {
    const box = await fresh();
    await box.run('rulecast-publisher --state ./publisher --init > trust');
    const [publisher = '', ...subscribers] = text.trim().split('\n');
    const { code, stderr } = await box.attempt(publisher);
    expect(code).not.toBe(0);
    expect(stderr).toContain('libvchan-xen.so cannot be used');
    await box.run(subscribers.join('\n'));
    for (const library of ['libvchan-xen.so', 'libxenvchan.so'])
      await box.logged(({ msg }) => String(msg).startsWith(`${library} cannot be used`));
  },

  'docs/explain/mirage.md#Rules of qvm-firewall': async (text) => {
    const box = await fresh();
    box.stub('qubesd-query', 'echo "$@"; cat\n');
    box.write(
      'firewall.yaml',
      'policies: { work: { prefixes: [10.137.0.5], egress: [drop dst4=192.0.2.0/25, drop dst4=192.0.2.128/25], default: accept } }\n',
    );
    box.stub('qvm-run', '[ "$1 $2" = "--pass-io mgmt" ] && exec sh -c "$3 firewall.yaml"\n');
    expect(await box.run(text)).toBe(
      '--fail dom0 admin.vm.firewall.Set work\naction=drop dst4=192.0.2.0/24\naction=accept\n',
    );
  },

  'docs/explain/mirage.md#A firewall that is called/2': async (text) => {
    const box = await fresh();
    box.write('publisher.yaml', text);
    await box.run('rulectl check publisher.yaml');
  },

  'docs/tutorial/plain-linux.md#Refuse an address/4': async (text) => {
    const box = await fresh();
    box.write('rules.yaml', text);
    box.write('ads.yaml', 'lists: { ads: { names: [ads.example], resolve: firewall } }\n');
    const judged = await box.run("rulectl check ads.yaml rules.yaml --test '10.137.0.5 > 1.1.1.1 icmp/8'");
    expect(judged).toMatch(/icmp\/8: drop$/m);
  },

  'docs/tutorial/qubes.md#Your own rules': async (text) => {
    const box = await fresh();
    box.write('rules.yaml', text);
    expect(await box.run('rulectl check --known-list ads rules.yaml')).toContain(
      'rules.yaml: a rule set document, 3 ru',
    );
  },

  'docs/reference/qubes.md#By Salt': async (text) => {
    const box = await fresh();
    box.stub('qvm-run', '[ "$1 $2" = "--pass-io build" ] && exec sh -c "$3"\n');
    box.stub('sudo', 'exec "$@"\n');
    const packages = text.match(/rulecast\S*_amd64\.deb/g) ?? [];
    expect(packages).toHaveLength(2);
    for (const name of packages) box.write(`rulecast/packed/${name}`, name);
    symlinkSync(join(ROOT, 'packaging'), box.path('rulecast/packaging'));
    await box.run(text.replaceAll('/srv/salt', box.path('srv')));
    const formula = readdirSync(join(ROOT, 'packaging/salt'));
    expect(readdirSync(box.path('srv/rulecast')).sort()).toEqual(
      [...formula, 'rulecast-dom0', 'packages'].sort(),
    );
    expect(readdirSync(box.path('srv/rulecast/packages')).sort()).toEqual([...packages].sort());
    for (const name of formula)
      expect(readFileSync(box.path('srv/rulecast', name))).toEqual(
        readFileSync(join(ROOT, 'packaging/salt', name)),
      );
  },

  'docs/reference/qubes.md#By Salt/2': async (text) => {
    const box = await fresh();
    for (const name of ['sudo', 'qubesctl']) box.stub(name, 'echo "$@" >> asked\n');
    await box.run(text);
    const names = readFileSync(join(ROOT, 'packaging/salt/names.jinja'), 'utf8');
    const targets = /--targets=(\S+)/.exec(readFileSync(box.path('asked'), 'utf8'))?.[1]?.split(',') ?? [];
    expect(targets).toHaveLength(2);
    for (const target of targets) expect(names).toContain(`'${target}'`);
  },

  'docs/reference/qubes.md#Released by another qube': async (text) => {
    const box = await fresh();
    box.stub('qvm-tags', 'echo "$1 $3" >> tags\n');
    await box.run(text);
    expect(readFileSync(box.path('tags'), 'utf8')).toBe(
      'work-admin rulecast-operator\nmonitor rulecast-observer\n',
    );
  },

  'docs/reference/qubes.md#Released by another qube/2': async (text) => {
    const box = await fresh();
    box.write('publisher.yaml', text);
    await box.run('rulectl check publisher.yaml');
  },

  'docs/reference/qubes.md#Released by another qube/3': async (text) => {
    const box = await fresh();
    const said = blockText('docs/reference/qubes.md#Released by another qube/2').replaceAll(
      '/run/rulecast',
      box.path(),
    );
    box.write('publisher.yaml', said);
    box.write('tags', 'work-admin rulecast-operator\nmgmt rulecast-management\n');
    box.stub('qrexec-client-vm', 'exec node test/qrexec/client-vm.mjs ./agent.sock "$@"\n');
    await box.run('mkdir services && ln -s ../operators.sock services/rulecast.Push');
    await box.run('rulecast-publisher --config publisher.yaml --state ./publisher');
    const agent = `node test/qrexec/agent.mjs ./agent.sock work-admin '${shippedPolicy(box.path())}' tags services`;
    await box.run(
      `: > agent.out; ${agent} >> agent.out & grep -m1 ready <(tail -f --pid=$! -n +1 agent.out)`,
    );
    expect(await box.run(text)).toContain('Nothing is released yet');
  },

  'docs/reference/sources.md#Lists that stay fresh': expectReleased,
  'docs/reference/sources.md#Lists that stay fresh/2': async (text) => {
    const smallest = blockText('docs/reference/sources.md#Lists that stay fresh');
    const box = await withConfiguration(`state: ./publisher\n${smallest}`);
    expect(await box.run(text)).toContain('tor-exits');
    expect(box.errors()).toEqual([]);
  },

  'docs/reference/sources.md#Feeds by key': async (text) => {
    const box = await fresh();
    box.write('publisher.yaml', '# mine\nstate: ./publisher\nlists: {}\n');
    await box.run('rulecast-publisher --config publisher.yaml');
    const said = await box.run(text);
    await box.run('rulectl lists add tor-exits --config publisher.yaml'); // of which the proxy has a copy
    await box.logged(({ msg, list }) => list === 'tor-exits' && String(msg).includes('for the first time'));
    for (const part of ['certpl', 'GPL-3.0', 'added: scams', 'added: russia', 'nothing against these lists'])
      expect(said).toContain(part);
    expect(said).toMatch(/^verdict: +good/m);
    expect(await box.run('rulectl check publisher.yaml')).toContain('3 lists, nothing refused');
  },

  'docs/reference/sources.md#Rules in a file': async (text) => {
    const box = await fresh();
    box.write('publisher.yaml', text);
    box.write('rules.yaml', blockText('docs/reference/sources.md#Rules in a file/2'));
    expect(await box.run('rulectl check publisher.yaml')).toContain('nothing refused');
  },

  'docs/reference/sources.md#Rules in a file/2': async (text) => {
    const box = await fresh();
    box.write('rules.yaml', text);
    expect(await box.run('rulectl check --known-list tor-exits rules.yaml')).toContain('1 rule');
  },

  'docs/reference/sources.md#Where a list comes from': expectReleased,
  'docs/reference/sources.md#Countries and networks': expectReleased,
  'docs/reference/publisher-yaml.md#Tables of your own': expectReleased,
  'docs/reference/guards.md#Lists of countries': expectReleased,
  'docs/reference/list-formats.md#Files of no known format': (text) =>
    expectReleased(text, {
      'decisions.csv': 'id,source,ip\n1,crowdsec,Ip:192.0.2.1\n2,cscli,Ip:2001:db8::1\n',
    }),
};

/** Groups of the fixture that hold what Qubes' documents and tests write. */
const OF_QUBES = new Set(['documented', 'upstream']);

/** Rules as `qvm-firewall list --raw` prints them; none with names, which nothing here resolves. */
function qubesRules(): string {
  const path = join(ROOT, 'test/fixtures/qubes-rules/rule-lines.json');
  const lines = JSON.parse(readFileSync(path, 'utf8')) as readonly {
    readonly group: string;
    readonly dom0: { readonly verdict: string; readonly api?: string };
  }[]; // as its README says
  const accepted = lines.filter(({ group, dom0 }) => OF_QUBES.has(group) && dom0.verdict === 'accept');
  const raw = accepted.map(({ dom0 }) => dom0.api ?? '').filter((line) => !line.includes('dsthost='));
  expect(raw.length).toBeGreaterThan(5);
  return `${raw.join('\n')}\n`;
}

/** Whether a block is more than something to look at. */
function isRun({ language }: Block): boolean {
  return language !== 'text';
}

describe('every block', () => {
  const blocks = allBlocks();

  it('says what it is', () => {
    expect(blocks.filter(({ language }) => language === '').map(({ name }) => name)).toEqual([]);
  });

  it('is run, here or elsewhere, and no other', () => {
    const named = blocks.filter(isRun).map(({ name }) => name);
    const inPages = named.filter((name) => PAGES[name.replace(/#.*/, '')] !== undefined);
    expect([...inPages, ...Object.keys(RUN_HERE), ...Object.keys(RUN_ELSEWHERE)].sort()).toEqual(
      [...named].sort(),
    );
  });

  it.each(Object.entries(RUN_ELSEWHERE))('%s is run by %s', (name, runner) => {
    const [document, block = ''] = name.split('#');
    const section = block.replace(/\/\d+$/, '');
    // One that runs many blocks of a document names it once.
    const said = document === 'docs/tutorial/qubes.md' ? `said('${block}')` : name;
    const named = runner.endsWith('.ts') ? said : `## ${section}`;
    expect(readFileSync(join(ROOT, runner), 'utf8').includes(named), `${runner} names ${named}`).toBe(true);
  });

  // Away from the checkout npx asked the public registry for names that are nobody's.
  it.each(blocks.filter(({ language }) => language !== 'text'))(
    '$name asks no registry for a command',
    ({ text }) => {
      expect(text).not.toMatch(/\b(npx|npm exec|npm x|bunx|pnpm dlx)\b/);
    },
  );

  it.each(blocks.filter(({ language }) => language === 'text'))('$name is no command', ({ text }) => {
    expect(text).not.toMatch(/^\s*(\$ )?(npm|npx|node|rulectl|rulecast-\w+|systemctl|qvm-\w+) [^─═]/m);
  });
});

for (const [name, run] of Object.entries(RUN_HERE)) it(`${name} runs`, () => run(blockText(name)));

for (const [page, run] of Object.entries(PAGES))
  it(`${page} runs, from top to bottom`, async () => {
    const unused = new Set(allBlocks().flatMap((one) => (isRun(one) ? [one.name] : [])));
    for (const name of unused) if (!name.startsWith(`${page}#`)) unused.delete(name);
    await run((heading) => {
      unused.delete(`${page}#${heading}`);
      return blockText(`${page}#${heading}`);
    });
    expect([...unused]).toEqual([]);
  });
