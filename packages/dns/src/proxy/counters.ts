/** The counters of the proxy, as in CONTROL.md "record counters". Pure. */

import type { Client, DnsProxy } from './machine.ts';

/** Lists and qubes that are sent, those with most, beside the counters of packets. Our choice. */
const SHOWN = 8;
/**
 * A state beside the counters: 1 if the applier is connected, 0 if nothing can be opened. For the subscriber
 * alone.
 */
export const OPENS = 'dnsOpens';
/** A counter's name has so many characters at most. */
const NAME_MAX = 32;

/**
 * Counters by name: `dnsBlocked`, `dnsList.NAME`, `dnsQube.ADDRESS` with `-` for `:`, `dnsUpstream.1` of the
 * first one that is asked, and so on.
 */
export function countersOf({
  counts,
  blocked,
  upstreams,
}: Pick<DnsProxy<Client>, 'counts' | 'blocked' | 'upstreams'>): Readonly<Record<string, number>> {
  const named = (what: string, [key, count]: readonly [string, number]): readonly [string, number][] => {
    const name = `${what}.${key.replaceAll(':', '-')}`;
    return name.length > NAME_MAX ? [] : [[name, count]];
  };
  return {
    dnsQuestions: counts.questions,
    dnsAnswered: counts.answered,
    dnsBlocked: counts.blocked,
    dnsPrivate: counts.private,
    dnsOtherFamily: counts.otherFamily,
    dnsFailed: counts.failed,
    dnsFull: counts.full,
    dnsRefused: counts.refused,
    dnsHeard: counts.heard,
    dnsHeardMs: Math.round(counts.heardMs),
    ...Object.fromEntries(
      upstreams.unanswered
        .map((count, index): readonly [string, number] => [`dnsUpstream.${index + 1}`, count])
        .filter(([, count]) => count > 0)
        .slice(0, SHOWN),
    ),
    ...Object.fromEntries(blocked.lists.most(SHOWN).flatMap((one) => named('dnsList', one))),
    ...Object.fromEntries(blocked.qubes.most(SHOWN).flatMap((one) => named('dnsQube', one))),
  };
}
