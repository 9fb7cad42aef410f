/**
 * Logs refused packets to an NFLOG group: chains that a packet passes before it is dropped, and that no
 * accepted packet passes.
 *
 *   log_REASON   four rules for each way, that log what is within a rate of its address, or of its interface
 *   drop_REASON  jumps there, and drops
 *
 * A prefix is three words: 16 hex digits of the release that refuses, or `-`; the reason; and the way. The
 * rate is counted by the qube's address and interface, as a remote sender can forge its own: one qube cannot
 * hide the packets of another. If the set of addresses is full, the interface still has a rate.
 */

import {
  LOGGED_BYTES,
  LOGGED_OF_LINK_PER_S,
  LOGGED_PER_S,
  LOGGED_REMEMBERED_MS,
  LOGGED_SENDERS_MAX,
} from '../limits.ts';
import { addChain, addNotedSet, addRule, type Command, flushChain } from './commands.ts';
import {
  byte,
  type Expression,
  equals,
  isWithinRate,
  logs,
  Meta,
  machineWord,
  meta,
  metaBehind,
  NFPROTO,
  network,
  verdict,
} from './expressions.ts';

/** Why a packet is refused: `reply`, by a rule that judges its flow, which it is a reply of. */
export type LogReason = 'rule' | 'reply' | 'tcp-rest' | 'flowless' | 'closed' | 'dns';

export interface LogPlace {
  readonly downstreamGroup: number;
  /** The NFLOG group. Undefined: nothing is logged. */
  readonly logGroup?: number | undefined;
}

/** Digits of the release in a prefix. */
const RELEASE_DIGITS = 16;
const NO_RELEASE = '-';
const RETURN = verdict('return');
/** The ways of a packet from a qube, and to one; and where the address of the qube is. */
const WAYS = {
  from: { group: Meta.inGroup, index: Meta.inIndex, 4: network(12, 4), 6: network(8, 16) },
  to: { group: Meta.outGroup, index: Meta.outIndex, 4: network(16, 4), 6: network(24, 16) },
} as const;
const FAMILIES = [4, 6] as const;
/** A set for each direction: a sender to a qube cannot hide what the qube sends. */
const setName = (of: 4 | 6 | 'links' | 'beyond', way: string): string => `logged_${of}_${way}`;

export function logChain(reason: LogReason): string {
  return `log_${reason}`;
}

export function isLogChain(name: string): boolean {
  return /^(?:log|drop)_/.test(name);
}

/** The end of a rule that refuses a packet: directly, or by the chain that logs it first. */
export function refusal(
  reason: LogReason,
  ends: readonly Expression[],
  place: LogPlace,
): readonly Expression[] {
  return place.logGroup === undefined ? ends : [verdict('goto', `drop_${reason}`)];
}

/** The sets and chains of some reasons, and for each how a packet ends that `refusal` sent there. */
export function* logCommands(
  table: string,
  endings: Partial<Readonly<Record<LogReason, readonly Expression[] | undefined>>>,
  place: LogPlace,
  release?: string,
): Generator<Command> {
  if (place.logGroup === undefined) return;
  const room = { size: LOGGED_SENDERS_MAX, milliseconds: LOGGED_REMEMBERED_MS };
  for (const way of Object.keys(WAYS)) {
    for (const family of FAMILIES) yield addNotedSet(table, setName(family, way), family, room);
    for (const of of ['links', 'beyond'] as const)
      yield addNotedSet(table, setName(of, way), undefined, room);
  }
  for (const [reason, ends] of Object.entries(endings) as [LogReason, readonly Expression[] | undefined][]) {
    yield addChain(table, logChain(reason));
    for (const rule of logRules(reason, place, release)) yield addRule(table, logChain(reason), rule);
    if (ends === undefined) continue;
    yield addChain(table, `drop_${reason}`);
    for (const rule of [[verdict('jump', logChain(reason))], ends])
      yield addRule(table, `drop_${reason}`, rule);
  }
}

/** Rewrites the rules of those chains for another release. */
export function* relogCommands(
  table: string,
  reasons: readonly LogReason[],
  place: LogPlace,
  release: string,
): Generator<Command> {
  for (const reason of place.logGroup === undefined ? [] : reasons) {
    yield flushChain(table, logChain(reason));
    for (const rule of logRules(reason, place, release)) yield addRule(table, logChain(reason), rule);
  }
}

function logRules(
  reason: LogReason,
  { downstreamGroup, logGroup = 0 }: LogPlace,
  release = NO_RELEASE,
): readonly (readonly Expression[])[] {
  return Object.entries(WAYS).flatMap(([name, way]) => {
    const isOfQube = [meta(way.group), equals(machineWord(downstreamGroup))];
    const prefix = `${release.slice(0, RELEASE_DIGITS)} ${reason} ${name}`;
    const told = [logs(logGroup, prefix, LOGGED_BYTES), RETURN];
    const byAddress = FAMILIES.map((family) => [
      ...isOfQube,
      meta(Meta.family),
      equals(byte(NFPROTO[family])),
      way[family],
      metaBehind(way.index, family),
      isWithinRate(setName(family, name), LOGGED_PER_S),
      meta(way.index),
      isWithinRate(setName('links', name), LOGGED_OF_LINK_PER_S), // also bounds invented addresses
      ...told,
    ]);
    const byLink = [
      ...isOfQube,
      meta(way.index),
      isWithinRate(setName('beyond', name), LOGGED_PER_S),
      ...told,
    ];
    // beyond its rate; packets to a qube do not count here
    return [...byAddress, byLink, [...isOfQube, RETURN]];
  });
}
