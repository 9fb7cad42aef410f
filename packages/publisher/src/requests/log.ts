/**
 * LOG: what subscribers refused, as they tell it page by page, once or with what comes, and what could be
 * allowed of it. CONTROL.md "LOG".
 */

import {
  addressFromBytes,
  boundText,
  type ControlRecordOf,
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

/** Between two turns of a log that is followed: a subscriber reads what its kernel refused as often. */
const TURN_MS = 1000;
/** A subscriber that has told as many pages as it does in a second tells others then. */
const RATE_MS = 1000;
/** A page has one refusal at least, and a subscriber keeps 10,000: whoever has more pages makes them up. */
const PAGES_MAX = 10_000;
/** In a turn of a log that is followed: no subscriber hides what others refuse. The next turn goes on. */
const TURN_PAGES_MAX = 100;

/** Answers a LOG; with `follow` until `rulectl` is gone. */
export async function answerLog(
  request: MessageOf<'log'>,
  exchange: ControlExchange,
  parts: ControlParts,
): Promise<void> {
  const log = new Log(request, exchange, parts);
  if (!request.follow) {
    await log.tellTurn();
    return exchange.done('ok', '');
  }
  const leave = parts.followedLogs.enter();
  try {
    await log.tellTurn();
    await exchange.record({ record: 'end' });
    await follow(log, exchange, parts);
  } finally {
    leave();
  }
}

async function follow(log: Log, exchange: ControlExchange, { publisher }: ControlParts): Promise<void> {
  const { clock } = publisher;
  let isGone = false;
  const gone = exchange.untilGone().then(() => {
    isGone = true;
  });
  for (;;) {
    let cancel: () => void = () => undefined;
    const turn = new Promise<void>((resolve) => {
      cancel = clock.after(TURN_MS, resolve);
    });
    await Promise.race([turn, gone]);
    cancel();
    if (isGone) return;
    if (await log.tellTurn()) await exchange.record({ record: 'end' });
  }
}

/** Refusals of a subscriber after an `id`, or why there are none. */
type Page =
  | { readonly refused: readonly WireRefused[]; readonly lost: number; readonly next: number | undefined }
  | { readonly warning: ControlRecordOf<'warning'>; readonly error: ProtocolError };

/** What was told of one subscriber. */
interface Cursor {
  /** The last `id`. */
  readonly after: number;
  /** What it had lost. */
  readonly lost: number;
}

const START: Cursor = { after: 0, lost: 0 };

/** A log that is read turn by turn. */
class Log {
  readonly #request: MessageOf<'log'>;
  readonly #exchange: ControlExchange;
  readonly #parts: ControlParts;
  /** Of those that answered in the last turn: who was away meanwhile may have begun anew. */
  #cursors: ReadonlyMap<string, Cursor> = new Map();
  /** The codes that were told of those that did not. */
  #warned: ReadonlyMap<string, string> = new Map();
  #isFirst = true;

  constructor(request: MessageOf<'log'>, exchange: ControlExchange, parts: ControlParts) {
    this.#request = request;
    this.#exchange = exchange;
    this.#parts = parts;
  }

  /**
   * Tells what is new; resolves to whether anything is. All are asked at once for a first page, so that a
   * turn takes no longer than the slowest; further pages are asked for one after the other, and told as they
   * come. The first turn rejects with ProtocolError where nobody tells anything.
   */
  async tellTurn(): Promise<boolean> {
    const { subscriber: only } = this.#request;
    const names = only === undefined ? this.#parts.publisher.subscribers.connected() : [only];
    const before = names.map((name) => this.#cursors.get(name) ?? START);
    const firsts = await Promise.all(names.map((name, i) => this.#pageOf(name, before[i]?.after ?? 0)));
    if (this.#isFirst) checkFirst(firsts);
    const pagesMax = this.#isFirst ? PAGES_MAX : TURN_PAGES_MAX;
    this.#isFirst = false;
    const cursors = new Map<string, Cursor>();
    const warned = new Map<string, string>();
    let isNew = false;
    for (const [i, name] of names.entries()) {
      const page = firsts[i];
      if (page === undefined) continue;
      if ('warning' in page) {
        const { code } = page.warning;
        warned.set(name, code);
        if (this.#warned.get(name) === code) continue;
        await this.#exchange.record(page.warning);
      } else {
        const cursor = await this.#tellPages(name, page, before[i] ?? START, pagesMax);
        cursors.set(name, cursor);
        if (cursor.after === before[i]?.after && cursor.lost === before[i]?.lost) continue;
      }
      isNew = true;
    }
    this.#cursors = cursors;
    this.#warned = warned;
    return isNew;
  }

  /** Tells a page and those that follow it; and why none does, where one is missing. */
  async #tellPages(subscriber: string, first: Page, before: Cursor, pagesMax: number): Promise<Cursor> {
    let { after, lost } = before;
    let page = first;
    for (let count = 1; !('warning' in page); count++) {
      for (const refused of page.refused) await this.#tell(subscriber, refused);
      const asked = after;
      after = page.next ?? page.refused.at(-1)?.id ?? after;
      if (page.lost !== lost && page.lost > 0)
        await this.#exchange.record({ record: 'lost', subscriber, count: page.lost });
      lost = page.lost;
      if (page.next === undefined || page.next <= asked || count === pagesMax) return { after, lost }; // it goes on, or it ends
      page = await this.#pageOf(subscriber, after);
      if ('error' in page && page.error.code === ErrorCode.rateLimited) {
        await new Promise<void>((resolve) => this.#parts.publisher.clock.after(RATE_MS, resolve));
        page = await this.#pageOf(subscriber, after);
      }
    }
    await this.#exchange.record(page.warning);
    return { after, lost };
  }

  #tell(subscriber: string, refused: WireRefused): Promise<void> {
    const { head } = this.#parts.publisher;
    return this.#exchange.record({
      record: 'refused',
      subscriber,
      ...refused,
      verdict: withRule(refused, head),
      qube: shown(refused.qube),
      remote: refused.remote && shown(refused.remote),
      allow: proposalFor(refused, head?.ruleSet),
    });
  }

  async #pageOf(subscriber: string, after: number): Promise<Page> {
    const { qube, sinceS } = this.#request;
    try {
      const about = { question: 'refused', refused: { after, qube, sinceS } } as const;
      const answer = await this.#parts.ask(subscriber, about);
      const { refused, refusedLost: lost = 0, '+next': next } = answer;
      if (refused === undefined) throw noAnswer(answer);
      return { refused, lost, next };
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      return { warning: noAnswerRecord(subscriber, error), error };
    }
  }
}

/** Throws ProtocolError where no page came. */
function checkFirst(firsts: readonly Page[]): void {
  const errors = firsts.flatMap((page) => ('error' in page ? [page.error] : []));
  if (errors.length < firsts.length) return;
  const [error] = errors;
  if (error === undefined)
    throw new ProtocolError(
      ErrorCode.noSuchSubscriber,
      'no subscriber is connected: nobody has a log to read',
    );
  if (errors.length === 1) throw error;
  const text = `none of ${errors.length} subscribers tells what it refused; the first of them: ${error.message}`;
  throw new ProtocolError(error.code, boundText(text));
}

/**
 * The verdict. Of a name rulecast-dns has the list alone: the first rule that drops by it is added, if the
 * head is what refused.
 */
function withRule({ what, verdict, version }: WireRefused, head: Publisher['head']): WireRefused['verdict'] {
  if (what !== 'name' || verdict?.rulePolicy === undefined || verdict.list === undefined) return verdict;
  const { rulePolicy, block, list } = verdict;
  const policy = head?.manifest.version === version ? head.ruleSet.policies.get(rulePolicy) : undefined;
  if (policy === undefined) return verdict;
  const runs = runsOf(policy, 'egress', block);
  const form = runs.forms.findIndex(
    ({ match, remote }) => match.action === 'drop' && remote.kind === 'list' && remote.list === list,
  );
  const run = form < 0 ? -1 : runs.formOf.indexOf(form);
  const ruleIndex = runs.starts[run];
  if (ruleIndex === undefined) return verdict;
  const line = formatRule(ruleAt(runs, ruleIndex), 'egress');
  return { ...verdict, rule: boundText(line, RULE_TEXT_MAX_BYTES), ruleIndex, run };
}

function shown(address: Uint8Array): string {
  return formatAddress(addressFromBytes(address));
}
