/** LOG: packets that subscribers refused, read page by page, once or continuously. CONTROL.md "LOG". */

import {
  addressFromBytes,
  boundText,
  type ControlRecord,
  ErrorCode,
  type MessageOf,
  ProtocolError,
  RULE_TEXT_MAX_BYTES,
  type WireRefused,
} from '@rulecast/protocol';
import { formatAddress, formatRule, ruleAt, runsOf } from '@rulecast/rules';
import type { ControlExchange } from '../control/exchange.ts';
import { noAnswer, noAnswerRecord } from '../control/no-answer.ts';
import type { ControlParts } from '../control/parts.ts';
import type { Publisher } from '../release/publisher.ts';
import { proposalFor } from './proposals.ts';

/** Between two turns: a subscriber reads what its kernel refused more often. */
const TURN_MS = 1000;
/** Pages of one subscriber in a turn: it answers 500 a second, and others may read its log, too. */
const TURN_PAGES_MAX = 400;
/** A page has one refusal at least, and a subscriber keeps 10,000: one with more pages makes them up. */
const TURNS_MAX = 25;

/** The position up to which one subscriber's log is read. */
interface Cursor {
  /** The last `id`. */
  readonly after: number;
  /** Records lost so far. */
  readonly lost: number;
  /** It has more to read. */
  readonly isMore: boolean;
  /** Why there is no page. */
  readonly error?: ProtocolError;
}

const START: Cursor = { after: 0, lost: 0, isMore: false };

/** Answers a LOG; with `follow` until `rulectl` is gone. */
export async function answerLog(
  request: MessageOf<'log'>,
  exchange: ControlExchange,
  parts: ControlParts,
): Promise<void> {
  const { clock } = parts.publisher;
  const log = new Log(request, exchange, parts);
  let isGone = false;
  const gone = exchange.untilGone().then(() => {
    isGone = true;
  });
  for (let turn = 1; !isGone; turn++) {
    const isLast = !request.follow && turn === TURNS_MAX;
    const { isNew, isMore } = await log.readOn(isLast);
    if (request.follow && (isNew || turn === 1)) await exchange.record({ record: 'end' });
    if (!request.follow && (!isMore || isLast)) return exchange.done('ok', '');
    let cancel: () => void = () => undefined;
    const pause = new Promise<void>((resolve) => {
      cancel = clock.after(TURN_MS, resolve);
    });
    await Promise.race([pause, gone]);
    cancel();
  }
}

class Log {
  readonly #request: MessageOf<'log'>;
  readonly #exchange: ControlExchange;
  readonly #parts: ControlParts;
  /** Positions of the subscribers connected in the last turn. */
  #cursors: ReadonlyMap<string, Cursor> | undefined;
  #recordCount = 0;
  #sending: Promise<void> = Promise.resolve();

  constructor(request: MessageOf<'log'>, exchange: ControlExchange, parts: ControlParts) {
    this.#request = request;
    this.#exchange = exchange;
    this.#parts = parts;
  }

  /**
   * A turn: reads all subscribers at once, so that it takes no longer than the slowest. The first one rejects
   * with ProtocolError if none has a log. `isLast`: those that have more to read are named.
   */
  async readOn(isLast: boolean): Promise<{ readonly isNew: boolean; readonly isMore: boolean }> {
    const recordCount = this.#recordCount;
    const before = this.#cursors;
    const names = this.#parts.publisher.subscribers.connected();
    const read = names.map(async (name) => [name, await this.#read(name, before?.get(name))] as const);
    const cursors = new Map(await Promise.all(read));
    if (before === undefined && this.#recordCount === 0) checkFirst([...cursors.values()]);
    for (const [name, { error, isMore }] of cursors) {
      const isNews = isMore ? isLast : error?.code !== before?.get(name)?.error?.code;
      if (error !== undefined && isNews) await this.#record(noAnswerRecord(name, error));
    }
    this.#cursors = cursors;
    const isMore = [...cursors.values()].some((cursor) => cursor.isMore);
    return { isNew: this.#recordCount > recordCount, isMore };
  }

  async #read(subscriber: string, { after, lost }: Cursor = START): Promise<Cursor> {
    for (let count = 0; count < TURN_PAGES_MAX; count++) {
      const page = await this.#page(subscriber, after);
      // The next turn goes on; after another error it starts anew, as the subscriber may have restarted.
      if (page instanceof ProtocolError)
        return page.code === ErrorCode.rateLimited
          ? { after, lost, isMore: true, error: page }
          : { ...START, error: page };
      const { refused = [], refusedLost = 0, '+next': next = 0 } = page;
      for (const one of refused) await this.#tell(subscriber, one);
      if (refusedLost > 0 && refusedLost !== lost)
        await this.#record({ record: 'lost', subscriber, count: refusedLost });
      lost = refusedLost;
      if (next <= after) return { after: refused.at(-1)?.id ?? after, lost, isMore: false };
      after = next;
    }
    return { after, lost, isMore: true };
  }

  async #page(subscriber: string, after: number): Promise<MessageOf<'answer'> | ProtocolError> {
    const { qube, sinceS } = this.#request;
    try {
      const about = { question: 'refused', refused: { after, qube, sinceS } } as const;
      const answer = await this.#parts.ask(subscriber, about);
      return answer.refused === undefined ? noAnswer(answer) : answer;
    } catch (error) {
      if (error instanceof ProtocolError) return error;
      throw error;
    }
  }

  #tell(subscriber: string, refused: WireRefused): Promise<void> {
    const { head } = this.#parts.publisher;
    return this.#record({
      record: 'refused',
      subscriber,
      ...refused,
      verdict: withRule(refused, head),
      qube: shown(refused.qube),
      remote: refused.remote && shown(refused.remote),
      allow: proposalFor(refused, head?.ruleSet),
    });
  }

  /** One at a time, so that of each subscriber no more than a page waits for `rulectl`. */
  #record(record: ControlRecord): Promise<void> {
    this.#recordCount++;
    this.#sending = this.#sending.then(() => this.#exchange.record(record));
    return this.#sending;
  }
}

/** Throws ProtocolError if no subscriber has a log. */
function checkFirst(read: readonly Cursor[]): void {
  const errors = read.flatMap(({ error, isMore }) => (error === undefined || isMore ? [] : error));
  if (errors.length < read.length) return;
  const [error] = errors;
  if (error === undefined)
    throw new ProtocolError(
      ErrorCode.noSuchSubscriber,
      'no subscriber is connected, so there is no log to read',
    );
  const text = `none of ${errors.length} subscribers has a log to read: ${error.message}`;
  throw errors.length === 1 ? error : new ProtocolError(error.code, boundText(text));
}

/** rulecast-dns names only the list that refused a name: adds the first rule at the head that drops it. */
function withRule({ what, verdict, version }: WireRefused, head: Publisher['head']): WireRefused['verdict'] {
  if (what !== 'name' || head?.manifest.version !== version || verdict?.list === undefined) return verdict;
  const policy = head.ruleSet.policies.get(verdict.rulePolicy ?? '');
  if (policy === undefined) return verdict;
  const runs = runsOf(policy, 'egress', verdict.block);
  const run = runs.formOf.findIndex((form) => {
    const { match, remote } = runs.forms[form] ?? {};
    return match?.action === 'drop' && remote?.kind === 'list' && remote.list === verdict.list;
  });
  const ruleIndex = runs.starts[run];
  if (ruleIndex === undefined) return verdict;
  const line = formatRule(ruleAt(runs, ruleIndex), 'egress');
  return { ...verdict, rule: boundText(line, RULE_TEXT_MAX_BYTES), ruleIndex, run };
}

function shown(address: Uint8Array): string {
  return formatAddress(addressFromBytes(address));
}
