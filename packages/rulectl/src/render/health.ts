/**
 * Whether the release is in force everywhere: all troubles, the worst first, each with its age and a remedy,
 * for a person who looks once. Pure.
 */

import type { ControlRecordOf, FleetState } from '@rulecast/protocol';
import { formatAge, formatAmount, formatCount } from './amounts.ts';
import { codesText, type Fleet, heardCount } from './fleet.ts';
import type { StatusView } from './status.ts';

/** Something that is wrong. */
export interface Trouble {
  /** A sentence without its end; begins with a name, or a small letter. */
  readonly text: string;
  /** One command, and where to run it; undefined if the text says what to do. */
  readonly remedy?: string | undefined;
}

export interface Health {
  readonly state: 'well' | 'degraded' | 'not-enforced';
  /** A sentence if nothing is wrong. */
  readonly text: string;
  /** The worst first. */
  readonly troubles: readonly Trouble[];
}

type Firewall = ControlRecordOf<'subscriber'>;
type Head = ControlRecordOf<'head'>;

/** Troubles are grouped by kind: those that let packets pass, or may, come first. */
const RANKS = ['empty', 'refused', 'other', 'behind', 'away', 'names', 'disk', 'fresh', 'coming'] as const;
type Ranked = readonly [rank: (typeof RANKS)[number], trouble: Trouble];

/** In a large fleet a few names are always away: up to this share they are no trouble. */
const ODD_SHARE = 0.01;

/** Reasons of a publisher that keep every release back, or every firewall from it. */
const GRAVE = /^(?:nothing is|firewalls (?:that remember nothing|refuse)\b)/;
/** The trouble of a rules file that waits, for a list or to be read. */
const WAITING = /^(\S+ waits (?:for list|to be) .*): (rulectl .*)$/;
/** Commands that say more about other troubles. */
const REMEDIES: readonly (readonly [RegExp, string])[] = [
  [/^list (\S+) is (?:not fresh|unchanged)/, 'rulectl lists show $1'],
  [/^the configuration /, 'rulectl check publisher.yaml'],
];
/** Counters that are 1 while something is wrong: `dnsDown.2` of the second upstream. */
const FLAGS: Readonly<Record<string, readonly [rank: Ranked[0], text: string]>> = {
  dnsDown: ['names', ': upstream # of rulecast-dns does not answer'],
  dnsCrowded: [
    'names',
    ': some answers of DNS go without addresses, or are SERVFAIL: no room for more (docs/reference/dns.md)',
  ],
  dnsBeyond: [
    'names',
    ': some questions of DNS are not answered: a qube asks too many at once (docs/reference/dns.md)',
  ],
  logOff: [
    'names',
    ': what it refuses is not logged: another program reads the log, or its kernel has none (docs/explain/enforcement.md)',
  ],
  stale: ['fresh', ' is stale: for two minutes or more it has not heard that its release is the newest'],
  rootDue: ['fresh', ' has a root that is to be renewed soon'],
  rootOverdue: ['fresh', ' has a root that is overdue for renewal'],
};

/** `nowMs`: milliseconds since 1970, for ages. */
export function healthOf(view: StatusView, nowMs: number): Health {
  const { head, subscribers, fleet } = view;
  const expected = subscribers.filter((subscriber) => subscriber.expected);
  const reasons = (head?.degraded ?? []).filter((text) => !text.startsWith('not connected: '));
  const of = (texts: readonly string[]): readonly Trouble[] => texts.map(ofPublisher);
  const grave = of(reasons.filter((text) => GRAVE.test(text)));
  const isFirst = head === undefined || head.version === 0;
  const waiting = isFirst ? reasons.find((text) => WAITING.test(text)) : undefined;
  const others = of(reasons.filter((text) => !GRAVE.test(text) && text !== waiting));
  const notEnforced = (...troubles: readonly Trouble[]): Health => {
    return { state: 'not-enforced', text: '', troubles: [...grave, ...troubles, ...others] };
  };
  if (isFirst) {
    const why = waiting === undefined ? undefined : ofPublisher(waiting);
    const text = `nothing is released yet${why === undefined ? '' : `: ${why.text}`}`;
    const none = { text, remedy: why?.remedy ?? 'rulectl push FILE' };
    return grave.length > 0 ? notEnforced() : notEnforced(none);
  }
  const version = `version ${formatCount(head.version)}`;
  const heard = fleet === undefined ? 0 : heardCount(fleet);
  if (expected.length + heard === 0) {
    const who = subscribers.length === 0 ? 'no firewall was ever connected' : 'no firewall is expected';
    const text = `${version} is in force nowhere: ${who}`;
    return notEnforced({ text, remedy: 'rulecast-doctor, on each firewall' });
  }
  const ofFirewalls = expected
    .flatMap((one) => [...releaseTroubles(one, head, nowMs), ...ownTroubles(one, view, head)])
    .concat(fleet === undefined ? [] : fleetTroubles(fleet, head, nowMs))
    .sort(([a], [b]) => RANKS.indexOf(a) - RANKS.indexOf(b));
  const troubles = ofFirewalls.map(([, trouble]) => trouble);
  const isInForce =
    expected.some(({ state, matches }) => matches || state === 'receiving') ||
    (fleet !== undefined && (fleet.synced > 0 || (fleet.behind > 0 && isComing(fleet, head, nowMs))));
  if (!isInForce && expected.length + heard > 1) {
    const text = `none of the ${formatCount(expected.length + heard)} firewalls enforces ${version}`;
    return notEnforced({ text }, ...troubles);
  }
  if (!isInForce || ofFirewalls[0]?.[0] === 'empty') return notEnforced(...troubles);
  const all = [...grave, ...troubles, ...others];
  const [first] = expected;
  const who = expected.length === 1 ? `${first?.name} enforces` : `all ${expected.length} firewalls enforce`;
  const members = `${formatCount(fleet?.synced ?? 0)} of ${formatAmount(heard, 'name')} that report`;
  const released = `released ${formatAge(nowMs - head.createdAtMs)} ago`;
  const text =
    expected.length === 0
      ? `${members} enforce ${version}, ${released}`
      : `${who} ${version}, ${released}${heard === 0 ? '' : `; so do ${members}`}`;
  return { state: all.length === 0 ? 'well' : 'degraded', text, troubles: all };
}

function ofPublisher(text: string): Trouble {
  const [, why, command] = WAITING.exec(text) ?? [];
  if (why !== undefined) return { text: why, remedy: command };
  const [found, remedy] = REMEDIES.find(([pattern]) => pattern.test(text)) ?? [];
  const whole = found === undefined ? undefined : found.exec(text);
  return { text, remedy: remedy?.replace('$1', whole?.[1] ?? '') };
}

/** Whether names may not have said yet that they have the head. */
function isComing({ everyMs }: Fleet, { createdAtMs }: Head, nowMs: number): boolean {
  return nowMs - createdAtMs < 2 * everyMs;
}

/** Troubles of a fleet. Names that never reported are expected, and so listed with the subscribers. */
function fleetTroubles(fleet: Fleet, head: Head, nowMs: number): readonly Ranked[] {
  const heard = heardCount(fleet);
  const few = heard * ODD_SHARE;
  const version = `version ${formatCount(head.version)}`;
  const troubles = (rank: Ranked[0], state: FleetState, text: string, least: number): readonly Ranked[] => {
    if (fleet[state] <= least) return [];
    const who = `${formatCount(fleet[state])} of ${formatAmount(heard, 'name')} that report`;
    return [[rank, { text: `${text} ${who}`, remedy: `rulectl status --state ${state}` }]];
  };
  return [
    ...troubles('refused', 'refused', `${version} is refused${codesText(fleet)} by`, 0),
    ...(isComing(fleet, head, nowMs)
      ? []
      : troubles('behind', 'behind', `${version} is not in force at`, few)),
    ...troubles('away', 'silent', `nothing was heard for ${formatAge(2 * fleet.everyMs)} of`, few),
  ];
}

/** Why a firewall does not have the head in force. */
function releaseTroubles(one: Firewall, head: Head, nowMs: number): readonly Ranked[] {
  const { name, version } = one;
  if (one.state === 'synced' && one.matches) return [];
  const state = one.state === 'synced' ? 'behind' : one.state;
  const [rank, text] = shortfallOf({ ...one, state }, head, nowMs);
  const remedy = state === 'receiving' ? 'rulectl status --watch' : `rulecast-doctor, on ${name}`;
  return [[version === undefined ? 'empty' : rank, { text: `${name} ${text}`, remedy }]];
}

function shortfallOf(
  one: Firewall & { readonly state: Exclude<Firewall['state'], 'synced'> },
  head: Head,
  nowMs: number,
): readonly [rank: Ranked[0], text: string] {
  const wanted = `version ${formatCount(head.version)}`;
  const had = one.version === undefined ? 'no release' : `version ${formatCount(one.version)}`;
  const reason = one.refusal ?? one.lastError;
  const because = reason === undefined ? '' : ` (${reason.code}: ${reason.text})`;
  const since = (atMs: number): string => `for ${formatAge(nowMs - atMs)}`;
  switch (one.state) {
    case 'refused':
      return [
        'refused',
        `has refused ${wanted} ${since(reason?.atMs ?? nowMs)}${because}, and enforces ${had}`,
      ];
    case 'diverged':
      return ['other', `claims ${had}, which this publisher did not release`];
    case 'disconnected':
      if (one.lastSeenMs === 0) return ['away', 'was never connected'];
      return ['away', `has been away ${since(one.lastSeenMs)}, and enforced ${had} then${because}`];
    case 'receiving':
      return ['coming', `gets ${wanted} now, and enforces ${had} until then`];
    case 'behind':
      if (one.version === head.version) return ['other', `enforces another ${wanted} than was released`];
      return [
        'behind',
        one.lagMs === 0
          ? `enforces ${had} instead of ${wanted}${because}`
          : `has enforced ${had} instead of ${wanted} for ${formatAge(one.lagMs)}${because}`,
      ];
  }
}

/** Further troubles of a firewall. */
function ownTroubles({ name, persisted }: Firewall, { counters }: StatusView, head: Head): readonly Ranked[] {
  const remedy = `rulecast-doctor, on ${name}`;
  const flags = counters.flatMap((each) =>
    each.record === 'counters' && each.subscriber === name ? Object.entries(each.counters) : [],
  );
  const disk = `${name} does not keep version ${formatCount(head.version)} on disk: after a restart it enforces an older one, or none, until it gets this one again`;
  return [
    ...(persisted === false ? [['disk', { text: disk, remedy }] as const] : []),
    ...flags.flatMap(([counter, value]): readonly Ranked[] => {
      const [flag = '', place = ''] = counter.split('.');
      if (value !== 1 || !Object.hasOwn(FLAGS, flag)) return [];
      const [rank, text] = FLAGS[flag] ?? ['other', ''];
      return [[rank, { text: `${name}${text.replace('#', place)}`, remedy }]];
    }),
  ];
}
