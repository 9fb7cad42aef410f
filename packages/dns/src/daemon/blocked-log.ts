/** Logs blocked questions, if an option asks for it: the names that a qube looks up are private. */

import { nameText } from '../message/name.ts';
import type { TellOfBlocked } from '../proxy/machine.ts';

/** Lines of a second at most: a qube that asks without end fills no disk. Our choice. */
const LINES_PER_S = 10;

export interface BlockedLine {
  readonly qube: string;
  readonly blocked: string;
  /** The list of names that blocked it; absent: a name in a rule, or the setting for unlisted names. */
  readonly list?: string;
}

export interface BlockedLogOptions {
  /** One in so many questions is logged, chosen at random. */
  readonly oneOf: number;
  /** In [0, 1). */
  readonly random: () => number;
  /** Steady, in milliseconds. */
  readonly nowMs: () => number;
  readonly log: (line: BlockedLine) => void;
}

export function blockedLog({ oneOf, random, nowMs, log }: BlockedLogOptions): TellOfBlocked {
  let [left, sinceMs] = [LINES_PER_S, nowMs()];
  return (qube, name, at, { rule }) => {
    if (random() * oneOf >= 1) return;
    const atMs = nowMs();
    if (atMs - sinceMs >= 1000) [left, sinceMs] = [LINES_PER_S, atMs];
    if (left === 0) return;
    left--;
    const list = rule?.list;
    log({ qube, blocked: nameText(name, at), ...(list !== undefined && { list }) });
  };
}
