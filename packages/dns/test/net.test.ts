/** The commands of rulecast-dns-net: never a moment in which what is marked goes elsewhere. */

import { describe, expect, it } from 'vitest';
import { foreignRouting } from '../src/net/others.ts';
import { stepsToMake, undoing } from '../src/net/steps.ts';

/** Without the batches taken apart, each line would have its family in front. */
const lines = (hasIpv6: boolean): readonly string[] =>
  stepsToMake({ namespace: 'x', hasIpv6 }).flatMap(({ command: [program, ...args], input = '' }) => {
    if (program !== 'ip') return [];
    const isBatch = args.includes('-batch');
    const said = isBatch ? input.trim().split('\n') : [''];
    return said.map((line) => `${(isBatch ? args.slice(0, -2) : args).join(' ')} ${line}`.trim());
  });

describe('the namespace of rulecast-dns', () => {
  it.each([4, 6] as const)('has IPv%i end at us from the first command on', (family) => {
    const own = lines(true).filter((line) => line.startsWith(`-${family} `));
    expect(own).toEqual([
      expect.stringMatching(/route add unreachable default metric 4294967295 table 5353$/),
      expect.stringMatching(/rule add pref 53 fwmark 0x530000\/0xff0000 lookup 5353$/),
      expect.stringMatching(/route add default via \S+ dev rulecast-dns metric 1 table 5353$/),
    ]);
  });

  it('asks nothing of IPv6 where there is none', () => {
    expect(lines(false).filter((line) => /-6|fd5a/.test(line))).toEqual([]);
  });

  it('is taken away before what leads there ends at nothing', () => {
    const said = undoing(stepsToMake({ namespace: 'x', hasIpv6: true })).map((command) => command.join(' '));
    expect(said.map((line) => line.replace(/ (?:pref|unreachable) .*/, ''))).toEqual([
      'ip link del rulecast-dns',
      'ip netns del x',
      'ip -6 rule del',
      'ip -6 route del',
      'ip -4 rule del',
      'ip -4 route del',
    ]);
  });

  it('takes a rule for its own only if it is that and no more', () => {
    const own = { priority: 53, src: 'all', fwmark: '0x530000', fwmask: '0xff0000', table: '5353' };
    const told = (rule: object): string | undefined =>
      foreignRouting((command) => (command.includes('rule') ? JSON.stringify([rule]) : undefined), 4);
    expect(told(own)).toBeUndefined();
    expect(told({ ...own, protocol: '3' })).toBeUndefined();
    for (const more of [{ not: null }, { iif: 'eth0' }, { src: '192.0.2.1' }, { fwmask: '0xffffffff' }])
      expect(told({ ...own, ...more })).toContain('routing table 5353');
    expect(told({ ...own, table: '100' })).toContain('priority 53');
    expect(told({ ...own, priority: 54, table: '100' })).toContain('mark 0x530000');
    expect(told({ priority: 54, src: 'all', fwmark: '0x80000', fwmask: '0xff0000', table: '52' })).toBe(
      undefined,
    );
  });
});
