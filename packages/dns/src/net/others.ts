/**
 * Finds objects of other programs that conflict with ours, by `ip` and `nft`. They are never touched: the
 * user of `rulecast-dns-net` is told.
 */

import { CAPTURE_LINK, CAPTURE_MARK, CAPTURE_MARK_BITS } from '@rulecast/nftables/capture';
import { type Command, NAMESPACE_TABLE, NEAR_MAC, ROUTING_TABLE, RULE_PRIORITY } from './steps.ts';

/** Runs a command that only reads: its output, or undefined if the object does not exist. Throws. */
export type Look = (command: Command) => string | undefined;

type Found = Readonly<Record<string, unknown>>;

/** The mask of a packet's mark that `ip` assumes if none is given. */
const WHOLE_MASK = 0xffff_ffff;
/** The fields that `ip` shows for a rule of ours, and no other. */
const OWN_RULE = ['priority', 'src', 'fwmark', 'fwmask', 'table', 'protocol'];

/** Why nothing must be removed: it is not ours. Undefined: it is ours, or does not exist. */
export function foreignThing(look: Look, namespace: string, isNamed: boolean): string | undefined {
  const [link] = found(look(['ip', '-json', '-details', 'link', 'show', 'dev', CAPTURE_LINK]));
  if (link !== undefined && (kindOf(link) !== 'veth' || link['address'] !== NEAR_MAC))
    return `there is a link ${CAPTURE_LINK} that rulecast-dns-net did not make: give it another name, or remove it (ip link del ${CAPTURE_LINK})`;
  if (!isNamed) return undefined;
  const tables = look(['ip', 'netns', 'exec', namespace, 'nft', 'list', 'tables']) ?? '';
  if (tables.split('\n').includes(`table inet ${NAMESPACE_TABLE}`)) return undefined;
  return `rulecast-dns-net did not make the network namespace ${namespace}, or did not finish it: it has no table ${NAMESPACE_TABLE} of nftables. Choose another --namespace, or remove it (ip netns del ${namespace})`;
}

/** A conflict with the rule or the routes of a family. Undefined: none. */
export function foreignRouting(look: Look, family: 4 | 6): string | undefined {
  const ip = (...command: readonly string[]): readonly Found[] =>
    found(look(['ip', '-json', '-Numeric', `-${family}`, ...command]));
  const other = ip('route', 'show', 'table', `${ROUTING_TABLE}`).find((route) => !isOwnRoute(route));
  if (other !== undefined)
    return `the IPv${family} routing table ${ROUTING_TABLE} has a route of another program to ${other['dst']}: remove it (ip -${family} route del ${other['dst']} table ${ROUTING_TABLE})`;
  for (const rule of ip('rule', 'show')) {
    const why = isOwnRule(rule) ? undefined : conflictOf(rule);
    if (why !== undefined)
      return `the IPv${family} rule ${rule['priority']} (ip -${family} rule) is of another program, and ${why}: change or remove it`;
  }
  return undefined;
}

/** Why a rule that is not ours cannot be beside ours. */
function conflictOf(rule: Found): string | undefined {
  if (Number(rule['table']) === ROUTING_TABLE) return `leads to routing table ${ROUTING_TABLE}, too`;
  if (rule['priority'] === RULE_PRIORITY) return `has the priority ${RULE_PRIORITY}, too`;
  if (rule['fwmark'] === undefined || 'not' in rule) return undefined;
  const shared = Number(rule['fwmask'] ?? WHOLE_MASK) & CAPTURE_MARK_BITS;
  const isOurs = shared !== 0 && ((Number(rule['fwmark']) ^ CAPTURE_MARK) & shared) === 0;
  return isOurs ? `matches packets with the mark 0x${CAPTURE_MARK.toString(16)}, too` : undefined;
}

function isOwnRule(rule: Found): boolean {
  return (
    rule['priority'] === RULE_PRIORITY &&
    rule['src'] === 'all' &&
    Number(rule['fwmark']) === CAPTURE_MARK &&
    Number(rule['fwmask']) === CAPTURE_MARK_BITS &&
    Number(rule['table']) === ROUTING_TABLE &&
    Object.keys(rule).every((key) => OWN_RULE.includes(key))
  );
}

/** By our link, or nowhere. */
function isOwnRoute({ dst, dev, type }: Found): boolean {
  return dst === 'default' && (dev === CAPTURE_LINK || Number(type) === UNREACHABLE);
}

const UNREACHABLE = 7;

function kindOf({ linkinfo }: Found): unknown {
  return isObject(linkinfo) ? linkinfo['info_kind'] : undefined;
}

/** The listed objects. */
function found(json: string | undefined): readonly Found[] {
  const all: unknown = JSON.parse(json?.trim() || '[]');
  return Array.isArray(all) ? all.filter(isObject) : [];
}

function isObject(value: unknown): value is Found {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
