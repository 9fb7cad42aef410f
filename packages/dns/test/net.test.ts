/** The commands of rulecast-dns-net: never a moment in which what is marked goes elsewhere. */

import { describe, expect, it } from 'vitest';
import { stepsToMake, stepsToRemove } from '../src/net/steps.ts';

const lines = (hasIpv6: boolean): readonly string[] =>
  stepsToMake({ namespace: 'x', hasIpv6 }).flatMap(({ command, input = '' }) =>
    command[0] === 'ip' && input !== ''
      ? input
          .trim()
          .split('\n')
          .map((line) => `${command.slice(1, -2).join(' ')} ${line}`.trim())
      : [],
  );

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

  it('takes away what it made, whatever of it is there', () => {
    const steps = stepsToRemove({ namespace: 'x', hasIpv6: true });
    expect(steps.every(({ mayFail }) => mayFail)).toBe(true);
    const said = steps.map(({ command }) => command.join(' '));
    for (const what of [
      'link del rulecast-dns',
      'netns del x',
      '-4 rule del',
      '-6 rule del',
      '-4 route del',
      '-6 route del',
    ])
      expect(said.filter((each) => each.includes(what))).toHaveLength(1);
  });
});
