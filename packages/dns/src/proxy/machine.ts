/**
 * The proxy without its sockets: questions of qubes, answers of upstreams and time go in, and messages to
 * send come out. No answer is cached, as a cache would tell one qube what another asked. An answer with
 * addresses that a rule accepts by name is sent once they are open in the kernel.
 *
 *   question ─judge─▶ drop: own answer
 *               │ accept
 *               ▼
 *           asked of an upstream, with an id, a socket and a case of its own
 *               │ answer ─judge with aliases─▶ drop: own answer; else the answer, as it was asked, without
 *               │         private addresses unless a list says that the name has such, and what is not open
 *               │ cut short, or of another case: by TCP
 *               │ failure, or silence for 1.5 s: the next upstream that answers, three times at most, then
 *               │         SERVFAIL
 */

import {
  nameLabelOf,
  type Opening,
  type OpeningOutcome,
  Outcome,
  openSecondsOf,
} from '@rulecast/nftables/openings';
import type { Address } from '@rulecast/rules';
import type { NameJudgement, OpenedList } from '../judge/judge.ts';
import { addressKey, type ToldAddress } from '../message/addresses.ts';
import { Section } from '../message/message.ts';
import { isWithin, nameBytes, nameText, turnCase } from '../message/name.ts';
import { ExtendedError, HEADER_BYTES, Rcode, RecordType, WIRE_NAME_MAX_BYTES } from '../message/wire.ts';
import { isWhole, PUBLIC } from '../message/without.ts';
import type { OwnAnswer } from '../message/writer.ts';
import { type Asker, Askers } from './askers.ts';
import { Exchange } from './exchange.ts';
import {
  ALL_QUESTIONS_MAX,
  ATTEMPT_MS,
  ATTEMPTS_MAX,
  BLOCKED_TTL_S,
  OPEN_MS,
  QUESTIONS_MAX,
} from './limits.ts';
import { Tally } from './tally.ts';
import { Upstreams } from './upstreams.ts';

export type Transport = 'udp' | 'tcp';
/** The transport to an upstream. */
export type UpstreamTransport = Transport | 'tls';

/** The origin of a question; the machine returns it with the answer, and reads only these fields. */
export interface Client {
  /** The qube. */
  readonly asker: Address;
  /** The same text for the same qube. */
  readonly askerKey: string;
  readonly transport: Transport;
}

/** An address to open, before the client of the applier has numbered the request. */
export type NewOpening = Omit<Opening, 'id'>;

export type ProxyEffect<C extends Client> =
  /** Bytes are the receiver's. */
  | { readonly kind: 'reply'; readonly client: C; readonly bytes: Uint8Array }
  /** The qube asked too much: stop reading from its connection, which nothing else bounds. */
  | { readonly kind: 'end'; readonly client: C }
  /** Send this to an upstream, and pass its answer to `answer` with the same number. */
  | {
      readonly kind: 'ask';
      readonly query: number;
      readonly upstream: number;
      readonly transport: UpstreamTransport;
      readonly bytes: Uint8Array;
    }
  /** Have these opened, and pass each outcome to `opened` with its index: an answer waits for it. */
  | { readonly kind: 'open'; readonly wait: number; readonly openings: readonly NewOpening[] }
  /** Stop waiting for this query: close its socket. */
  | { readonly kind: 'close'; readonly query: number };

/** The verdict on a name, and its rule. */
export type Judged = Pick<NameJudgement, 'answer'> & Partial<Pick<NameJudgement, 'policy' | 'rule'>>;

/** Reports a blocked question: the qube, the whole name at `at`, and the rule. */
export type TellOfBlocked = (qube: string, name: Uint8Array, at: number, by: Omit<Judged, 'answer'>) => void;

export interface ProxyOptions {
  /** The number of upstreams, which may be 0; they are asked in order, except those that do not answer. */
  readonly upstreamCount: number;
  /** Whether all upstreams are asked over TLS, with padded questions. */
  readonly isOverTls?: boolean;
  /** The verdict on a name; undefined: there is no release yet, and no answer is given. */
  readonly judge: (
    asker: Address,
    name: Uint8Array,
    at: number,
    aliases: readonly Uint8Array[],
  ) => Judged | undefined;
  /** Whether the whole name at `at` may resolve to private addresses. */
  readonly mayBePrivate: (name: Uint8Array, at: number) => boolean;
  /**
   * The lists by which the addresses of an accepted name must be opened first; absent: this proxy opens none.
   */
  readonly opens?:
    | ((
        asker: Address,
        name: Uint8Array,
        at: number,
        aliases: readonly Uint8Array[],
      ) => readonly OpenedList[])
    | undefined;
  /** Unpredictable random bytes. */
  readonly randomBytes: (count: number) => Uint8Array;
  readonly tellOfBlocked?: TellOfBlocked | undefined;
}

/** Counters since the start. */
export interface ProxyCounts {
  questions: number;
  blocked: number;
  answered: number;
  /** Answers without their private addresses; the rest was sent, or that there is none. */
  private: number;
  /** Answers replaced by an empty one, since the qube's address of their family is not known. */
  otherFamily: number;
  /** No upstream could be asked, or none answered. */
  failed: number;
  /** Answers that addresses were left out of for which there was no room; without any they failed, too. */
  full: number;
  /** Beyond a bound. */
  refused: number;
  /** No message, or none that belongs here. */
  ignored: number;
  /** Questions that an upstream answered, and milliseconds from each to its answer. */
  heard: number;
  heardMs: number;
}

interface Query<C extends Client> {
  readonly client: C;
  /** The question as received. */
  readonly asked: Uint8Array;
  readonly id: number;
  /** The name in the case in which it is sent; only a server that saw the question can repeat it. */
  readonly name: Uint8Array;
  readonly upstream: number;
  readonly transport: UpstreamTransport;
  readonly attempt: number;
  readonly deadlineMs: number;
}

/** An answer that waits for its addresses to be opened. */
interface PendingAnswer<C extends Client> {
  readonly client: C;
  readonly asked: Uint8Array;
  readonly answer: Uint8Array;
  readonly isAgain: boolean;
  readonly deadlineMs: number;
  readonly openings: readonly NewOpening[];
  /** By their index. */
  readonly outcomes: Map<number, OpeningOutcome>;
}

const BLOCKED: Readonly<Record<'nxdomain' | 'refused' | 'null', OwnAnswer>> = {
  nxdomain: { rcode: Rcode.noName, error: ExtendedError.blocked, ttl: BLOCKED_TTL_S },
  refused: { rcode: Rcode.refused, error: ExtendedError.blocked },
  null: { rcode: Rcode.ok, error: ExtendedError.blocked, ttl: BLOCKED_TTL_S, isNull: true },
};
/** The answer for a name with private addresses only, if it may not have them. */
const WITHOUT_PRIVATE: OwnAnswer = { rcode: Rcode.ok, error: ExtendedError.blocked, ttl: BLOCKED_TTL_S };
/** Transfers of whole zones, which go over many messages. */
const TRANSFER_TYPES = [251, 252];
const NO_DATA: OwnAnswer = { rcode: Rcode.ok, ttl: BLOCKED_TTL_S };
/** Below this name, resolvers announce others reached over TLS or HTTPS (RFC 9462 §6.4): we have none. */
const RESOLVER_ZONE = nameBytes('resolver.arpa');
const NOBODY_TO_ASK: OwnAnswer = { rcode: Rcode.failure, error: ExtendedError.noReachableAuthority };
const NOT_OPEN: OwnAnswer = { rcode: Rcode.failure, error: ExtendedError.network };
/**
 * The answer with addresses of a family in which the qube's own is not known, so that none could be opened.
 */
const OTHER_FAMILY: OwnAnswer = { ...NO_DATA, error: ExtendedError.notSupported };
const FAMILIES = [4, 6] as const;
/** Codes of an upstream that cannot answer: another one may. */
const FAILURES: readonly number[] = [Rcode.failure, Rcode.notImplemented, Rcode.refused];

export class DnsProxy<C extends Client> {
  readonly #options: ProxyOptions;
  readonly #queries = new Map<number, Query<C>>();
  /** The deadline of each query. */
  #upstreams: Upstreams;
  readonly #askers = new Askers();
  readonly #exchange = new Exchange();
  readonly #question = this.#exchange.question;
  readonly #answer = this.#exchange.answer;
  readonly #pending = new Map<number, PendingAnswer<C>>();
  #lastQuery = 0;
  #lastWait = 0;
  readonly counts: ProxyCounts = {
    questions: 0,
    blocked: 0,
    answered: 0,
    private: 0,
    otherFamily: 0,
    failed: 0,
    full: 0,
    refused: 0,
    ignored: 0,
    heard: 0,
    heardMs: 0,
  };

  /** Blocked questions, by the list that has the name, and by qube. */
  readonly blocked = { lists: new Tally(), qubes: new Tally() };

  constructor(options: ProxyOptions) {
    this.#options = options;
    this.#upstreams = new Upstreams(options.upstreamCount);
  }

  get upstreams(): Upstreams {
    return this.#upstreams;
  }

  /** Replaces all upstreams by others without a history: waiting questions are asked again. */
  replaceUpstreams(count: number, nowMs: number): readonly ProxyEffect<C>[] {
    this.#upstreams = new Upstreams(count);
    return [...this.#queries].flatMap(([number, query]) =>
      count > 0 && this.#mayRetry(query)
        ? this.#retry(number, query, this.upstreams.first(nowMs), query.client.transport, nowMs)
        : this.#fail(number, query),
    );
  }

  /** When `expire` is due; undefined: nothing waits. Each query has its deadline as late as its turn. */
  get deadlineMs(): number | undefined {
    const [query, pending] = [this.#queries, this.#pending].map(
      (all) => all.values().next().value?.deadlineMs,
    );
    return query === undefined || pending === undefined ? (query ?? pending) : Math.min(query, pending);
  }

  /** Handles a message from a qube. The caller keeps the bytes. */
  ask(client: C, bytes: Uint8Array, nowMs: number): readonly ProxyEffect<C>[] {
    this.counts.questions++;
    const asker = this.#askers.at(client.askerKey, nowMs);
    if (asker === undefined || asker.tokens < 1) {
      this.counts.refused++;
      return client.transport === 'tcp' ? [{ kind: 'end', client }] : [];
    }
    asker.tokens--;
    const asked = this.#question;
    if (asked.read(bytes) !== undefined || asked.isResponse) {
      this.counts.ignored++;
      return [];
    }
    const own = this.#ownAnswer(client, asker);
    if (own !== undefined) return [this.#reply(client, own)];
    asker.waiting++;
    const upstream = this.upstreams.first(nowMs);
    return [this.#send(client, Uint8Array.from(bytes), upstream, client.transport, 0, nowMs)];
  }

  /** Our own answer to the question just read; undefined: an upstream is asked. */
  #ownAnswer(client: C, asker: Asker): OwnAnswer | undefined {
    const asked = this.#question;
    if (!asked.isQuery) return { rcode: Rcode.notImplemented };
    if (asked.sections.subarray(0, asked.recordCount).some((section) => section !== Section.additional))
      return { rcode: Rcode.format };
    if (asked.ednsVersion > 0) return { rcode: Rcode.badVersion };
    if (isWithin(asked.bytes, HEADER_BYTES, RESOLVER_ZONE)) return NO_DATA;
    const judged = this.#judged(client, []);
    if (judged !== undefined) return judged;
    if (TRANSFER_TYPES.includes(asked.type)) return { rcode: Rcode.refused };
    if (this.upstreams.count === 0) {
      this.counts.failed++;
      return NOBODY_TO_ASK;
    }
    if (asker.waiting < QUESTIONS_MAX && this.#queries.size + this.#pending.size < ALL_QUESTIONS_MAX)
      return undefined;
    this.counts.refused++;
    return { rcode: Rcode.failure };
  }

  /** Handles an answer to a query. The machine owns the bytes from then on. */
  answer(number: number, bytes: Uint8Array, nowMs: number): readonly ProxyEffect<C>[] {
    const query = this.#queries.get(number);
    const answer = this.#answer;
    if (query === undefined || answer.read(bytes) !== undefined || !this.#isAnswer(query)) {
      this.counts.ignored++;
      return []; // possibly forged: the true one may still come
    }
    const isSameCase = query.name.every((byte, i) => byte === bytes[HEADER_BYTES + i]);
    if (!isSameCase && query.transport === 'udp')
      return this.#retry(number, query, query.upstream, 'tcp', nowMs);
    this.upstreams.heard(query.upstream, nowMs);
    this.counts.heard++;
    this.counts.heardMs += Math.max(0, nowMs - (query.deadlineMs - ATTEMPT_MS));
    if (FAILURES.includes(answer.rcode) && this.#mayRetry(query))
      return this.#retryElsewhere(number, query, nowMs);
    return [...this.#end(number, query), this.#passOn(query, nowMs)];
  }

  #isAnswer({ id, name, asked }: Query<C>): boolean {
    this.#question.read(asked);
    return this.#exchange.isOf(id, name);
  }

  /** The result for the qube of the answer just read; `#question` is what it asked. */
  #passOn({ client, asked: question }: Query<C>, nowMs: number): ProxyEffect<C> {
    const asked = this.#question;
    const aliases = this.#exchange.aliases();
    if (aliases === undefined) {
      this.counts.failed++;
      return this.#reply(client, { rcode: Rcode.failure });
    }
    const judged = this.#judged(client, aliases); // by the release in force now
    if (judged !== undefined) return this.#reply(client, judged);
    if (!this.#leaveOutPrivate()) return this.#reply(client, WITHOUT_PRIVATE);
    const lists = this.#options.opens?.(client.asker, asked.bytes, HEADER_BYTES, aliases) ?? [];
    const pending = lists.length === 0 ? undefined : this.#hold(client, question, lists, false, nowMs);
    return pending ?? this.#answered(client);
  }

  /** Holds the answer just read back until its addresses are open, or replaces it. Undefined: it has none. */
  #hold(
    client: C,
    question: Uint8Array,
    lists: readonly OpenedList[],
    isAgain: boolean,
    nowMs: number,
  ): ProxyEffect<C> | undefined {
    const [answer, asked] = [this.#answer, this.#question];
    if (answer.isTruncated && client.transport === 'udp') return undefined; // it has no addresses
    if (answer.rcode !== Rcode.ok) {
      if (this.#exchange.leaveOut({ address: () => false })) return undefined;
      this.counts.failed++;
      return this.#reply(client, { rcode: Rcode.failure });
    }
    // ANY may contain addresses of any kind: answered as empty.
    if (asked.type === RecordType.any) return this.#reply(client, NO_DATA);
    const { asker } = client;
    const told = this.#exchange.narrow(
      (name) => (this.#options.opens?.(asker, name, 0, []) ?? []).length > 0,
    );
    if (told === undefined) return this.#reply(client, NO_DATA);
    const openings = this.#openingsOf(client, lists, told);
    if (openings.length === 0) return undefined;
    const wait = ++this.#lastWait;
    this.#pending.set(wait, {
      client,
      asked: question,
      answer: answer.bytes,
      isAgain,
      deadlineMs: nowMs + OPEN_MS,
      openings,
      outcomes: new Map(),
    });
    this.#askers.count(client.askerKey, 1);
    return { kind: 'open', wait, openings };
  }

  /** The openings for the answer just read, by each of some lists. */
  #openingsOf(
    { asker }: C,
    lists: readonly OpenedList[],
    told: readonly ToldAddress[],
  ): readonly NewOpening[] {
    const qube = bytesOf(asker.words);
    const label = nameLabelOf(nameText(this.#question.bytes, HEADER_BYTES));
    return FAMILIES.flatMap((family) => {
      const ofFamily = told.filter((each) => each.family === family);
      if (ofFamily.length === 0) return [];
      const addresses = ofFamily.map(({ bytes }) => bytes);
      const seconds = openSecondsOf(Math.max(...ofFamily.map(({ ttl }) => ttl)));
      // Private addresses are opened by rules about addresses, or by a list that allows them.
      const ofInternet = addresses.filter(PUBLIC.address);
      const hasPrivate = lists.some(({ isPrivate }) => isPrivate === true);
      return lists.flatMap(({ isOfAll, isPrivate, key, version }) => {
        const some = isOfAll === true || (hasPrivate && isPrivate !== true) ? ofInternet : addresses;
        return some.length === 0 ? [] : [{ family, key, version, qube, addresses: some, seconds, label }];
      });
    });
  }

  /** Handles the outcome of an opening, by its index among those of a wait. */
  opened(wait: number, index: number, outcome: OpeningOutcome): readonly ProxyEffect<C>[] {
    const pending = this.#pending.get(wait);
    if (pending === undefined || pending.openings[index] === undefined || pending.outcomes.has(index))
      return [];
    pending.outcomes.set(index, outcome);
    const { outcomes, openings } = pending;
    const isLate = outcomes.size < openings.length || [...outcomes.values()].includes(Outcome.later);
    if (isLate) return []; // its deadline is later
    this.#release(wait, pending);
    return [this.#settled(pending)];
  }

  /** Ends a wait, and reads its question and answer again. */
  #release(wait: number, { client, asked, answer }: PendingAnswer<C>): void {
    this.#pending.delete(wait);
    this.#askers.count(client.askerKey, -1);
    this.#question.read(asked);
    this.#answer.read(answer);
  }

  /** Tries an answer whose addresses did not open in time once more, by the release in force now. */
  #late(wait: number, pending: PendingAnswer<C>, nowMs: number): ProxyEffect<C> {
    this.#release(wait, pending);
    const { client, asked, isAgain } = pending;
    if (isAgain) return this.#settled(pending);
    const aliases = this.#exchange.aliases() ?? [];
    const judged = this.#judged(client, aliases);
    if (judged !== undefined) return this.#reply(client, judged);
    const lists = this.#options.opens?.(client.asker, this.#question.bytes, HEADER_BYTES, aliases) ?? [];
    if (lists.length === 0) return this.#answered(client);
    return this.#hold(client, asked, lists, true, nowMs) ?? this.#answered(client);
  }

  /** The result of a wait that ended: the answer just read, with those addresses that every list opened. */
  #settled({ client, openings, outcomes }: PendingAnswer<C>): ProxyEffect<C> {
    const shut = new Set<string>();
    for (const [index, { addresses }] of openings.entries()) {
      const outcome = outcomes.get(index);
      for (const [i, bytes] of addresses.entries()) if (!isOpenBy(outcome, i)) shut.add(addressKey(bytes));
    }
    if (shut.size === 0) return this.#answered(client);
    const came = openings.map((_, index) => outcomes.get(index));
    if (came.some((outcome) => outcome === Outcome.full || typeof outcome === 'object')) this.counts.full++;
    if (this.#exchange.leaveOut({ address: (bytes) => !shut.has(addressKey(bytes)) }))
      return this.#answered(client);
    if (this.#exchange.isOfService) return this.#reply(client, NO_DATA);
    const isOther = came.every((outcome) => outcome === Outcome.open || outcome === Outcome.unknown);
    this.counts[isOther ? 'otherFamily' : 'failed']++;
    return this.#reply(client, isOther ? OTHER_FAMILY : NOT_OPEN);
  }

  /** Removes private addresses from the answer, unless its name may have them; false if nothing remains. */
  #leaveOutPrivate(): boolean {
    const isPublic = isWhole(this.#answer, PUBLIC);
    if (isPublic || this.#options.mayBePrivate(this.#question.bytes, HEADER_BYTES)) return true;
    this.counts.private++;
    return this.#exchange.leaveOut(PUBLIC);
  }

  /** Our own answer to `#question`; undefined: it may be answered. */
  #judged({ asker, askerKey }: C, aliases: readonly Uint8Array[]): OwnAnswer | undefined {
    const judgement = this.#options.judge(asker, this.#question.bytes, HEADER_BYTES, aliases);
    if (judgement === undefined) {
      this.counts.failed++;
      return { rcode: Rcode.failure, error: ExtendedError.notReady };
    }
    if (judgement.answer === 'answer') return undefined;
    this.counts.blocked++;
    this.blocked.qubes.add(askerKey);
    const list = judgement.rule?.list;
    if (list !== undefined) this.blocked.lists.add(list);
    this.#options.tellOfBlocked?.(askerKey, this.#question.bytes, HEADER_BYTES, judgement);
    return BLOCKED[judgement.answer];
  }

  /** The socket of a query is of no use: nobody listens there, or it ended. */
  fail(number: number, nowMs: number): readonly ProxyEffect<C>[] {
    const query = this.#queries.get(number);
    return query === undefined ? [] : this.#giveUp(number, query, nowMs);
  }

  /** Gives up queries and waits whose time is over. */
  expire(nowMs: number): readonly ProxyEffect<C>[] {
    const effects: ProxyEffect<C>[] = [];
    for (const [number, query] of [...this.#queries]) {
      if (query.deadlineMs > nowMs) break;
      effects.push(...this.#giveUp(number, query, nowMs));
    }
    for (const [wait, pending] of [...this.#pending]) {
      if (pending.deadlineMs > nowMs) break;
      effects.push(this.#late(wait, pending, nowMs));
    }
    return effects;
  }

  #giveUp(number: number, query: Query<C>, nowMs: number): readonly ProxyEffect<C>[] {
    this.upstreams.missed(query.upstream, query.deadlineMs - ATTEMPT_MS, nowMs);
    if (this.#mayRetry(query)) return this.#retryElsewhere(number, query, nowMs);
    return this.#fail(number, query);
  }

  #fail(number: number, query: Query<C>): readonly ProxyEffect<C>[] {
    this.counts.failed++;
    this.#question.read(query.asked);
    return [...this.#end(number, query), this.#reply(query.client, NOBODY_TO_ASK)];
  }

  #mayRetry({ attempt }: Query<C>): boolean {
    return attempt + 1 < ATTEMPTS_MAX;
  }

  #retryElsewhere(number: number, query: Query<C>, nowMs: number): readonly ProxyEffect<C>[] {
    const { upstream, client } = query;
    return this.#retry(number, query, this.upstreams.after(upstream, nowMs), client.transport, nowMs);
  }

  #retry(
    number: number,
    query: Query<C>,
    upstream: number,
    transport: Transport,
    nowMs: number,
  ): readonly ProxyEffect<C>[] {
    this.#queries.delete(number);
    this.#question.read(query.asked);
    const { client, asked, attempt } = query;
    return [
      { kind: 'close', query: number },
      this.#send(client, asked, upstream, transport, attempt + 1, nowMs),
    ];
  }

  /** Sends `#question`, whose bytes are `asked`, to an upstream. */
  #send(
    client: C,
    asked: Uint8Array,
    upstream: number,
    plainly: Transport,
    attempt: number,
    nowMs: number,
  ): ProxyEffect<C> {
    const random = this.#options.randomBytes(2 + Math.ceil(WIRE_NAME_MAX_BYTES / 8));
    const id = (random[0]! << 8) | random[1]!; // so many bytes were drawn
    const transport = this.#options.isOverTls === true ? 'tls' : plainly;
    const bytes = this.#exchange.asked(id, transport === 'tls');
    turnCase(bytes, HEADER_BYTES, this.#question.nameEnd, random.subarray(2));
    const name = bytes.slice(HEADER_BYTES, this.#question.nameEnd);
    const number = ++this.#lastQuery;
    const deadlineMs = nowMs + ATTEMPT_MS;
    this.#queries.set(number, { client, asked, id, name, upstream, transport, attempt, deadlineMs });
    return { kind: 'ask', query: number, upstream, transport, bytes };
  }

  #end(number: number, { client }: Query<C>): readonly ProxyEffect<C>[] {
    this.#queries.delete(number);
    this.#askers.count(client.askerKey, -1);
    return [{ kind: 'close', query: number }];
  }

  #answered(client: C): ProxyEffect<C> {
    this.counts.answered++;
    return { kind: 'reply', client, bytes: this.#exchange.forwarded(client.transport) };
  }

  #reply(client: C, own: OwnAnswer): ProxyEffect<C> {
    return { kind: 'reply', client, bytes: this.#exchange.own(own) };
  }
}

/** Whether an address is open, by its index in an opening and that opening's outcome; undefined: none yet. */
function isOpenBy(outcome: OpeningOutcome | undefined, index: number): boolean {
  return typeof outcome === 'object' ? outcome[index] === true : outcome === Outcome.open;
}

function bytesOf(words: Uint32Array): Uint8Array {
  const bytes = new Uint8Array(words.length * 4);
  const view = new DataView(bytes.buffer);
  for (const [at, word] of words.entries()) view.setUint32(at * 4, word);
  return bytes;
}
