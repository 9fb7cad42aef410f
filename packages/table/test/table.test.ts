import { type Address, EMPTY_RULE_SET, evaluate, formatRule, type Packet, runsOf, ruleAt, type Verdict } from '@rulecast/rules';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CodeAction, LookupDirection, Table, type TableVerdict, UNREADABLE } from '../src/index.ts';
import { edgeAddresses, Random, randomCase, randomPacket } from './random-rule-set.ts';

/** A verdict of the evaluator, as the table words it. */
function worded(verdict: Verdict, generation: number): TableVerdict {
  const { action, by } = verdict;
  return {
    action,
    generation,
    direction: by?.direction,
    policy: by?.policy,
    rulePolicy: by?.rule?.policy,
    run: by?.rule?.run,
    list: by?.rule?.list,
  };
}

function ofOneFamily(packet: Packet): boolean {
  return packet.src === undefined || packet.src.family === packet.dst.family;
}

/** The code through the forms that allocate nothing. */
function codeOf(table: Table, { direction, src, dst, proto, port, icmpType }: Packet): number {
  const detail = (proto === 6 || proto === 17 ? port : icmpType) ?? UNREADABLE;
  if (dst.family === 4) {
    return table.lookup4(LookupDirection[direction], src?.words[0], dst.words[0] ?? 0, proto, detail);
  }
  return table.lookup6(LookupDirection[direction], src?.words, 0, dst.words, 0, proto, detail);
}

function checkPackets(table: Table, seed: number, packets: number): void {
  const { ruleSet, environment, prefixes } = randomCase(seed, 64);
  const generation = table.flip(table.prepare(ruleSet, environment));
  const random = new Random(seed ^ 0x5eed);
  const addresses = edgeAddresses(prefixes);
  for (let i = 0; i < packets; i++) {
    const packet = randomPacket(random, addresses);
    const verdict = evaluate(ruleSet, environment, packet);
    const expected = worded(verdict, generation);
    expect(table.lookup(packet), `seed ${seed}, packet ${i}`).toEqual(expected);
    if (ofOneFamily(packet)) expect(table.decode(codeOf(table, packet))).toEqual(expected);
    if (i % 8 === 0) {
      const by = verdict.by;
      const policy = by?.rule && ruleSet.policies.get(by.rule.policy);
      const rule =
        by?.rule && policy && formatRule(ruleAt(runsOf(policy, by.direction), by.rule.index), by.direction);
      expect(table.explain(packet)).toEqual({ verdict, rule, generation });
    }
  }
}

describe('a table', () => {
  it('answers 240,000 packets at the edges of random rule sets as the evaluator does', () => {
    const table = new Table();
    for (let seed = 0; seed < 400; seed++) checkPackets(table, seed, 600);
  });
});
