/**
 * STATUS: the head, its parts and every known subscriber; once, at each change, or once with counters.
 * CONTROL.md "STATUS".
 */

import {
  boundText,
  type ControlRecord,
  catalogueOf,
  DEGRADED_MAX,
  DEGRADED_TEXT_MAX_BYTES,
  ErrorCode,
  FORK_HASH_CHARS,
  HASH_BYTES,
  hexOf,
  type MessageOf,
  ProtocolError,
  partWord,
} from '@rulecast/protocol';
import { EMPTY_RULE_SET } from '@rulecast/rules';
import type { AskTable, ReleaseNumber } from '@rulecast/sessions';
import { counterPages } from '../control/counter-pages.ts';
import type { ControlExchange } from '../control/exchange.ts';
import { fleetOf, fleetRecord, memberRecord, takesFleet } from '../control/fleet-report.ts';
import { noAnswerRecord } from '../control/no-answer.ts';
import type { ControlParts } from '../control/parts.ts';
import { totalsOf } from '../control/release-report.ts';
import type { Publisher } from '../release/publisher.ts';

/** Least time between two batches of a watched status: a burst of pushes is one redraw. */
const WATCH_MIN_MS = 100;
/** The least interval with a fleet, as each status counts all reporting names. */
const FLEET_WATCH_MIN_MS = 1000;
/** Reporting names listed one by one; `state` lists them all. */
const ODD_MAX = 20;
/** Warnings sent; with more, there is more to mend than to read. */
const WARNINGS_TOLD_MAX = 32;
const DEGRADED_CHARS = 120;
/** The hash sent when nothing was ever released. */
const NO_HASH = new Uint8Array(HASH_BYTES);

/** Answers a STATUS; with `watch` until `rulectl` is gone. */
export async function answerStatus(
  { watch, counters, state }: MessageOf<'status'>,
  exchange: ControlExchange,
  parts: ControlParts,
): Promise<void> {
  if (state !== undefined) {
    const fleet = fleetOf(parts.fleet);
    await exchange.record(fleetRecord(fleet, parts.publisher));
    for await (const row of fleet.inState(state)) await exchange.record(memberRecord(row));
    return exchange.done('ok', '');
  }
  if (watch) return tellChanges(exchange, parts);
  const subscribers = await tellStatus(exchange, parts);
  if (counters === true) await tellCounters(subscribers, exchange, parts.ask);
  await exchange.done('ok', '');
}

async function tellChanges(exchange: ControlExchange, parts: ControlParts): Promise<void> {
  const changes = new ChangeSignal(parts); // before the first status: a change while that is sent comes next
  const tell = async (): Promise<void> => {
    await tellStatus(exchange, parts);
    await exchange.record({ record: 'end' });
  };
  let gone = false;
  try {
    await tell();
    const end = exchange.untilGone().then(() => {
      gone = true;
      changes.close();
    });
    for (;;) {
      await changes.next(parts.fleet === undefined ? WATCH_MIN_MS : FLEET_WATCH_MIN_MS);
      if (gone) return await end;
      await tell();
    }
  } finally {
    changes.close();
  }
}

/** Sends the present status, however long that takes. Resolves to the names of the subscribers in it. */
async function tellStatus(exchange: ControlExchange, parts: ControlParts): Promise<readonly string[]> {
  const { publisher, fleet } = parts;
  const { head } = publisher;
  const manifest = head?.manifest;
  const subscribers = publisher.subscriberRecords();
  const reporting = fleet !== undefined && takesFleet(exchange) ? fleet : undefined;
  const counts = reporting && fleetRecord(reporting, publisher);
  await exchange.record({
    record: 'head',
    lineage: hexOf(publisher.identity.lineage),
    epoch: manifest?.epoch ?? 0,
    version: manifest?.version ?? 0,
    hash: hexOf(head?.hash ?? NO_HASH),
    createdAtMs: manifest?.createdAtMs ?? 0,
    parts: manifest?.parts ?? 0,
    ...totalsOf(head?.ruleSet ?? EMPTY_RULE_SET),
    startedAtMs: publisher.startedAtMs,
    degraded: degradedOf(parts).map((text) => boundText(text, DEGRADED_TEXT_MAX_BYTES)),
    unmatched: head?.ruleSet.unmatched,
    hasRootKey: publisher.identity.hasRootKey ? true : undefined,
  });
  for (const part of head === undefined ? [] : catalogueOf(head.ruleSet).records) {
    await exchange.record({
      record: 'part',
      kind: partWord(part.kind),
      name: part.name,
      count: part.count,
      digest: hexOf(part.digest),
      changedVersion: publisher.store.changedVersionOf(part),
    });
  }
  for (const { code, part, reason } of publisher.warnings.slice(0, WARNINGS_TOLD_MAX)) {
    await exchange.record({ record: 'warning', code, part, reason: boundText(reason) });
  }
  for (const record of subscribers) await tellOne(record.name, record, exchange);
  if (counts !== undefined) await exchange.record(counts);
  await publisher.turn(); // scanning a million names takes a while
  for (const row of reporting?.odd(ODD_MAX) ?? []) await exchange.record(memberRecord(row));
  return subscribers.map(({ name }) => name);
}

type Troubled = Pick<ControlParts, 'publisher' | 'sources' | 'depot' | 'fleet'>;

/** Troubles, each a sentence, the gravest first. */
export function degradedOf(parts: Troubled): readonly string[] {
  return Object.values(degradedBy(parts)).flat().slice(0, DEGRADED_MAX);
}

/** Troubles by reason, as in the metric, whose reasons must not change. */
export function degradedBy({
  publisher,
  sources,
  depot,
  fleet,
}: Troubled): Readonly<Record<string, readonly string[]>> {
  const { behind, subscribers, rootTrouble, identity } = publisher;
  const { freshnessKeys, root } = identity;
  const { threshold } = root.roles.freshness;
  const connected = new Set(subscribers.connected());
  const due = subscribers.isConfigured ? [...subscribers.expected()] : [];
  const missing = due.filter((name) => !connected.has(name));
  const where = (isSo: boolean, text: string): readonly string[] => (isSo ? [text] : []);
  return {
    behind: behind === undefined ? [] : [`nothing is offered: ${lostText(behind, publisher.fork)}`],
    'started-over': where(
      behind === undefined && publisher.isStartedOver,
      'nothing is released after --start-over or --set-aside before policies are pushed; lists of sources wait',
    ),
    disowned: where(
      behind === undefined && publisher.isDisowned,
      `firewalls refuse the head: root ${root.number} took its keys away; push it again`,
    ),
    root: rootTrouble === undefined ? [] : [rootTrouble],
    freshness: where(
      freshnessKeys.length < threshold,
      `firewalls that remember nothing take nothing: ${freshnessKeys.length} of ${threshold} keys of freshness are here`,
    ),
    depot: depot?.trouble === undefined ? [] : [depot.trouble],
    fleet: fleet?.trouble === undefined ? [] : [fleet.trouble],
    ...sources?.degraded,
    absent: where(missing.length > 0, `not connected: ${missing.join(', ')}`.slice(0, DEGRADED_CHARS)),
    names: publisher.nameTroubles,
  };
}

/** Short: with the text before it, it is one reason of a head record. */
function lostText({ epoch, version }: ReleaseNumber, fork: Publisher['fork']): string {
  if (fork === undefined)
    return `${epoch}/${version} was proved and is not here; restore it, or push --as-new-epoch`;
  const [own, other] = [fork.own, fork.other].map((hash) => hash.slice(0, FORK_HASH_CHARS));
  return `${fork.epoch}/${fork.version} is ${own} here, ${other} elsewhere; push --as-new-epoch`;
}

/**
 * Asks all subscribers at once for a first page: together they take no longer than the slowest, or than the
 * timeout. Further pages are requested one at a time, and sent as they come, so that they do not fill our
 * memory.
 */
async function tellCounters(
  subscribers: readonly string[],
  exchange: ControlExchange,
  ask: AskTable,
): Promise<void> {
  const records = subscribers.map((subscriber) => counterRecords(subscriber, ask));
  const first = await Promise.all(records.map((each) => each.next()));
  for (const [i, subscriber] of subscribers.entries())
    for (let one = first[i]; one?.done === false; one = await records[i]?.next())
      await tellOne(subscriber, one.value, exchange);
}

/** The pages of a subscriber's counters, and why there are no more or none. */
async function* counterRecords(subscriber: string, ask: AskTable): AsyncGenerator<ControlRecord> {
  try {
    for await (const counters of counterPages(subscriber, ask))
      yield { record: 'counters', subscriber, counters };
  } catch (error) {
    yield noAnswerRecord(subscriber, error);
  }
}

/** Sends a record, or a short one in place of a row that does not fit, so that others still are sent. */
async function tellOne(subscriber: string, record: ControlRecord, exchange: ControlExchange): Promise<void> {
  try {
    await exchange.record(record);
  } catch (error) {
    // it failed before anything was sent
    if (!(error instanceof TypeError || error instanceof RangeError)) throw error;
    await exchange.record(noAnswerRecord(subscriber, new ProtocolError(ErrorCode.internal, error.message)));
  }
}

/** Reports changes of the status, at a limited rate. */
class ChangeSignal {
  readonly #publisher: Publisher;
  readonly #endFleet: (() => void) | undefined;
  #changed = false;
  #wake: (() => void) | undefined;
  readonly #listener = (): void => {
    this.#changed = true;
    this.#wake?.();
  };

  constructor({ publisher, fleet }: ControlParts) {
    this.#publisher = publisher;
    publisher.subscribers.on('change', this.#listener);
    this.#endFleet = fleet?.onChange(this.#listener);
  }

  /** Resolves after a change, and not before `quietMs` have passed. */
  async next(quietMs: number): Promise<void> {
    await new Promise<void>((resolve) => this.#publisher.clock.after(quietMs, resolve));
    if (!this.#changed) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    this.#wake = undefined;
    this.#changed = false;
  }

  close(): void {
    this.#publisher.subscribers.off('change', this.#listener);
    this.#endFleet?.();
    this.#listener();
  }
}
