/** METRICS: what monitoring wants to know, as samples of families. CONTROL.md "METRICS". */

import { PROTOCOL_VERSION, SAMPLES_MAX } from '@rulecast/protocol';
import { entryCount } from '@rulecast/rules';
import type { ControlExchange } from '../control/exchange.ts';
import type { ControlParts } from '../control/parts.ts';
import { totalsOf } from '../control/release-report.ts';
import type { CounterSums } from '../counts/sums.ts';
import type { TallyRow } from '../counts/tally.ts';
import type { Publisher } from '../release/publisher.ts';
import { degradedOf } from './status.ts';

/**
 * Firewalls, lists and policies that have samples of their own, so that there are fewer than 10,000. Those
 * beyond are counted.
 */
const SUBSCRIBERS_MAX = 256;
const LISTS_MAX = 1024;
const POLICIES_MAX = 256;

/** Answers a METRICS, in as many turns of the event loop as it takes. */
export async function answerMetrics(exchange: ControlExchange, parts: ControlParts): Promise<void> {
  let family = '';
  let samples: TallyRow[] = [];
  const tell = async (): Promise<void> => {
    const labels = samples.flatMap((one) => one.labels);
    const values = samples.map(({ value }) =>
      Math.min(Number.MAX_SAFE_INTEGER, Math.max(0, Math.round(value))),
    );
    if (samples.length > 0) await exchange.record({ record: 'samples', family, labels, values });
    samples = [];
  };
  for (const sample of samplesOf(parts)) {
    if (sample.family !== family || samples.length === SAMPLES_MAX) await tell();
    family = sample.family;
    samples.push(sample);
  }
  await tell();
  await exchange.done('ok', '');
}

function* samplesOf(parts: ControlParts): Generator<TallyRow> {
  yield* ofPublisher(parts);
  yield* parts.publisher.tally.rows();
  yield* ofLists(parts);
  yield* ofPolicies(parts.publisher);
  yield* ofSubscribers(parts.publisher);
}

function* ofPublisher(parts: ControlParts): Generator<TallyRow> {
  const { publisher, version = 'unknown' } = parts;
  const { head, identity, sums } = publisher;
  const one = (family: string, value: number, labels: readonly string[] = []) => ({ family, labels, value });
  yield one('build', 1, [version, String(PROTOCOL_VERSION)]);
  yield one('start-time', publisher.startedAtMs);
  yield one('degraded', degradedOf(parts).length);
  yield* perLabel(
    'warnings',
    publisher.warnings.map(({ code }) => code),
  );
  const { refreshBy, epochCeiling } = identity.root;
  if (refreshBy !== undefined) yield one('root-refresh-by', refreshBy * 1000);
  yield one('epochs-left', epochCeiling - (head?.manifest.epoch ?? identity.root.epochFloor));
  const { bytes } = publisher.store;
  if (bytes !== undefined) yield one('store', bytes);
  yield* perSum('dns-questions', sums.questions());
  yield one('unmatched-packets', sums.total('unmatched'));
  yield one('log-lost', sums.total('refusedLost'));
  if (head === undefined) return;
  const { entries, rules } = totalsOf(head.ruleSet);
  yield one('head-epoch', head.manifest.epoch);
  yield one('head-version', head.manifest.version);
  yield one('head-created', head.manifest.createdAtMs);
  yield one('head-entries', entries);
  yield one('head-rules', rules);
  yield one('head-lists', head.ruleSet.lists.size);
  yield one('head-policies', head.ruleSet.policies.size);
}

function* ofLists({ publisher, sources }: ControlParts): Generator<TallyRow> {
  const lists = publisher.head?.ruleSet.lists ?? new Map();
  const statuses = sources?.status() ?? [];
  for (const [name, list] of [...lists].slice(0, LISTS_MAX))
    yield { family: 'list-entries', labels: [name], value: entryCount(list) };
  for (const { name, trouble, state } of statuses.slice(0, LISTS_MAX))
    yield { family: 'list-ok', labels: [name], value: trouble === undefined && state !== 'expired' ? 1 : 0 };
  for (const { name, fetchedAtMs } of statuses.slice(0, LISTS_MAX))
    if (fetchedAtMs !== undefined) yield { family: 'list-fetched', labels: [name], value: fetchedAtMs };
  yield* perAction('list', [...lists.keys()].slice(0, LISTS_MAX), publisher.sums);
  yield leftOut('lists', Math.max(lists.size, statuses.length) - LISTS_MAX);
}

function* ofPolicies({ sums, head }: Publisher): Generator<TallyRow> {
  const policies = [...(head?.ruleSet.policies.keys() ?? [])];
  yield* perAction('policy', policies.slice(0, POLICIES_MAX), sums);
  yield leftOut('policies', policies.length - POLICIES_MAX);
}

/** Those that are expected first. */
function* ofSubscribers(publisher: Publisher): Generator<TallyRow> {
  const all = publisher.subscribers.records(publisher.head, publisher.store, publisher.nowMs());
  const shown = [...all].sort((a, b) => Number(b.expected) - Number(a.expected)).slice(0, SUBSCRIBERS_MAX);
  const { sums } = publisher;
  const each = function* (
    family: string,
    measure: (one: (typeof shown)[number]) => number | boolean | undefined,
  ): Generator<TallyRow> {
    for (const one of shown) {
      const value = measure(one);
      if (value !== undefined) yield { family, labels: [one.name], value: Number(value) };
    }
  };
  yield* each('subscriber-expected', ({ expected }) => expected);
  yield* each('subscriber-connected', ({ connectedSinceMs }) => connectedSinceMs !== undefined);
  yield* each('subscriber-matches-head', ({ matches }) => matches);
  yield* each('subscriber-refuses-head', ({ refusal }) => refusal !== undefined);
  yield* each('subscriber-active-version', ({ version }) => version);
  yield* each('subscriber-last-seen', ({ lastSeenMs }) => lastSeenMs);
  yield* each('subscriber-applied', ({ appliedAtMs }) => appliedAtMs);
  yield* each('subscriber-sent', ({ bytesSent }) => bytesSent);
  for (const [family, counter] of OF_FIREWALL)
    yield* each(family, ({ name }) => sums.whole(name).get(counter));
  yield* each('subscriber-stale', ({ name }) => sums.flag(name, 'stale'));
  yield* each('subscriber-log-off', ({ name }) => sums.flag(name, 'logOff'));
  yield leftOut('subscribers', all.length - shown.length);
}

/** Sums of counters of a firewall as a whole, by family. */
const OF_FIREWALL: readonly (readonly [family: string, counter: string])[] = [
  ['subscriber-judged-packets', 'nftDecided'],
  ['subscriber-dropped-packets', 'nftDropped'],
  ['subscriber-repairs', 'nftRepairs'],
];

function* perAction(
  kind: 'list' | 'policy',
  names: readonly string[],
  sums: CounterSums,
): Generator<TallyRow> {
  for (const name of names)
    for (const [action, value] of Object.entries(sums.of(kind, name)))
      yield { family: `${kind}-packets`, labels: [name, action], value };
}

function* perSum(family: string, sums: ReadonlyMap<string, number>): Generator<TallyRow> {
  for (const [label, value] of sums) yield { family, labels: [label], value };
}

function perLabel(family: string, labels: readonly string[]): Generator<TallyRow> {
  const counts = new Map<string, number>();
  for (const label of labels) counts.set(label, (counts.get(label) ?? 0) + 1);
  return perSum(family, counts);
}

function leftOut(what: string, count: number): TallyRow {
  return { family: 'left-out', labels: [what], value: Math.max(0, count) };
}
