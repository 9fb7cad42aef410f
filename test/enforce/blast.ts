/**
 * A flood of packets through the network of the tests, hundreds of thousands a second, counted where they
 * arrive.
 */

import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { HostName, Namespace, Network } from './network.mjs';

const BLASTER = fileURLToPath(new URL('./frame-blaster.py', import.meta.url));
/** It sends rounds of so many frames. */
const ROUND_FRAMES = 2048;
const LONGEST_SECONDS = 600;

/**
 * Counts packets by destination, in the kernel, and lets the host see none of them. Replaces what it counted
 * before.
 */
export function countArrivals(host: Namespace, addresses: readonly string[]): void {
  const rules = addresses.map((dst, index) => {
    const family = dst.includes(':') ? 'ip6' : 'ip';
    return `counter c${index} { }; chain p { ${family} daddr ${dst} counter name c${index} drop; }`;
  });
  host.nft(
    `add table inet arrivals\ndelete table inet arrivals\ntable inet arrivals { chain p { type filter hook prerouting priority -500; }; ${rules.join('; ')}; }\n`,
  );
}

/** How many came, by address, in the order of `countArrivals`. */
export function arrivalCounts(host: Namespace): readonly number[] {
  const listed = host.run(['nft', 'list', 'counters', 'table', 'inet', 'arrivals']);
  return [...listed.matchAll(/packets (\d+)/g)].map((match) => Number(match[1]));
}

/**
 * Sends the frames over and over from a host. Their number has to divide 2,048, so that each goes out equally
 * often. Call `stop` for how often that was.
 */
export function blast(
  network: Network,
  from: HostName,
  frames: readonly Uint8Array[],
): { stop(): Promise<number> } {
  if (ROUND_FRAMES % frames.length !== 0)
    throw new RangeError(`${frames.length} does not divide ${ROUND_FRAMES}`);
  const blaster = network.links[from].namespace.spawn(['python3', BLASTER, 'eth0', String(LONGEST_SECONDS)]);
  let said = '';
  blaster.stdout?.on('data', (bytes: Buffer) => {
    said += bytes.toString();
  });
  blaster.stdin?.end(frames.map((frame) => Buffer.from(frame).toString('hex')).join('\n'));
  return {
    stop: async () => {
      const ended = once(blaster, 'close');
      blaster.kill('SIGTERM');
      await ended;
      return Number(said.split(' ')[0]) / frames.length;
    },
  };
}
