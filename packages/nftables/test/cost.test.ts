/** What `rulectl lists try` says of the kernel, beside what its constants were measured to be. */

import { EMPTY_RULE_SET, emptyPolicy, FIRST_POLICY, prefixListOf } from '@rulecast/rules';
import { describe, expect, it } from 'vitest';
import { prefixSetFrom, runsFrom } from '../../../test/kit/rules.ts';
import { kernelBytesFor } from '../src/cost.ts';

function bytesOfHosts(count: number): number {
  const hosts = Array.from({ length: count }, (_, i) => `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`);
  const list = prefixListOf(prefixSetFrom(hosts));
  const first = { ...emptyPolicy(FIRST_POLICY), egress: runsFrom('egress', ['drop dst=@a']) };
  const lists = new Map([['a', list]]);
  return kernelBytesFor({ ...EMPTY_RULE_SET, lists, policies: new Map([[FIRST_POLICY, first]]) });
}

describe('the cost of a rule set', () => {
  it('of a large list is 80 bytes for each host, its buckets, and little else', () => {
    const bytes = bytesOfHosts(50_000);
    expect(bytes).toBeGreaterThan(50_000 * 80);
    expect(bytes).toBeLessThan(50_000 * 110);
  });

  it('of an empty list is that of its rule', () => {
    expect(bytesOfHosts(0)).toBeLessThan(16_384);
  });
});
