/**
 * The rule set that `rulecast-dns` judges by, received from a subscriber: none until the first release is
 * there, from then on one whole release after the other. It stays when the subscriber disconnects; the next
 * one sends everything again.
 *
 *     stream ─frame─▶ change ─▶ rule set, checked ─▶ judge: transitions, turn ─▶ `has`
 */

import { type ByteStream, ErrorCode, ProtocolError, type Turn } from '@rulecast/protocol';
import {
  type Address,
  checkPieces,
  concernsFirewallDns,
  EMPTY_RULE_SET,
  inTurns,
  type RuleSet,
} from '@rulecast/rules';
import { NameJudge, type NameJudgement, type OpenedList } from '../judge/judge.ts';
import { type Changed, changedPieces } from './change.ts';
import {
  CHANGE_MAX_BYTES,
  changePieces,
  FrameReader,
  frameOf,
  type PipeMessage,
  type ReadMessage,
  SAID_MAX_BYTES,
} from './frame.ts';

export interface FollowerOptions {
  /** A new secret key for names, 16 random bytes. */
  readonly key: () => Uint8Array;
  /** Seconds since 1970. */
  readonly nowS: () => number;
  /** Lets questions be answered. */
  readonly turn: Turn;
  /** A release is judged by from now on. */
  readonly onTurn: (number: number) => void;
  /** Hosts of that link group ask this one, or nobody does. Resolves once that was tried; does not reject. */
  readonly onListen: (group: number | undefined) => Promise<void>;
  /** Why clients cannot ask this program; empty: they can. Sent before `has`. */
  readonly fault: () => string;
  /** Counters by name, sent with `has`. */
  readonly counts: () => Readonly<Record<string, number>>;
}

/** How often another key is drawn if names collide. */
const KEYS_MAX = 3;
const READ_BYTES = 1024 * 1024;

/** One stream of a subscriber. */
interface Following {
  readonly channel: ByteStream;
  readonly frames: FrameReader;
  /** The number of the release that is judged by; 0: none of this stream. */
  number: number;
  /** One at a time. */
  isChanging: boolean;
  fault: unknown;
  /** Whether it asked for blocked names. */
  isWatching: boolean;
}

export class NameFollower {
  readonly #options: FollowerOptions;
  #judge: NameJudge | undefined;
  #ruleSet: RuleSet = EMPTY_RULE_SET;
  #isAskedByHosts = false;
  /** A judge that could not follow once never does again. */
  #isStuck = false;
  #current: Following | undefined;
  #turn: Promise<void> = Promise.resolve();

  constructor(options: FollowerOptions) {
    this.#options = options;
  }

  /** The verdict on a name; undefined: there is no release yet. */
  judge(
    asker: Address,
    name: Uint8Array,
    at: number,
    aliases: readonly Uint8Array[],
  ): NameJudgement | undefined {
    return this.#judge?.judge(asker, name, at, aliases, { now: this.#options.nowS() });
  }

  /** Whether hosts ask this program, or the present release needs names to be answered. */
  get isNeeded(): boolean {
    return this.#isAskedByHosts || concernsFirewallDns(this.#ruleSet);
  }

  /** Whether the connected subscriber asked for blocked names. */
  get isWatched(): boolean {
    return this.#current?.isWatching === true && this.#current.channel.state === 'connected';
  }

  /** Sends blocked names, unless so much is unsent that they would leave no room for answers. */
  tellBlocked(take: () => Omit<Extract<PipeMessage, { readonly kind: 'blocked' }>, 'kind'>): void {
    if (!this.isWatched || this.#current === undefined) take();
    else if (this.#current.channel.bufferSpace() >= 2 * SAID_MAX_BYTES)
      say(this.#current.channel, { kind: 'blocked', ...take() });
  }

  /** Whether a name may resolve to private addresses. */
  mayBePrivate(name: Uint8Array, at: number): boolean {
    return this.#judge?.mayBePrivate(name, at) === true;
  }

  /** The lists by which the addresses of a name are to be opened for a qube. */
  opens(asker: Address, name: Uint8Array, at: number, aliases: readonly Uint8Array[]): readonly OpenedList[] {
    return this.#judge?.openedBy(asker, name, at, aliases, { now: this.#options.nowS() }) ?? [];
  }

  /**
   * Follows a stream until it ends, in place of any before. Throws ProtocolError, or what kept a change from
   * being followed; what was judged by before still is.
   */
  async serve(channel: ByteStream): Promise<void> {
    this.#current?.channel.close();
    const following: Following = {
      channel,
      frames: new FrameReader(CHANGE_MAX_BYTES),
      number: 0,
      isChanging: false,
      fault: undefined,
      isWatching: false,
    };
    this.#current = following;
    try {
      while (channel.state !== 'disconnected' || channel.dataReady() > 0) {
        const bytes = channel.read(READ_BYTES);
        if (bytes.length === 0) await channel.waitReadable();
        for (const message of following.frames.feed(bytes)) this.#take(following, message);
      }
      if (following.fault !== undefined) throw following.fault;
    } finally {
      channel.close();
      await this.#turn;
    }
  }

  #take(following: Following, message: ReadMessage): void {
    if (message.kind === 'ask') {
      say(following.channel, { kind: 'counts', counts: this.#options.counts() });
      return this.#sayHas(following);
    }
    if (message.kind === 'watch') {
      following.isWatching = true;
      return;
    }
    if (message.kind === 'listen') {
      this.#isAskedByHosts = message.group !== undefined;
      this.#turn = this.#turn.then(() => this.#options.onListen(message.group));
      return;
    }
    if (message.kind !== 'change' || following.isChanging)
      throw new ProtocolError(ErrorCode.badMessage, `${message.kind}, which was not requested`);
    following.isChanging = true;
    this.#turn = this.#turn
      .then(() => this.#change(following, message.body))
      .catch((error: unknown) => {
        following.fault = error;
        following.channel.close();
      });
  }

  /** A stream that ended meanwhile has nothing to say any more. */
  async #change(following: Following, body: Uint8Array): Promise<void> {
    if (this.#current !== following || following.channel.state === 'disconnected') return;
    const { turn } = this.#options;
    const { number, isWhole, steps } = await inTurns(changePieces(body), turn);
    if (!isWhole && following.number === 0)
      throw new ProtocolError(ErrorCode.badBase, 'a change of a release that is not known here');
    const changed = await inTurns(changedPieces(isWhole ? EMPTY_RULE_SET : this.#ruleSet, steps), turn);
    const problems = await inTurns(checkPieces(changed.ruleSet, 'explain'), turn);
    const fault = problems.find(({ severity }) => severity === 'fault');
    if (fault !== undefined) throw new ProtocolError(ErrorCode.badRuleSet, fault.reason);
    await this.#goOver(changed);
    this.#ruleSet = changed.ruleSet;
    following.number = number;
    following.isChanging = false;
    this.#options.onTurn(number);
    this.#sayHas(following);
  }

  #sayHas({ channel, number }: Following): void {
    say(channel, { kind: 'fault', text: this.#options.fault() });
    say(channel, { kind: 'has', number });
  }

  async #goOver({ ruleSet, edits }: Changed): Promise<void> {
    if (this.#judge !== undefined && !this.#isStuck) {
      const outcome = await inTurns(this.#judge.follow(ruleSet, edits), this.#options.turn);
      if (outcome === 'done') return;
      this.#isStuck = true;
    }
    for (let keys = 0; ; keys++) {
      const judge = await inTurns(NameJudge.of(ruleSet, this.#options.key()), this.#options.turn);
      if (judge instanceof NameJudge) {
        this.#judge = judge;
        this.#isStuck = false;
        return;
      }
      if (judge !== 'flooded' || keys === KEYS_MAX)
        throw new Error('its names are in too many combinations of lists: join some lists');
    }
  }
}

/** Closes a channel whose subscriber does not read its messages. */
function say(channel: ByteStream, message: PipeMessage): void {
  if (channel.state === 'disconnected') return;
  const frame = frameOf(message);
  if (channel.write(frame) < frame.length) channel.close();
}
