/**
 * Packets that must pass in every release: those that manage the firewalls, this host or its users. A release
 * that would newly drop one of them is refused. The reference evaluator decides. The DNS servers of the
 * firewalls are not known here, so `specialtarget=dns` matches nothing.
 */

import type { MustReach } from '@rulecast/formats';
import type { Turn } from '@rulecast/protocol';
import {
  type Address,
  columnFor,
  evaluate,
  type Packet,
  prefixAt,
  type RuleSet,
  type Verdict,
} from '@rulecast/rules';
import type { GuardRefusal } from './refusal.ts';

export const UNREACHABLE = 'unreachable';

/** Verdicts between two turns of the event loop: each is linear in the rules that judge. */
const VERDICTS_A_TURN = 16;
/** The most refusals reported. */
const REFUSALS_MAX = 16;

interface Judging {
  /** In seconds since 1970. */
  readonly now: number;
  /** Ends each reason. */
  readonly advice: string;
  readonly turn: Turn;
}

/**
 * Refusals for those of `packets` that would be dropped and pass now. `before`: the release in force;
 * undefined before the first.
 */
export async function unreachable(
  before: RuleSet | undefined,
  after: RuleSet,
  packets: readonly MustReach[],
  { now, advice, turn }: Judging,
): Promise<readonly GuardRefusal[]> {
  const environment = { now, dns: [] };
  const refusals: GuardRefusal[] = [];
  let verdicts = 0;
  for (const { text, packet } of packets) {
    for (const src of sendersOf(packet, after)) {
      if (refusals.length === REFUSALS_MAX) return refusals;
      if (++verdicts % VERDICTS_A_TURN === 0) await turn();
      const sent = { ...packet, src };
      const verdict = evaluate(after, environment, sent);
      if (verdict.action !== 'drop') continue;
      if (before !== undefined && evaluate(before, environment, sent).action === 'drop') continue;
      refusals.push(refusalOf(text, verdict, advice));
      break; // one sender is enough to refuse it
    }
  }
  return refusals;
}

/** Senders to try for a packet without one: a qube of every prefix in a policy, and one outside all. */
function sendersOf(packet: Packet, { policies }: RuleSet): readonly (Address | undefined)[] {
  if (packet.src !== undefined) return [packet.src];
  const { family } = packet.dst;
  const senders: (Address | undefined)[] = [undefined];
  for (const policy of policies.values()) {
    const column = columnFor(policy.prefixes, family);
    for (let i = 0; i < column.lengths.length; i++)
      senders.push({ family, words: prefixAt(column, i).words });
  }
  return senders;
}

function refusalOf(text: string, { by }: Verdict, advice: string): GuardRefusal {
  const rule = by?.rule;
  const list = rule?.list;
  const judge = by?.policy === undefined ? 'unmatched' : `policy ${by.policy}`;
  const cause =
    rule === undefined
      ? by?.policy === undefined
        ? 'unmatched: drop'
        : `the default action of ${judge}`
      : `${rule.block === 'exceptions' ? 'exception' : 'rule'} ${rule.index + 1} of policy ${rule.policy}${list === undefined ? '' : `, list ${list}`}`;
  return {
    guard: UNREACHABLE,
    part: list !== undefined ? `list ${list}` : rule === undefined ? judge : `policy ${rule.policy}`,
    before: 0,
    after: 1,
    reason: `${text} must be reachable (must-reach:) and would be dropped by ${cause}: ${advice}`,
  };
}
