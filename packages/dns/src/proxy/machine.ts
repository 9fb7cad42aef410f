/**
 * The proxy without its sockets: questions of qubes, answers of upstreams and time go in, and what to send to
 * whom comes out. Nothing is kept of an answer once it has gone: a cache would tell one qube what another
 * asked. An answer whose addresses a rule accepts by name goes once they are in the kernel.
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

import { QUESTIONS_PER_S } from '@rulecast/nftables/capture';
import {
  NAME_ADDRESSES_OF_ONE_MAX,
  nameLabelOf,
  type Opening,
  type OpeningOutcome,
  Outcome,
  openSecondsOf,
} from '@rulecast/nftables/openings';
import type { Address } from '@rulecast/rules';
import type { NameJudgement, OpenedList } from '../judge/judge.ts';
import type { NameRule } from '../judge/program.ts';
import { addressesTold, addressKey, type ToldAddress } from '../message/addresses.ts';
import { withoutOurs } from '../message/hop.ts';
import { MessageReader, Section } from '../message/message.ts';
import {
  isWithin,
  nameBytes,
  nameText,
  newNameScratch,
  readName,
  sameName,
  turnCase,
} from '../message/name.ts';
import {
  ExtendedError,
  HEADER_BYTES,
  MESSAGE_MAX_BYTES,
  Rcode,
  RecordType,
  WIRE_NAME_MAX_BYTES,
} from '../message/wire.ts';
import { isWhole, PUBLIC, type Telling, writeWithout } from '../message/without.ts';
import {
  EDNS_BYTES,
  type OwnAnswer,
  PLAIN_BYTES,
  readdress,
  WRITTEN_MAX_BYTES,
  writeAnswer,
  writeQuestion,
  writeTruncated,
} from '../message/writer.ts';
import {
  ALIASES_MAX,
  ALL_QUESTIONS_MAX,
  ASKERS_MAX,
  ATTEMPT_MS,
  ATTEMPTS_MAX,
  BLOCKED_TTL_S,
  OPEN_MS,
  QUESTIONS_MAX,
} from './limits.ts';
import { Tally } from './tally.ts';
import { Upstreams } from './upstreams.ts';

export type Transport = 'udp' | 'tcp';
/** How an upstream is asked. */
export type UpstreamTransport = Transport | 'tls';

/** Where a question came from; the machine gives it back with the answer, and looks at no more than this. */
export interface Client {
  /** The qube. */
  readonly asker: Address;
  /** The same text for the same qube. */
  readonly askerKey: string;
  readonly transport: Transport;
}

/** What is to be opened, before whoever carries it has numbered it. */
export type NewOpening = Omit<Opening, 'id'>;

export type ProxyEffect<C extends Client> =
  /** Bytes are the receiver's. */
  | { readonly kind: 'reply'; readonly client: C; readonly bytes: Uint8Array }
  /** It asked too much: read no more from its connection, whose questions nothing else bounds. */
  | { readonly kind: 'end'; readonly client: C }
  /** Send this to an upstream, and hand in what comes back under the same number. */
  | {
      readonly kind: 'ask';
      readonly query: number;
      readonly upstream: number;
      readonly transport: UpstreamTransport;
      readonly bytes: Uint8Array;
    }
  /** Have these opened, and hand in what comes of each under its index: an answer waits for it. */
  | { readonly kind: 'open'; readonly wait: number; readonly openings: readonly NewOpening[] }
  /** Nothing more is awaited of this query: close its socket. */
  | { readonly kind: 'close'; readonly query: number };

/** What a name gets, and by which list. */
export interface Judged extends Pick<NameJudgement, 'answer'> {
  readonly rule?: Pick<NameRule, 'list'> | undefined;
}

/** That a question was blocked: of which qube, the whole name at `at`, and by which list. */
export type TellOfBlocked = (qube: string, name: Uint8Array, at: number, list: string | undefined) => void;

export interface ProxyOptions {
  /** How many there are; they are asked in their order, but for those that do not answer. */
  readonly upstreamCount: number;
  /** Whether all of them are asked over TLS, each question padded. */
  readonly isOverTls?: boolean;
  /** What a name gets; undefined: nothing says so yet, and nothing is answered. */
  readonly judge: (
    asker: Address,
    name: Uint8Array,
    at: number,
    aliases: readonly Uint8Array[],
  ) => Judged | undefined;
  /** Whether the whole name at `at` may stand for private addresses. */
  readonly mayBePrivate: (name: Uint8Array, at: number) => boolean;
  /**
   * The lists by which the addresses of a name that may be answered are to be opened first; absent: nothing
   * here opens any.
   */
  readonly opens?:
    | ((
        asker: Address,
        name: Uint8Array,
        at: number,
        aliases: readonly Uint8Array[],
      ) => readonly OpenedList[])
    | undefined;
  /** So many bytes of chance that nobody can foresee. */
  readonly randomBytes: (count: number) => Uint8Array;
  readonly tellOfBlocked?: TellOfBlocked | undefined;
}

/** What happened, since the start. */
export interface ProxyCounts {
  questions: number;
  blocked: number;
  answered: number;
  /** Answers that private addresses were left out of; what was left, or that nothing was, was told. */
  private: number;
  /** Answers that were said to be none, since no address of the qube is known in their family. */
  otherFamily: number;
  /** Nobody could be asked, or nobody answered. */
  failed: number;
  /** Answers that addresses were left out of for which there was no room; without any they failed, too. */
  full: number;
  /** Beyond a bound. */
  refused: number;
  /** No message, or none that belongs here. */
  ignored: number;
}

interface Query<C extends Client> {
  readonly client: C;
  /** The question as it came. */
  readonly asked: Uint8Array;
  readonly id: number;
  /** The name in the case in which it goes out; whoever answers has seen it. */
  readonly name: Uint8Array;
  readonly upstream: number;
  readonly transport: UpstreamTransport;
  readonly attempt: number;
  readonly deadlineMs: number;
}

/** An answer that waits for its addresses to be opened. */
interface Held<C extends Client> {
  readonly client: C;
  readonly asked: Uint8Array;
  readonly answer: Uint8Array;
  readonly isAgain: boolean;
  readonly deadlineMs: number;
  readonly openings: readonly NewOpening[];
  /** By their index. */
  readonly outcomes: Map<number, OpeningOutcome>;
}

interface Asker {
  waiting: number;
  tokens: number;
  atMs: number;
}

const BLOCKED: Readonly<Record<'nxdomain' | 'refused' | 'null', OwnAnswer>> = {
  nxdomain: { rcode: Rcode.noName, error: ExtendedError.blocked, ttl: BLOCKED_TTL_S },
  refused: { rcode: Rcode.refused, error: ExtendedError.blocked },
  null: { rcode: Rcode.ok, error: ExtendedError.blocked, ttl: BLOCKED_TTL_S, isNull: true },
};
/** Of a name that stands for nothing but private addresses, and may not. */
const WITHOUT_PRIVATE: OwnAnswer = { rcode: Rcode.ok, error: ExtendedError.blocked, ttl: BLOCKED_TTL_S };
/** Transfers of whole zones, which go over many messages. */
const TRANSFER_TYPES = [251, 252];
/** What is of use without addresses: it goes without those that are not open. */
const SERVICE_TYPES: readonly number[] = [RecordType.svcb, RecordType.https];
const NO_DATA: OwnAnswer = { rcode: Rcode.ok, ttl: BLOCKED_TTL_S };
/** By what is below, resolvers tell of others to be asked over TLS or HTTPS (RFC 9462 §6.4): we have none. */
const RESOLVER_ZONE = nameBytes('resolver.arpa');
const NOT_OPEN: OwnAnswer = { rcode: Rcode.failure, error: ExtendedError.network };
/** Of addresses of a family in which none of the qube's is known, so that nothing could be opened for it. */
const OTHER_FAMILY: OwnAnswer = { ...NO_DATA, error: ExtendedError.notSupported };
const FAMILIES = [4, 6] as const;
/** What an upstream says that cannot answer: somebody else may. */
const FAILURES: readonly number[] = [Rcode.failure, Rcode.notImplemented, Rcode.refused];

export class DnsProxy<C extends Client> {
  readonly #options: ProxyOptions;
  readonly #queries = new Map<number, Query<C>>();
  readonly upstreams: Upstreams;
  readonly #askers = new Map<string, Asker>();
  readonly #question = new MessageReader();
  readonly #answer = new MessageReader();
  readonly #owner = newNameScratch();
  readonly #written = new Uint8Array(WRITTEN_MAX_BYTES);
  readonly #shortened = new Uint8Array(MESSAGE_MAX_BYTES);
  readonly #held = new Map<number, Held<C>>();
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
  };

  /** What was blocked, by the list that has it, and by the qube that asked. */
  readonly blocked = { lists: new Tally(), qubes: new Tally() };

  constructor(options: ProxyOptions) {
    this.#options = options;
    this.upstreams = new Upstreams(options.upstreamCount);
  }

  /** When `expire` is due; undefined: nothing waits. Each query has its deadline as late as its turn. */
  get deadlineMs(): number | undefined {
    const [query, held] = [this.#queries, this.#held].map((all) => all.values().next().value?.deadlineMs);
    return query === undefined || held === undefined ? (query ?? held) : Math.min(query, held);
  }

  /** Takes what a qube sent. The bytes stay the caller's. */
  ask(client: C, bytes: Uint8Array, nowMs: number): readonly ProxyEffect<C>[] {
    this.counts.questions++;
    const asker = this.#askerOf(client.askerKey, nowMs);
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
    if (own !== undefined) return [this.#reply(client, asked, own)];
    asker.waiting++;
    const upstream = this.upstreams.first(nowMs);
    return [this.#send(client, Uint8Array.from(bytes), upstream, client.transport, 0, nowMs)];
  }

  /** What is said to the question just read without asking anybody; undefined: an upstream is asked. */
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
    if (asker.waiting < QUESTIONS_MAX && this.#queries.size + this.#held.size < ALL_QUESTIONS_MAX)
      return undefined;
    this.counts.refused++;
    return { rcode: Rcode.failure };
  }

  /** Takes what came back for a query. The bytes are the machine's from then on. */
  answer(number: number, bytes: Uint8Array, nowMs: number): readonly ProxyEffect<C>[] {
    const query = this.#queries.get(number);
    const answer = this.#answer;
    if (query === undefined || answer.read(bytes) !== undefined || !this.#isOf(query)) {
      this.counts.ignored++;
      return []; // somebody else's, for all we know: the true one may still come
    }
    const isSameCase = query.name.every((byte, i) => byte === bytes[HEADER_BYTES + i]);
    if (!isSameCase && query.transport === 'udp')
      return this.#retry(number, query, query.upstream, 'tcp', nowMs);
    this.upstreams.heard(query.upstream, nowMs);
    if (FAILURES.includes(answer.rcode) && this.#mayRetry(query))
      return this.#retryElsewhere(number, query, nowMs);
    return [...this.#end(number, query), this.#passOn(query, nowMs)];
  }

  /** Whether the answer just read is one to a query, but for the case of its name. */
  #isOf({ id, name, asked }: Query<C>): boolean {
    const answer = this.#answer;
    if (!answer.isResponse || !answer.isQuery || answer.id !== id) return false;
    if (answer.nameEnd - HEADER_BYTES !== name.length) return false;
    this.#question.read(asked);
    const { type, class: of } = this.#question;
    return (
      answer.type === type &&
      answer.class === of &&
      sameName(answer.bytes.subarray(HEADER_BYTES), name, name.length)
    );
  }

  /** What the qube gets for the answer just read; `#question` is what it asked. */
  #passOn({ client, asked: question }: Query<C>, nowMs: number): ProxyEffect<C> {
    const asked = this.#question;
    const aliases = this.#aliases();
    if (aliases === undefined) {
      this.counts.failed++;
      return this.#reply(client, asked, { rcode: Rcode.failure });
    }
    const judged = this.#judged(client, aliases); // by what is in force now
    if (judged !== undefined) return this.#reply(client, asked, judged);
    if (!this.#leaveOutPrivate()) return this.#reply(client, asked, WITHOUT_PRIVATE);
    const lists = this.#options.opens?.(client.asker, asked.bytes, HEADER_BYTES, aliases) ?? [];
    const held = lists.length === 0 ? undefined : this.#heldBack(client, question, lists, false, nowMs);
    return held ?? this.#answered(client);
  }

  /**
   * What is done before the answer just read may go to the qube: it waits until its addresses are open, or
   * another one goes. Undefined: it has none.
   */
  #heldBack(
    client: C,
    question: Uint8Array,
    lists: readonly OpenedList[],
    isAgain: boolean,
    nowMs: number,
  ): ProxyEffect<C> | undefined {
    const [answer, asked] = [this.#answer, this.#question];
    if (answer.isTruncated && client.transport === 'udp') return undefined; // it tells none
    if (answer.rcode !== Rcode.ok) {
      if (this.#leaveOut({ address: () => false })) return undefined;
      this.counts.failed++;
      return this.#reply(client, asked, { rcode: Rcode.failure });
    }
    // All that there is may have addresses anywhere: it is said to be nothing.
    if (asked.type === RecordType.any) return this.#reply(client, asked, NO_DATA);
    const told = this.#narrowed(client);
    if (told === undefined) return this.#reply(client, asked, NO_DATA);
    const openings = this.#openingsOf(client, lists, told);
    if (openings.length === 0) return undefined;
    const wait = ++this.#lastWait;
    this.#held.set(wait, {
      client,
      asked: question,
      answer: answer.bytes,
      isAgain,
      deadlineMs: nowMs + OPEN_MS,
      openings,
      outcomes: new Map(),
    });
    const asker = this.#askers.get(client.askerKey);
    if (asker !== undefined) asker.waiting++;
    return { kind: 'open', wait, openings };
  }

  /**
   * Leaves out of the answer what could not be opened, whatever comes: addresses of names that were not asked
   * for, nor stand for that, and more than a qube may use for one name, and of services those of other names
   * that are not open to it by themselves, and addresses that stand beside them. The addresses left;
   * undefined: nothing is.
   */
  #narrowed({ asker }: C): readonly ToldAddress[] | undefined {
    const [answer, asked] = [this.#answer, this.#question];
    const isService = SERVICE_TYPES.includes(asked.type);
    const target = (bytes: Uint8Array, at: number): boolean => {
      const name = newNameScratch();
      const length = readName(bytes, at, name);
      const isOwn = length === asked.nameEnd - HEADER_BYTES;
      if (isOwn && sameName(name, asked.bytes.subarray(HEADER_BYTES), length)) return true;
      return (this.#options.opens?.(asker, name.slice(0, length), 0, []) ?? []).length > 0;
    };
    const names = [asked.bytes.subarray(HEADER_BYTES), ...(this.#aliases() ?? [])];
    const owner = (bytes: Uint8Array, at: number): boolean => {
      const length = readName(bytes, at, this.#owner);
      return names.some((name) => sameName(this.#owner, name, length));
    };
    const own: Telling = { address: () => true, owner, ...(isService && { target }) };
    if (!this.#leaveOut(own)) return undefined;
    const some = new Map([...addressesTold(answer)].slice(0, NAME_ADDRESSES_OF_ONE_MAX));
    return this.#leaveOut({ address: (bytes) => some.has(addressKey(bytes)) })
      ? [...some.values()]
      : undefined;
  }

  /** What is to be opened for the answer just read by each of some lists. */
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
      // What is told of a private network is a matter of rules about its addresses, or of such a list.
      const ofInternet = addresses.filter(PUBLIC.address);
      const hasPrivate = lists.some(({ isPrivate }) => isPrivate === true);
      return lists.flatMap(({ isOfAll, isPrivate, key, version }) => {
        const some = isOfAll === true || (hasPrivate && isPrivate !== true) ? ofInternet : addresses;
        return some.length === 0 ? [] : [{ family, key, version, qube, addresses: some, seconds, label }];
      });
    });
  }

  /** Takes what came of an opening, by its index among those of a wait. */
  opened(wait: number, index: number, outcome: OpeningOutcome): readonly ProxyEffect<C>[] {
    const held = this.#held.get(wait);
    if (held === undefined || held.openings[index] === undefined || held.outcomes.has(index)) return [];
    held.outcomes.set(index, outcome);
    const { outcomes, openings } = held;
    const isLate = outcomes.size < openings.length || [...outcomes.values()].includes(Outcome.later);
    if (isLate) return []; // its time has not come
    this.#release(wait, held);
    return [this.#settled(held)];
  }

  /** Ends a wait, and reads its question and answer again. */
  #release(wait: number, { client, asked, answer }: Held<C>): void {
    this.#held.delete(wait);
    const asker = this.#askers.get(client.askerKey);
    if (asker !== undefined) asker.waiting--;
    this.#question.read(asked);
    this.#answer.read(answer);
  }

  /** What is not open when its time has come is tried once more, by what is in force then. */
  #late(wait: number, held: Held<C>, nowMs: number): ProxyEffect<C> {
    this.#release(wait, held);
    const { client, asked, isAgain } = held;
    if (isAgain) return this.#settled(held);
    const aliases = this.#aliases() ?? [];
    const judged = this.#judged(client, aliases);
    if (judged !== undefined) return this.#reply(client, this.#question, judged);
    const lists = this.#options.opens?.(client.asker, this.#question.bytes, HEADER_BYTES, aliases) ?? [];
    if (lists.length === 0) return this.#answered(client);
    return this.#heldBack(client, asked, lists, true, nowMs) ?? this.#answered(client);
  }

  /** What goes when a wait has ended: the answer just read, with those addresses that every list opened. */
  #settled({ client, openings, outcomes }: Held<C>): ProxyEffect<C> {
    const shut = new Set<string>();
    for (const [index, { addresses }] of openings.entries()) {
      const outcome = outcomes.get(index);
      for (const [i, bytes] of addresses.entries()) if (!isOpenBy(outcome, i)) shut.add(addressKey(bytes));
    }
    if (shut.size === 0) return this.#answered(client);
    const came = openings.map((_, index) => outcomes.get(index));
    if (came.some((outcome) => outcome === Outcome.full || typeof outcome === 'object')) this.counts.full++;
    if (this.#leaveOut({ address: (bytes) => !shut.has(addressKey(bytes)) })) return this.#answered(client);
    const asked = this.#question;
    if (SERVICE_TYPES.includes(asked.type)) return this.#reply(client, asked, NO_DATA);
    const isOther = came.every((outcome) => outcome === Outcome.open || outcome === Outcome.unknown);
    this.counts[isOther ? 'otherFamily' : 'failed']++;
    return this.#reply(client, asked, isOther ? OTHER_FAMILY : NOT_OPEN);
  }

  /** The answer just read goes to the qube that asked `#question`. */
  #answered(client: C): ProxyEffect<C> {
    const [answer, asked] = [this.#answer, this.#question];
    this.counts.answered++;
    const bytes = withoutOurs(answer, asked.opt >= 0);
    readdress(bytes, asked);
    const room = Math.min(EDNS_BYTES, Math.max(PLAIN_BYTES, asked.ednsBytes));
    if (client.transport === 'tcp' || (bytes.length <= room && !answer.isTruncated))
      return { kind: 'reply', client, bytes };
    answer.read(bytes); // whose id it has now
    return { kind: 'reply', client, bytes: this.#written.slice(0, writeTruncated(answer, this.#written)) };
  }

  /** Leaves out of the answer what the name of `#question` may not stand for. Whether anything is left. */
  #leaveOutPrivate(): boolean {
    const isPublic = isWhole(this.#answer, PUBLIC);
    if (isPublic || this.#options.mayBePrivate(this.#question.bytes, HEADER_BYTES)) return true;
    this.counts.private++;
    return this.#leaveOut(PUBLIC);
  }

  /** Leaves out of the answer what may not be told. Whether anything is left. */
  #leaveOut(telling: Telling): boolean {
    const answer = this.#answer;
    if (isWhole(answer, telling)) return true;
    const byteCount = writeWithout(answer, telling, this.#shortened);
    return byteCount > 0 && answer.read(this.#shortened.slice(0, byteCount)) === undefined;
  }

  /** What is said in place of an answer to `#question`; undefined: it may be answered. */
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
    this.#options.tellOfBlocked?.(askerKey, this.#question.bytes, HEADER_BYTES, list);
    return BLOCKED[judgement.answer];
  }

  /** The names that the answer says others stand for; undefined: too many to look at. */
  #aliases(): readonly Uint8Array[] | undefined {
    const answer = this.#answer;
    const aliases: Uint8Array[] = [];
    const name = newNameScratch();
    for (let i = 0; i < answer.recordCount; i++) {
      if (answer.sections[i] !== Section.answer) continue;
      const at = answer.targetOf(i);
      if (at < 0) continue;
      if (aliases.length === ALIASES_MAX) return undefined;
      aliases.push(name.slice(0, readName(answer.bytes, at, name)));
    }
    return aliases;
  }

  /** The socket of a query is of no use: nobody listens there, or it ended. */
  fail(number: number, nowMs: number): readonly ProxyEffect<C>[] {
    const query = this.#queries.get(number);
    return query === undefined ? [] : this.#giveUp(number, query, nowMs);
  }

  /** Gives up what has waited too long. */
  expire(nowMs: number): readonly ProxyEffect<C>[] {
    const effects: ProxyEffect<C>[] = [];
    for (const [number, query] of [...this.#queries]) {
      if (query.deadlineMs > nowMs) break;
      effects.push(...this.#giveUp(number, query, nowMs));
    }
    for (const [wait, held] of [...this.#held]) {
      if (held.deadlineMs > nowMs) break;
      effects.push(this.#late(wait, held, nowMs));
    }
    return effects;
  }

  #giveUp(number: number, query: Query<C>, nowMs: number): readonly ProxyEffect<C>[] {
    this.upstreams.missed(query.upstream, query.deadlineMs - ATTEMPT_MS, nowMs);
    if (this.#mayRetry(query)) return this.#retryElsewhere(number, query, nowMs);
    this.counts.failed++;
    this.#question.read(query.asked);
    const own = { rcode: Rcode.failure, error: ExtendedError.noReachableAuthority } as const;
    return [...this.#end(number, query), this.#reply(query.client, this.#question, own)];
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

  /** Asks an upstream what `#question` is, whose bytes are `asked`. */
  #send(
    client: C,
    asked: Uint8Array,
    upstream: number,
    plainly: Transport,
    attempt: number,
    nowMs: number,
  ): ProxyEffect<C> {
    const random = this.#options.randomBytes(2 + Math.ceil(WIRE_NAME_MAX_BYTES / 8));
    const id = (random[0]! << 8) | random[1]!; // so many were asked for
    const transport = this.#options.isOverTls === true ? 'tls' : plainly;
    const length = writeQuestion(this.#question, id, this.#written, transport === 'tls');
    const bytes = this.#written.slice(0, length);
    turnCase(bytes, HEADER_BYTES, this.#question.nameEnd, random.subarray(2));
    const name = bytes.slice(HEADER_BYTES, this.#question.nameEnd);
    const number = ++this.#lastQuery;
    const deadlineMs = nowMs + ATTEMPT_MS;
    this.#queries.set(number, { client, asked, id, name, upstream, transport, attempt, deadlineMs });
    return { kind: 'ask', query: number, upstream, transport, bytes };
  }

  #end(number: number, { client }: Query<C>): readonly ProxyEffect<C>[] {
    this.#queries.delete(number);
    const asker = this.#askers.get(client.askerKey);
    if (asker !== undefined) asker.waiting--;
    return [{ kind: 'close', query: number }];
  }

  #reply(client: C, asked: MessageReader, own: OwnAnswer): ProxyEffect<C> {
    return { kind: 'reply', client, bytes: this.#written.slice(0, writeAnswer(asked, own, this.#written)) };
  }

  /** What is known of a qube; undefined: there are too many that wait for something. */
  #askerOf(key: string, nowMs: number): Asker | undefined {
    const known = this.#askers.get(key);
    if (known !== undefined) {
      const earned = (Math.max(0, nowMs - known.atMs) * QUESTIONS_PER_S) / 1000;
      known.tokens = Math.min(QUESTIONS_PER_S, known.tokens + earned);
      known.atMs = nowMs;
      return known;
    }
    if (this.#askers.size >= ASKERS_MAX && !this.#forgetIdle(nowMs)) return undefined;
    const asker = { waiting: 0, tokens: QUESTIONS_PER_S, atMs: nowMs };
    this.#askers.set(key, asker);
    return asker;
  }

  /** Forgets qubes that are as if they had never asked. Whether there were any. */
  #forgetIdle(nowMs: number): boolean {
    const before = this.#askers.size;
    for (const [key, { waiting, tokens, atMs }] of this.#askers) {
      const isFull = tokens + ((nowMs - atMs) * QUESTIONS_PER_S) / 1000 >= QUESTIONS_PER_S;
      if (waiting === 0 && isFull) this.#askers.delete(key);
    }
    return this.#askers.size < before;
  }
}

/** Whether an address is open, by its index in an opening of which this came, or nothing yet. */
function isOpenBy(outcome: OpeningOutcome | undefined, index: number): boolean {
  return typeof outcome === 'object' ? outcome[index] === true : outcome === Outcome.open;
}

function bytesOf(words: Uint32Array): Uint8Array {
  const bytes = new Uint8Array(words.length * 4);
  const view = new DataView(bytes.buffer);
  for (const [at, word] of words.entries()) view.setUint32(at * 4, word);
  return bytes;
}
