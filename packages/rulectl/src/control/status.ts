/** A status from the publisher: a batch of records, and the firewalls' counters beside it. */

import { type ControlRecord, ErrorCode, type MessageOf } from '@rulecast/protocol';
import type { Member } from '../render/fleet.ts';
import type { StatusView } from '../render/status.ts';
import { CliError, type ExitCode, failedError } from '../terminal/exit.ts';
import { askOrFail, type ControlRequest } from './client.ts';

type Place = Pick<ControlRequest, 'endpoint' | 'curve'>;

/** The answer is a few records; the publisher gives up on counters after five seconds. */
export const STATUS_TIMEOUT_MS = 30_000;
/** The wait for silent firewalls, as their counters help to find faults. */
const COUNTERS_TIMEOUT_MS = 2000;
/** Begins the part of a warning about a subscriber that gave no counters. */
const SUBSCRIBER_PART = 'subscriber ';

/** Puts a status into a batch. If it is refused, throws the error made by `errorOf`. */
export async function askStatus(
  place: Place,
  batch: StatusBatch,
  counters: boolean,
  errorOf = statusError,
  timeoutMs = STATUS_TIMEOUT_MS,
): Promise<void> {
  const send: ControlRequest['send'] = (connection) =>
    connection.send({ kind: 'status', watch: false, ...(counters && { counters }) });
  await askOrFail({ ...place, timeoutMs, send, onRecord: (record) => void batch.put(record) }, errorOf);
}

/** Counters that firewalls send within a short time. */
export async function askCounters(place: Place): Promise<StatusView['counters']> {
  const batch = new StatusBatch();
  await askStatus(place, batch, true, statusError, COUNTERS_TIMEOUT_MS).catch((error: unknown) => {
    if (!(error instanceof CliError)) throw error; // a firewall is silent: the others have answered
  });
  return batch.counters;
}

/** The error for a refused status. */
export function statusError(fail: MessageOf<'fail'>, exit?: ExitCode): CliError {
  const isStarting = fail.code === ErrorCode.notReady;
  const hint = isStarting ? '; firewalls go on with what they enforce. Ask again in a few seconds' : '';
  return failedError(fail, `${fail.text}${hint}`, exit);
}

export class StatusBatch implements StatusView {
  head: StatusView['head'];
  readonly parts: StatusView['parts'][number][] = [];
  readonly warnings: StatusView['warnings'][number][] = [];
  readonly subscribers: StatusView['subscribers'][number][] = [];
  fleet: StatusView['fleet'];
  readonly members: Member[] = [];
  readonly counters: StatusView['counters'][number][] = [];

  /** The counters of one subscriber come in pages, one after another. */
  #putPage(page: Extract<ControlRecord, { record: 'counters' }>): void {
    const last = this.counters.at(-1);
    if (last?.record === 'counters' && last.subscriber === page.subscriber) {
      this.counters.splice(-1, 1, { ...last, counters: { ...last.counters, ...page.counters } });
    } else this.counters.push(page);
  }

  /** Whether the record belongs in a status. */
  put(record: ControlRecord): boolean {
    switch (record.record) {
      case 'head':
        this.head = record;
        return true;
      case 'part':
        this.parts.push(record);
        return true;
      case 'subscriber':
        this.subscribers.push(record);
        return true;
      case 'fleet':
        this.fleet = record;
        return true;
      case 'member':
        this.members.push(record);
        return true;
      case 'warning':
        if (isOfCounters(record)) this.counters.push(record);
        else this.warnings.push(record);
        return true;
      case 'counters':
        this.#putPage(record);
        return true;
      default:
        return false;
    }
  }
}

/** Whether a record has a subscriber's counters, or why there are none. */
export function isOfCounters(record: ControlRecord): boolean {
  return (
    record.record === 'counters' || (record.record === 'warning' && record.part.startsWith(SUBSCRIBER_PART))
  );
}
