/** METRICS: samples for monitoring, by family. CONTROL.md "METRICS". */

import { FLEET_CODES_MAX, FLEET_STATES, PROTOCOL_VERSION, SAMPLES_MAX } from '@rulecast/protocol';
import { entryCount } from '@rulecast/rules';
import type { ControlExchange } from '../control/exchange.ts';
import type { ControlParts } from '../control/parts.ts';
import { totalsOf } from '../control/release-report.ts';
import type { CounterSums } from '../counts/sums.ts';
import type { TallyRow } from '../counts/tally.ts';
import type { Publisher } from '../release/publisher.ts';
import { degradedBy } from './status.ts';

/**
 * Firewalls, lists and policies that have samples of their own, so that there are fewer than 10,000. Those
 * beyond are counted.
 */
const SUBSCRIBERS_MAX = 200;
const LISTS_MAX = 960;
const POLICIES_MAX = 100;

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
  yield* ofFleet(parts);
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
  for (const [reason, texts] of Object.entries(degradedBy(parts)))
    yield one('degraded', texts.length, [reason]);
  const codes = publisher.warnings.map(({ code }) => code);
  for (const code of new Set(codes))
    yield one('warnings', codes.filter((each) => each === code).length, [code]);
  const { refreshBy, epochCeiling } = identity.root;
  if (refreshBy !== undefined) yield one('root-refresh-by', refreshBy * 1000);
  yield one('epochs-left', epochCeiling - (head?.manifest.epoch ?? identity.root.epochFloor));
  const { bytes } = publisher.store;
  if (bytes !== undefined) yield one('store', bytes);
  for (const [outcome, value] of sums.questions()) yield one('dns-questions', value, [outcome]);
  yield one('unmatched-packets', sums.total('unmatched'));
  yield one('log-lost', sums.total('refusedLost'));
  yield one('dns-upstream-time', sums.total('dnsHeardMs'));
  yield one('dns-upstream-count', sums.total('dnsHeard'));
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

function* ofFleet({ fleet }: ControlParts): Generator<TallyRow> {
  const counts = fleet?.counts();
  if (counts === undefined) return;
  for (const state of FLEET_STATES) yield { family: 'fleet-names', labels: [state], value: counts[state] };
  for (const [code, value] of [...counts.refusedBy].slice(0, FLEET_CODES_MAX))
    yield { family: 'fleet-refused', labels: [code], value };
}

function* ofLists({ publisher, sources }: ControlParts): Generator<TallyRow> {
  const lists = [...(publisher.head?.ruleSet.lists ?? [])].map(([name, list]) => ({ name, list }));
  const [statuses, shown] = [sources?.status() ?? [], lists.slice(0, LISTS_MAX)];
  const read = statuses.slice(0, LISTS_MAX);
  yield* each('list-entries', shown, ({ list }) => entryCount(list));
  yield* each('list-ok', read, ({ trouble, state }) => trouble === undefined && state !== 'expired');
  yield* each('list-fetched', read, ({ fetchedAtMs }) => fetchedAtMs);
  yield* each('list-interval', read, ({ intervalMs }) => intervalMs);
  yield* each('list-refusals', read, ({ refusalCount }) => refusalCount);
  yield* perAction(
    'list',
    shown.map(({ name }) => name),
    publisher.sums,
  );
  yield leftOut('lists', Math.max(lists.length, statuses.length) - LISTS_MAX);
}

function* ofPolicies({ sums, head }: Publisher): Generator<TallyRow> {
  const policies = [...(head?.ruleSet.policies.keys() ?? [])];
  yield* perAction('policy', policies.slice(0, POLICIES_MAX), sums);
  yield leftOut('policies', policies.length - POLICIES_MAX);
}

/** Samples of subscribers, the expected ones first. */
function* ofSubscribers(publisher: Publisher): Generator<TallyRow> {
  const all = publisher.subscriberRecords();
  const shown = [...all].sort((a, b) => Number(b.expected) - Number(a.expected)).slice(0, SUBSCRIBERS_MAX);
  const { sums } = publisher;
  yield* each('subscriber-expected', shown, ({ expected }) => expected);
  yield* each('subscriber-connected', shown, ({ connectedSinceMs }) => connectedSinceMs !== undefined);
  yield* each('subscriber-matches-head', shown, ({ matches }) => matches);
  yield* each('subscriber-active-version', shown, ({ version }) => version);
  yield* each('subscriber-last-seen', shown, ({ lastSeenMs }) => lastSeenMs);
  yield* each('subscriber-applied', shown, ({ appliedAtMs }) => appliedAtMs);
  yield* each('subscriber-sent', shown, ({ bytesSent }) => bytesSent);
  yield* each('subscriber-judged-packets', shown, ({ name }) => sums.whole(name).get('nftDecided'));
  yield* each('subscriber-dropped-packets', shown, ({ name }) => sums.whole(name).get('nftDropped'));
  yield* each('subscriber-repairs', shown, ({ name }) => sums.whole(name).get('nftRepairs'));
  yield* each('subscriber-stale', shown, ({ name }) => sums.last(name).get('stale'));
  const logging = shown.filter(({ name }) => sums.last(name).has('refusedKept'));
  yield* each('subscriber-log-off', logging, ({ name }) => sums.last(name).get('logOff') ?? 0);
  yield* each('subscriber-names-open', shown, ({ name }) => sums.last(name).get('nftOpen'));
  yield leftOut('subscribers', all.length - shown.length);
}

/** One sample for each item that has a value. */
function* each<T extends { readonly name: string }>(
  family: string,
  all: readonly T[],
  measure: (one: T) => number | boolean | undefined,
): Generator<TallyRow> {
  for (const one of all) {
    const value = measure(one);
    if (value !== undefined) yield { family, labels: [one.name], value: Number(value) };
  }
}

function* perAction(
  kind: 'list' | 'policy',
  names: readonly string[],
  sums: CounterSums,
): Generator<TallyRow> {
  for (const name of names)
    for (const [action, value] of Object.entries(sums.of(kind, name)))
      yield { family: `${kind}-packets`, labels: [name, action], value };
}

function leftOut(what: string, count: number): TallyRow {
  return { family: 'left-out', labels: [what], value: Math.max(0, count) };
}
