/**
 * The subscriber's side: has `rulecast-dns` judge by the release in force, and reports if it does not. One
 * change is under way at a time, and only the newest release waits; a new stream begins with the whole. Its
 * only edges are arguments: the connector, and the clock.
 */

import type { ByteStream, SteadyClock } from '@rulecast/protocol';
import { concernsFirewallDns, EMPTY_RULE_SET, opensByName, type RuleSet } from '@rulecast/rules';
import { portionOf } from '../judge/portion.ts';
import { OPENS } from '../proxy/counters.ts';
import { stepsBetween } from './change.ts';
import { type BlockedName, CHANGE_MAX_BYTES, FrameReader, frameOf, SAID_MAX_BYTES } from './frame.ts';

export type { BlockedName } from './frame.ts';

export interface NameFeedOptions {
  /** Connects to `rulecast-dns`; called again after each end. The signal aborts it at close. */
  readonly channel: (signal: AbortSignal) => Promise<ByteStream>;
  readonly clock: SteadyClock;
  /**
   * Whether `rulecast-dns` runs, and may judge by a release of an earlier feed, which it then forgets. With
   * this option a stream is open only while a release needs one, since connecting starts `rulecast-dns`.
   */
  readonly isRunning?: () => boolean;
  /**
   * The link group of hosts that may ask `rulecast-dns` at this host's address; absent: questions are
   * redirected to it.
   */
  readonly listenGroup?: number;
  /** Called with blocked names, and the number of those not reported; absent: they are not requested. */
  readonly onBlocked?: (names: readonly BlockedName[], lost: number) => void;
  /** Told each time when it begins to follow, and why it does not. */
  readonly onStanding: (text: string, isFollowing: boolean) => void;
}

/** The interval of `ask`, and the silence after which the connection counts as lost. Our choice. */
const ASK_MS = 2_000;
const SILENT_MS = 30_000;
/** Between two attempts to connect, if the last came to nothing: doubles up to the longest. */
const AGAIN_MS = 500;
const AGAIN_MAX_MS = 30_000;
const READ_BYTES = 4096;
const NUMBER_MAX = 0xffff_ffff;

interface Wanted {
  readonly number: number;
  readonly portion: RuleSet;
}

export class NameFeed {
  readonly #options: NameFeedOptions;
  readonly #closing = new AbortController();
  #wanted: Wanted | undefined;
  /** The rule set last sent on the open stream. */
  #sent: Wanted | undefined;
  #taken = 0;
  #isOpen = false;
  /** Whether it took anything on this connection. */
  #hasTaken = false;
  /** It has a release without names, and none since. */
  #isRelieved = false;
  /** Why `rulecast-dns` cannot be asked, and since when. */
  #fault: { readonly text: string; readonly sinceMs: number } | undefined;
  /** The counters of DNS, as last received on the open stream. */
  #counts: Readonly<Record<string, number>> = {};
  /** Since when addresses accepted by name are not opened; undefined: they are, or it is not known. */
  #opensNothingSinceMs: number | undefined;
  #reason = 'it has not answered yet';
  /** Since when DNS does not have the wanted rule set; undefined: it has. */
  #behindSinceMs: number | undefined;
  #wake: () => void = () => undefined;
  #told = '';
  /** Connections that ended, or failed. */
  #failures = 0;
  readonly #running: Promise<void>;

  constructor(options: NameFeedOptions) {
    this.#options = options;
    this.#running = this.#connectForever();
  }

  /**
   * A rule set is in force: names are to be judged by it. Resolves once they are, and opened. Also once the
   * stream has ended, or nothing was opened for 30 s; it follows later, too, and status says so until then.
   */
  async follow(ruleSet: RuleSet): Promise<void> {
    const number = ((this.#wanted?.number ?? 0) % NUMBER_MAX) + 1;
    this.#wanted = { number, portion: portionOf(ruleSet) };
    if (this.#isOpen || this.#isNeeded) this.#behindSinceMs ??= this.#options.clock.monotonicMs();
    this.#wake();
    const failures = this.#failures; // it is connected to once more now, if it pauses
    const mayFollow = (): boolean => this.#isOpen || (this.#isNeeded && this.#failures === failures);
    while (mayFollow() && !this.#closing.signal.aborted) {
      const leftMs = this.#patienceMs();
      if (leftMs <= 0) return;
      await this.#change(leftMs);
    }
  }

  /** Whether a stream should be open. */
  get #isNeeded(): boolean {
    const { isRunning } = this.#options;
    if (isRunning === undefined) return true;
    if (this.#wanted === undefined) return false;
    return concernsFirewallDns(this.#wanted.portion) || (!this.#isRelieved && isRunning());
  }

  /** How long a commit may still wait, unless something changes. */
  #patienceMs(): number {
    if (this.#behindSinceMs !== undefined) return SILENT_MS; // a stream that is silent ends
    if (this.#fault !== undefined) return 0; // a person must mend it
    return SILENT_MS - (this.trouble()?.forMs ?? SILENT_MS);
  }

  /**
   * Why names are not judged by what is in force, or not opened, and for how long; undefined: they are, or
   * nothing that is in force needs it.
   */
  trouble(): { readonly text: string; readonly forMs: number } | undefined {
    if (this.#wanted === undefined || !concernsFirewallDns(this.#wanted.portion)) return undefined;
    const nowMs = this.#options.clock.monotonicMs();
    if (this.#behindSinceMs === undefined) {
      if (this.#fault !== undefined)
        return { text: `rulecast-dns is not asked: ${this.#fault.text}`, forMs: nowMs - this.#fault.sinceMs };
      if (this.#opensNothingSinceMs === undefined || !opensByName(this.#wanted.portion)) return undefined;
      const text =
        'rulecast-dns does not reach the applier, and answers SERVFAIL to what rules accept by name: is the socket of the applier there, and in its group?';
      return { text, forMs: nowMs - this.#opensNothingSinceMs };
    }
    const forMs = nowMs - this.#behindSinceMs;
    const why = this.#isOpen ? 'it has not taken this release yet' : this.#reason;
    return { text: `rulecast-dns does not block its names: ${why}`, forMs };
  }

  /** The counters of DNS since it started; empty if it is not connected. */
  counters(): Readonly<Record<string, number>> {
    return this.#counts;
  }

  async close(): Promise<void> {
    this.#closing.abort();
    this.#wake();
    await this.#running;
  }

  /** Waits for a change, or for so long. */
  #change(mostMs?: number): Promise<void> {
    return new Promise((resolve) => {
      const before = this.#wake;
      const stop =
        mostMs === undefined ? () => undefined : this.#options.clock.after(mostMs, () => this.#wake());
      this.#wake = () => {
        stop();
        this.#wake = () => undefined;
        before();
        resolve();
      };
    });
  }

  async #connectForever(): Promise<void> {
    const { signal } = this.#closing;
    let againMs = AGAIN_MS;
    while (!signal.aborted) {
      if (!this.#isNeeded) {
        this.#look();
        await this.#change();
        continue;
      }
      this.#hasTaken = false;
      let isReleased = false;
      try {
        isReleased = await this.#serve(await this.#options.channel(signal));
      } catch (error) {
        this.#reason = error instanceof Error ? error.message : String(error);
      }
      this.#isOpen = false;
      this.#takeCounts({});
      this.#takeFault('');
      this.#sent = undefined;
      this.#taken = 0;
      if (isReleased) continue; // it may be needed again already
      this.#failures++;
      this.#look();
      this.#wake();
      againMs = this.#hasTaken ? AGAIN_MS : Math.min(AGAIN_MAX_MS, againMs * 2);
      if (!signal.aborted) await this.#change(againMs);
    }
  }

  /** Until it ends; resolves to whether that is since no release needs it. */
  async #serve(channel: ByteStream): Promise<boolean> {
    const { clock } = this.#options;
    this.#isOpen = true;
    this.#reason = 'it ended the connection';
    // not by the clock: if we were suspended ourselves, waiting bytes are read before the next look
    let silentLooks = 0;
    const onStep = (): void => {
      silentLooks = 0;
    };
    const onAbort = (): void => channel.close();
    this.#closing.signal.addEventListener('abort', onAbort);
    const reading = this.#hear(channel, onStep).finally(() => {
      channel.close();
      this.#wake();
    });
    let isReleased = false;
    let stopWatch = (): void => undefined;
    const watch = (): void => {
      if (silentLooks++ * ASK_MS < SILENT_MS) {
        stopWatch = clock.after(ASK_MS, watch);
        return;
      }
      this.#reason = `it has said nothing for ${SILENT_MS / 1000} s`;
      channel.close();
    };
    watch();
    try {
      const listen = { kind: 'listen', group: this.#options.listenGroup } as const;
      await write(channel, frameOf(listen), () => undefined);
      if (this.#options.onBlocked !== undefined)
        await write(channel, frameOf({ kind: 'watch' }), () => undefined);
      while (channel.state === 'connected') {
        const next = this.#next();
        isReleased = next === undefined && this.#isIdle && !this.#isNeeded;
        if (isReleased) break;
        if (next === undefined) await write(channel, frameOf({ kind: 'ask' }), () => undefined);
        else await this.#send(channel, next, onStep);
        if (this.#next() === undefined && channel.state === 'connected') await this.#change(ASK_MS);
      }
      if (!isReleased) await reading;
      return isReleased;
    } finally {
      stopWatch();
      this.#closing.signal.removeEventListener('abort', onAbort);
      channel.close();
      await reading.catch(() => undefined);
    }
  }

  /** The rule set to send now: the newest, once the one before was received. */
  #next(): Wanted | undefined {
    return this.#isIdle && this.#wanted !== this.#sent ? this.#wanted : undefined;
  }

  /** Whether it has confirmed the last rule set sent. */
  get #isIdle(): boolean {
    return this.#taken === (this.#sent?.number ?? 0);
  }

  async #send(channel: ByteStream, wanted: Wanted, onStep: () => void): Promise<void> {
    const isWhole = this.#sent === undefined;
    const steps = stepsBetween(this.#sent?.portion ?? EMPTY_RULE_SET, wanted.portion);
    const frame = frameOf({ kind: 'change', change: { number: wanted.number, isWhole, steps } });
    if (frame.length > CHANGE_MAX_BYTES)
      throw new Error(`the names of this release are ${frame.length} bytes, at most ${CHANGE_MAX_BYTES}`);
    this.#sent = wanted;
    await write(channel, frame, onStep);
  }

  /** Reads its messages, to the end of the stream. */
  async #hear(channel: ByteStream, onHeard: () => void): Promise<void> {
    const frames = new FrameReader(SAID_MAX_BYTES);
    while (channel.state !== 'disconnected') {
      const bytes = channel.read(READ_BYTES);
      if (bytes.length === 0) await channel.waitReadable();
      for (const message of frames.feed(bytes)) {
        if (message.kind === 'counts') {
          this.#takeCounts(message.counts);
          continue;
        }
        if (message.kind === 'fault') {
          this.#takeFault(message.text);
          continue;
        }
        if (message.kind === 'blocked') {
          this.#options.onBlocked?.(message.names, message.lost);
          continue;
        }
        if (message.kind !== 'has') throw new Error('it sends what only a subscriber may send');
        onHeard();
        const isNews = message.number !== this.#taken;
        if (isNews && message.number !== this.#sent?.number)
          throw new Error('it confirms a change that was not sent');
        this.#taken = message.number;
        this.#hasTaken ||= isNews;
        if (isNews) this.#isRelieved = !concernsFirewallDns(this.#sent?.portion ?? EMPTY_RULE_SET);
        this.#look();
        if (isNews) this.#wake();
      }
    }
  }

  #takeFault(text: string): void {
    if (text === (this.#fault?.text ?? '')) return;
    this.#fault = text === '' ? undefined : { text, sinceMs: this.#options.clock.monotonicMs() };
  }

  #takeCounts({ [OPENS]: opens, ...counts }: Readonly<Record<string, number>>): void {
    this.#counts = counts;
    if (opens !== 0 && this.#opensNothingSinceMs !== undefined) {
      this.#opensNothingSinceMs = undefined;
      this.#wake();
    } else if (opens === 0) this.#opensNothingSinceMs ??= this.#options.clock.monotonicMs();
  }

  /** Whether it has what is wanted, and since when it has not. */
  #look(): void {
    const isBehind = this.#wanted !== undefined && this.#isNeeded && this.#taken !== this.#wanted.number;
    if (!isBehind) this.#behindSinceMs = undefined;
    else this.#behindSinceMs ??= this.#options.clock.monotonicMs();
    const unfollowed = this.#isNeeded ? this.#reason : 'no release in force needs rulecast-dns';
    const followed = isBehind ? this.#told : 'rulecast-dns judges names by it';
    const told = this.#isOpen ? followed : unfollowed;
    if (told === this.#told || this.#wanted === undefined) return;
    this.#told = told;
    this.#options.onStanding(told, this.#isOpen || !this.#isNeeded);
  }
}

/** `onStep` is called as bytes are accepted. */
async function write(channel: ByteStream, bytes: Uint8Array, onStep: () => void): Promise<void> {
  for (let at = 0; at < bytes.length && channel.state === 'connected'; ) {
    const taken = channel.write(bytes.subarray(at));
    at += taken;
    if (taken > 0) onStep();
    if (taken === 0) await channel.waitWritable();
  }
}
