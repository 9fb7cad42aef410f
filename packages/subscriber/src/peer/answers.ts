/** What the table and the sink answer to a question, in the words of the machine. */

import { packetFromWire, verdictToWire, type WirePacket } from '@rulecast/protocol';
import type { Packet } from '@rulecast/rules';
import type { Explanation } from '@rulecast/table';
import type { Answer } from './states.ts';

export interface AnswerHost {
  explain(packet: Packet): Explanation;
  /** May reject: a sink is asked too. */
  counters(): Promise<Readonly<Record<string, number>>>;
}

/** About a packet, or without one the counters; `skipped` messages were passed over. Does not reject. */
export async function answerTo(
  packet: WirePacket | undefined,
  host: AnswerHost,
  skipped: number,
): Promise<Answer> {
  if (packet !== undefined) {
    const { verdict, rule, generation } = host.explain(packetFromWire(packet));
    return { kind: 'verdict', verdict: verdictToWire(verdict, rule), generation };
  }
  try {
    const stats = await host.counters();
    return { kind: 'stats', stats: skipped === 0 ? stats : { ...stats, skipped } };
  } catch (error) {
    return { kind: 'none', text: error instanceof Error ? error.message : String(error) };
  }
}
