/** Packets, and DNS questions, on a command line. */

import { parseAskedPacket } from '@rulecast/formats/packet';
import { parseQuestionText } from '@rulecast/formats/question';
import type { NameQuestion, Packet } from '@rulecast/rules';
import { CliError, ExitCode } from './exit.ts';

/** Directions of a packet: from a qube, to a qube, or between two qubes. */
export const DIRECTIONS = ['egress', 'ingress', 'both'] as const;
export type PacketDirection = (typeof DIRECTIONS)[number];

/** A packet and the policy of its source. Throws CliError `refused`. */
export function packetOf(
  text: string,
  direction: PacketDirection,
): { readonly packet: Packet; readonly policy: string | undefined } {
  const result = parseAskedPacket(text, direction);
  if (result.kind === 'packet') return result;
  const message = `packet ${JSON.stringify(text)}, column ${result.column}: ${result.reason}`;
  throw new CliError(ExitCode.refused, result.code, message);
}

/** Throws CliError `refused`. */
export function questionOf(text: string): NameQuestion {
  const result = parseQuestionText(text);
  if (result.kind === 'question') return result.question;
  const message = `question ${JSON.stringify(text)}, column ${result.column}: ${result.reason}`;
  throw new CliError(ExitCode.refused, result.code, message);
}
