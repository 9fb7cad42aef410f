/**
 * What an upgrade starts from: packages of commits before, and on a machine that they are installed on a qube
 * that asks two hosts all the while, one of which it is let to.
 */

import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';
import { eventually } from '../enforce/enforcer.ts';
import type { Machine } from './machine.ts';
import type { Scene } from './scene.ts';

/** Packages of commits named in test/fixtures/README.md: not every checkout has the history. */
const PACKAGES = {
  first: 'packages.tar.xz',
  floor: 'packages.tar.xz',
  last: 'packages-0.2.tar.xz',
  '0.3': 'packages-0.3.tar.xz',
} as const;
export type Before = keyof typeof PACKAGES;
export const DROPPED = '203.0.113.1';
const OPEN = '203.0.113.2';

/** Why no upgrade is tried here, printed; undefined where one is. */
export function upgradeGap(): string | undefined {
  if (process.arch === 'x64') return undefined;
  const gap = `packages of before are of amd64, and this is ${process.arch}`;
  console.log(`tests of upgrades are skipped: ${gap}`);
  return gap;
}

/** Puts packages of before into a scene, where a machine sees them as `/srv/before/*.deb`. */
export function unpackBefore(scene: Scene, which: Before): void {
  const trees = scene.path('trees');
  mkdirSync(trees);
  mkdirSync(scene.path('before'));
  const archive = fileURLToPath(new URL(`../fixtures/${PACKAGES[which]}`, import.meta.url));
  execFileSync('tar', ['-xJf', archive, '-C', trees, which]);
  for (const name of ['rulecast', 'rulecast-firewall'])
    execFileSync('dpkg-deb', [
      '--root-owner-group',
      '-Zgzip',
      '-z1',
      '-b',
      `${trees}/${which}/${name}`,
      scene.path('before', `${name}.deb`),
    ]);
}

/** A qube behind the firewall that the machine is, and two hosts before it. */
export function wire(on: Machine): void {
  on.run(`sysctl -qw net.ipv4.ip_forward=1
    for side in qube net; do ip netns add $side; done
    ip link add vif type veth peer name eth0 netns qube
    ip link set vif group 2 up
    ip addr add 10.137.0.1/24 dev vif
    ip -n qube addr add 10.137.0.5/24 dev eth0
    ip -n qube link set eth0 up
    ip -n qube route add default via 10.137.0.1
    ip link add uplink type veth peer name eth0 netns net
    ip link set uplink up
    ip addr add 203.0.113.254/24 dev uplink
    ip -n net addr add ${DROPPED}/24 dev eth0
    ip -n net addr add ${OPEN}/24 dev eth0
    ip -n net link set eth0 up
    ip -n net route add default via 203.0.113.254`);
}

/** The qube asks both ten times a second from now on; once it has an answer of the one that is open. */
export async function ask(on: Machine, scene: Scene): Promise<void> {
  for (const [host, file] of [
    [DROPPED, 'dropped'],
    [OPEN, 'open'],
  ])
    on.run(`ip netns exec qube ping -n -i 0.1 ${host} > /srv/${file} 2>&1 &`);
  await eventually(async () => answers(scene).length > 0);
}

/**
 * The qube had all answers of the host that is open from the first until now, and none of the other, unless
 * that is open by now.
 */
export async function expectAnswers(scene: Scene, isAllOpen = false): Promise<void> {
  const { length } = answers(scene);
  await eventually(async () => answers(scene).length > length + 2);
  const heard = answers(scene);
  expect(heard).toEqual(heard.map((_, i) => i + (heard[0] ?? 0)));
  expect(readFileSync(scene.path('dropped'), 'utf8').includes('bytes from')).toBe(isAllOpen);
}

/** The numbers of the questions that were answered. */
function answers(scene: Scene): readonly number[] {
  const text = readFileSync(scene.path('open'), 'utf8');
  return [...text.matchAll(/bytes from .*icmp_seq=(\d+)/g)].map(([, number]) => Number(number));
}
