/**
 * What an enforcing daemon does with the rights that it finds: none, those of a user namespace, or those of
 * root with something in its way.
 */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { applierCommand, createNftSink } from '@rulecast/nftables';
import {
  canonicalPrefixes,
  EMPTY_RULE_SET,
  emptyPolicy,
  PrefixBuilder,
  plainRule,
  prefixListOf,
  prefixSetOf,
  type RuleSet,
  RunBuilder,
} from '@rulecast/rules';
import { describe, expect, it } from 'vitest';
import { Network } from '../enforce/network.mjs';
import { secondUser } from '../kit/second-user.ts';
import { enforcementGap } from './namespaces.ts';
import { Scene } from './scene.ts';

const SUBSCRIBER = fileURLToPath(
  new URL('../../packages/subscriber/bin/rulecast-subscriber.js', import.meta.url),
);
const AS_NOBODY = secondUser() ?? [];
/** As rootless containers are: root in there, and nobody outside. */
const IN_USER_NAMESPACE = [...AS_NOBODY, 'unshare', '--user', '--map-root-user', '--net'];
const WITHOUT_NET_ADMIN = ['setpriv', '--bounding-set=-net_admin', '--inh-caps=-net_admin'];
const HOSTS = 1_000_000;
const ENDS_WITHIN_MS = 30_000;

describe.skipIf(enforcementGap() !== undefined)('an enforcing daemon', () => {
  it.each([
    ['a user without rights', AS_NOBODY, []],
    ['root without CAP_NET_ADMIN', WITHOUT_NET_ADMIN, []],
    ['root without CAP_NET_ADMIN, for another user', WITHOUT_NET_ADMIN, ['--user', 'nobody']],
  ])('ends with a sentence, and is never ready, as %s', async (_, launch, args) => {
    const { code, text } = await enforcing(launch, args);
    expect(text).toMatch(/^rulecast-subscriber: nothing can be enforced here: .*CAP_NET_ADMIN.*\n$/);
    expect(code).toBe(1);
  });

  it('ends with a sentence by the rights of a user namespace that has no network of its own', async () => {
    const { code, text } = await enforcing(IN_USER_NAMESPACE.slice(0, -1), []);
    expect(text).toMatch(/^rulecast-subscriber: nothing can be enforced here: .*EPERM.*\n$/);
    expect(code).toBe(1);
  });

  it('ends with a sentence where its table belongs to another program', async () => {
    const network = new Network();
    const owner = network.router.spawn(['nft', '-i']);
    owner.stdin?.write('add table inet rulecast_a { flags owner; }\nlist tables\n');
    if (owner.stdout !== null) await once(owner.stdout, 'data');
    const { code, text } = await enforcing(network.router.prefix, []);
    await network.close();
    expect(text).toMatch(
      /^rulecast-subscriber: nothing .* here: table rulecast_a, owned by another process: .*\n$/,
    );
    expect(code).toBe(1);
  });

  it('has a million hosts in force by the rights of a user namespace', async () => {
    const { program, args } = applierCommand();
    const [launcher = '', ...words] = [...IN_USER_NAMESPACE, program, ...args];
    const sink = createNftSink({ applier: { program: launcher, args: words } });
    try {
      const environment = { now: 0, dns: [] };
      await sink.boot({ hash: new Uint8Array(32), ruleSet: EMPTY_RULE_SET, environment });
      const startMs = performance.now();
      await sink.prepare({ hash: new Uint8Array(32).fill(1), ruleSet: blocking(HOSTS), environment });
      await sink.commit();
      console.log(`${HOSTS} hosts in force in ${Math.round(performance.now() - startMs)} ms`);
      expect(sink.status().release).toBe('01'.repeat(32));
      expect(await sink.check()).toBe(false);
    } finally {
      await sink.close();
    }
  });
});

/** Starts the daemon without a publisher; resolves when it has ended, to its code and all that it said. */
async function enforcing(launch: readonly string[], args: readonly string[]) {
  const scene = new Scene();
  const trust = await scene.trustLine();
  chmodSync(scene.directory, 0o755);
  const own = ['--trust', trust, '--connect', scene.listen, '--enforce', ...args];
  const [program = '', ...words] = [...launch, process.execPath, SUBSCRIBER, ...own];
  const child = spawn(program, words, { stdio: ['ignore', 'pipe', 'pipe'], timeout: ENDS_WITHIN_MS });
  let text = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (piece: string) => {
      text += piece;
    });
  const [code] = await once(child, 'close');
  return { code, text };
}

/** Hosts that lie apart, as neighbours are one prefix. */
function blocking(count: number): RuleSet {
  const builder = new PrefixBuilder(4, count);
  for (let i = 0; i < count; i++) builder.push4(0x0b000000 + i * 64, 32);
  const list = prefixListOf({ v4: canonicalPrefixes(builder.build()), v6: prefixSetOf([]).v6 });
  const runs = new RunBuilder();
  runs.push({ ...plainRule('drop'), remote: { kind: 'list', list: 'bad' } });
  const policy = { ...emptyPolicy('default'), egress: runs.build(), defaultAction: 'accept' } as const;
  return { ...EMPTY_RULE_SET, lists: new Map([['bad', list]]), policies: new Map([['default', policy]]) };
}
