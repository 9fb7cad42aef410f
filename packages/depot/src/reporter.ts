/**
 * Reports the releases in force at firewalls to the publisher, by a mirror, and brings back its signed
 * freshness. A report needs a nonce of its firewall: it is sent with the next one after a change, and
 * otherwise at an interval. DEPOT.md "Reports".
 */

import {
  encodeReport,
  hexOf,
  ProtocolError,
  REPORTS_MAX,
  readReportAnswer,
  type Signed,
} from '@rulecast/protocol';
import { refusalOf, type SubscriberEntry, type Subscribers } from '@rulecast/sessions';
import type { FeedOptions } from './feed.ts';
import { type DepotSource, SourceError } from './source.ts';

/** Our choice: the first wait after reports failed, and the longest. */
const RETRY_MS = 5_000;
const RETRY_MAX_MS = 300_000;
/** The share of the usual wait if no freshness came: the publisher is behind. */
const UNANSWERED_SHARE = 0.1;

export interface ReporterOptions extends Pick<FeedOptions, 'sources' | 'clock' | 'random' | 'logger'> {
  readonly lineage: Uint8Array;
  /** The token of the one firewall, or of the relay `via` for all of its own. */
  readonly token: Uint8Array;
  readonly via?: string | undefined;
  /** How long a firewall does not repeat an unchanged report. */
  readonly everyMs: number;
  /** Reports due within this time go in one request. */
  readonly batchMs: number;
  readonly subscribers: Subscribers;
  /** The hash of the newest release here. */
  readonly newest: () => Uint8Array | undefined;
  /** Since 1970. */
  readonly nowMs: () => number;
}

/** `prove`: the release in force must be proved first. */
export type Attested = Signed | 'prove' | undefined;

interface Waiting {
  readonly nonce: Uint8Array;
  readonly settle: (attested: Attested) => void;
}

/** The last report. */
interface Told {
  readonly state: string;
  readonly untilMs: number;
}

export class Reporter {
  readonly #options: ReporterOptions;
  readonly #waiting = new Map<SubscriberEntry, Waiting>();
  #told = new WeakMap<SubscriberEntry, Told>();
  readonly #proofs = new WeakMap<SubscriberEntry, Signed>();
  #isPosting = false;
  #sequence = 0;
  #failures = 0;
  #notBeforeMs = 0;

  constructor(options: ReporterOptions) {
    this.#options = options;
  }

  /** The signed answer to a firewall's nonce; undefined if no report is due, or it got no answer. */
  async attest(nonce: Uint8Array, name: string): Promise<Attested> {
    const { subscribers, clock, batchMs } = this.#options;
    const entry = subscribers.find(name);
    if (entry === undefined || !this.#isDue(entry)) return undefined;
    this.#waiting.get(entry)?.settle(undefined);
    return new Promise((settle) => {
      this.#waiting.set(entry, { nonce, settle });
      if (this.#isPosting) return;
      this.#isPosting = true;
      clock.after(batchMs, () => void this.#postAll());
    });
  }

  /**
   * All firewalls report again: under another root one may have no floor, and accept nothing before an
   * answer.
   */
  restart(): void {
    this.#told = new WeakMap();
  }

  /** Adds a proof to the next report of a firewall. */
  prove(name: string, proof: Signed): void {
    const entry = this.#options.subscribers.find(name);
    if (entry === undefined) return;
    this.#proofs.set(entry, proof);
    this.#told.delete(entry);
  }

  #isDue(entry: SubscriberEntry): boolean {
    const nowMs = this.#options.clock.monotonicMs();
    const { state, untilMs } = this.#told.get(entry) ?? { untilMs: 0 };
    return nowMs >= this.#notBeforeMs && (nowMs >= untilMs || state !== this.#stateOf(entry));
  }

  #stateOf(entry: SubscriberEntry): string {
    const { held, persisted } = entry;
    return [held && hexOf(held.hash), persisted, this.#refusedBy(entry)?.code].join();
  }

  #refusedBy(entry: SubscriberEntry): { readonly hash: Uint8Array; readonly code: string } | undefined {
    const hash = this.#options.newest();
    const refusal = hash && refusalOf(entry, hash);
    return hash && refusal && { hash, code: refusal.code };
  }

  async #postAll(): Promise<void> {
    while (this.#waiting.size > 0) {
      const batch = [...this.#waiting].slice(0, REPORTS_MAX);
      for (const [entry] of batch) this.#waiting.delete(entry);
      const attested = await this.#post(batch);
      for (const [i, [, { settle }]] of batch.entries()) settle(attested[i]);
    }
    this.#isPosting = false;
  }

  /** After a failure the next mirror gets the next reports. */
  async #post(batch: readonly (readonly [SubscriberEntry, Waiting])[]): Promise<readonly Attested[]> {
    const { sources, logger, random, clock } = this.#options;
    const source = sources[this.#failures % sources.length] as DepotSource; // there is at least one
    const states = batch.map(([entry]) => this.#stateOf(entry));
    try {
      const answers = await source.report(batch.map(([entry, { nonce }]) => this.#report(entry, nonce)));
      if (answers.every(({ length }) => length === 0))
        throw new SourceError(
          `${source.name}: the publisher rejects reports with this token: was it made for this name?`,
        );
      const attested = batch.map(([entry], i) => this.#taken(entry, states[i] ?? '', answers[i]));
      if (this.#failures > 0) logger.info({ mirror: source.name }, 'reports are answered again');
      this.#failures = 0;
      return attested;
    } catch (error) {
      if (!(error instanceof SourceError || error instanceof ProtocolError)) throw error;
      if (this.#failures === 0)
        logger.warn({ mirror: source.name }, `no report is answered: ${error.message}`);
      const waitMs = Math.min(RETRY_MS * 2 ** this.#failures, RETRY_MAX_MS);
      this.#failures += 1;
      this.#notBeforeMs = clock.monotonicMs() + waitMs * (0.5 + random() / 2);
      return [];
    }
  }

  #report(entry: SubscriberEntry, nonce: Uint8Array): Uint8Array {
    const { lineage, via, token, nowMs } = this.#options;
    const { name, held, applyMs = 0, persisted } = entry;
    // A release in force that this process did not see applied comes from its disk.
    const isPersisted = persisted ?? via === undefined;
    this.#sequence = Math.min(Math.max(this.#sequence + 1, nowMs()), Number.MAX_SAFE_INTEGER);
    const report = {
      lineage,
      name,
      via,
      sequence: this.#sequence,
      nonce,
      held: held && { ...held, applyMs: Math.round(applyMs), isPersisted },
      refused: this.#refusedBy(entry),
      proof: this.#proofs.get(entry),
    };
    return encodeReport(report, token);
  }

  /** Throws ProtocolError for an answer that the publisher did not make. */
  #taken(entry: SubscriberEntry, state: string, bytes: Uint8Array | undefined): Attested {
    if (bytes === undefined || bytes.length === 0) return undefined;
    const { token, everyMs, clock, random } = this.#options;
    const { sequence, isReplayed, prove, statement } = readReportAnswer(bytes, token);
    this.#sequence = Math.max(this.#sequence, sequence);
    if (isReplayed) return undefined; // the next one is above
    this.#proofs.delete(entry);
    const waitMs = everyMs * (statement === undefined ? UNANSWERED_SHARE : 1) * (0.9 + 0.2 * random());
    this.#told.set(entry, { state, untilMs: clock.monotonicMs() + waitMs });
    return prove ? 'prove' : statement;
  }
}
