/** What the table, the sink and the content answer to a question, in the words of the machine. */

import { ErrorCode, packetFromWire, verdictToWire } from '@rulecast/protocol';
import type { Packet } from '@rulecast/rules';
import type { Explanation } from '@rulecast/table';
import type { ToldName } from '../apply/sink.ts';
import type { Content } from './content.ts';
import type { Answer, Question } from './states.ts';

/** An explanation, and by which name the address is open that a rule accepts for that. */
export interface LiveExplanation extends Explanation {
  readonly told: ToldName | undefined;
}

export interface AnswerHost {
  /** May reject: a sink is asked for what a qube was told. */
  explain(packet: Packet): Promise<LiveExplanation>;
  /** May reject: a sink is asked too. */
  counters(): Promise<Readonly<Record<string, number>>>;
  readonly content: Content;
}

/** `skipped` messages were passed over. Does not reject. */
export async function answerTo(
  { packet, content }: Question,
  host: AnswerHost,
  skipped: number,
): Promise<Answer> {
  try {
    if (packet !== undefined) {
      const { verdict, rule, told, generation } = await host.explain(packetFromWire(packet));
      const saying = told && { name: told.name, agoS: told.agoS };
      return { kind: 'verdict', verdict: verdictToWire(verdict, rule), told: saying, generation };
    }
    if (content !== undefined) return await contentFor(content, host.content);
    const stats = await host.counters();
    return { kind: 'stats', stats: skipped === 0 ? stats : { ...stats, skipped } };
  } catch (error) {
    return { kind: 'none', text: error instanceof Error ? error.message : String(error) };
  }
}

async function contentFor({ piece }: NonNullable<Question['content']>, content: Content): Promise<Answer> {
  if (piece === undefined) {
    const length = await content.length();
    if (length !== undefined) return { kind: 'length', ...length };
    return { kind: 'none', text: 'no release is in force here' };
  }
  const bytes = await content.piece(piece.hash, piece.from);
  if (bytes !== undefined) return { kind: 'piece', bytes };
  return { kind: 'none', code: ErrorCode.unknownRelease, text: 'that is not in force here, or not so long' };
}
