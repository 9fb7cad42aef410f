/** The nftables sink of this process, with its applier in the router of a network. */

import { readFileSync } from 'node:fs';
import { applierCommand, createNftSink } from '@rulecast/nftables';

/**
 * @param {import('./network.mjs').Network} network
 * @param {Omit<import('@rulecast/nftables').NftSinkOptions, 'applier'>} [options]
 * @param {readonly string[]} [applierOptions]
 */
export function sinkIn(network, options = {}, applierOptions = []) {
  const { program, args } = applierCommand(applierOptions);
  const [first = program, ...rest] = [...network.router.prefix, program, ...args];
  return createNftSink({ ...options, applier: { program: first, args: rest } });
}

/** Process ids of the appliers that this process started. */
export function appliers() {
  const children = readFileSync(`/proc/self/task/${process.pid}/children`, 'latin1')
    .trim()
    .split(' ')
    .map(Number);
  return children.filter((pid) => readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes('applier-main'));
}
