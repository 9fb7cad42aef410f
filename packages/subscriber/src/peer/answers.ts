/** The answers of table and sink to a question, as messages of the protocol. */

import { packetFromWire, verdictToWire, type WireRefusedQuery } from '@rulecast/protocol';
import type { Packet } from '@rulecast/rules';
import type { Explanation } from '@rulecast/table';
import type { ToldName } from '../apply/sink.ts';
import type { RefusedPage } from '../refused/kept.ts';
import { type CounterPages, withMost } from './counters.ts';
import type { Answer, Question } from './states.ts';

/** An explanation, and by which name the address is open that a rule accepts for that. */
export interface LiveExplanation extends Explanation {
  readonly told: ToldName | undefined;
}

export interface AnswerHost {
  /** May reject: it asks a sink which names DNS gave the qube. */
  explain(packet: Packet): Promise<LiveExplanation>;
  /** All counters. May reject, as the sink is asked too. */
  counters(): Promise<Readonly<Record<string, number>>>;
  readonly pages: CounterPages;
  /** Throws Error if there is no log. */
  refused(query: WireRefusedQuery): RefusedPage;
}

/** `skipped` messages were passed over. Does not reject. */
export async function answerTo(
  { packet, refused, from }: Question,
  host: AnswerHost,
  skipped: number,
): Promise<Answer> {
  try {
    if (packet !== undefined) {
      const { verdict, rule, told, generation } = await host.explain(packetFromWire(packet));
      const saying = told && { name: told.name, agoS: told.agoS };
      return { kind: 'verdict', verdict: verdictToWire(verdict, rule), told: saying, generation };
    }
    if (refused !== undefined) return { kind: 'refused', ...host.refused(refused) };
    const read = async (): Promise<Readonly<Record<string, number>>> => {
      const counters = await host.counters();
      return skipped === 0 ? counters : { ...counters, skipped };
    };
    const page = from === undefined ? withMost(await read()) : await host.pages.page(from, read);
    return { kind: 'stats', ...page };
  } catch (error) {
    return { kind: 'none', text: error instanceof Error ? error.message : String(error) };
  }
}
