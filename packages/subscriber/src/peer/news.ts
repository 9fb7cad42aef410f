/** Publishes what happens to a subscriber: in its log, by its events, and as the last error of its status. */

import type { Listeners } from '@rulecast/program/listeners';
import { ErrorCode, type Renewal } from '@rulecast/protocol';
import type { Logger } from 'pino';
import type { ActiveRelease, ApplyReport } from '../apply/activator.ts';
import type { Standing } from './freshness-watch.ts';
import type { SubscriberEvents, SubscriberStatus } from './options.ts';

const RENEWAL_LEVELS = { good: 'info', due: 'warn', overdue: 'error' } as const;

/** Errors that are over once there is a connection. */
const NO_CONNECTION: readonly string[] = [ErrorCode.disconnected, 'refused-by-policy'];

export interface NewsOptions {
  readonly logger: Logger;
  readonly listeners: Listeners<SubscriberEvents>;
  readonly nowMs: () => number;
  readonly active: () => ActiveRelease | undefined;
  /** The connection ends because it was told to, which is no news. */
  readonly closing: AbortSignal;
}

export class News {
  /** The publisher's name, once it has welcomed this subscriber. */
  publisher: string | undefined;
  lastError: SubscriberStatus['lastError'];
  /** The number of errors that sessions reported. */
  complaintCount = 0;
  /** How often another release appeared under a number that was in force here. */
  forkCount = 0;
  /** Files, and releases that are whole nowhere. */
  damageCount = 0;
  /** The last logged reason for having no connection, until there is one again. */
  #toldStanding = '';
  readonly #options: NewsOptions;

  constructor(options: NewsOptions) {
    this.#options = options;
  }

  welcomed(publisher: string): void {
    this.publisher = publisher;
    if (NO_CONNECTION.includes(this.lastError?.code ?? '')) this.lastError = undefined;
    this.#toldStanding = '';
    this.#options.logger.info({ publisher, version: this.#version }, 'connected');
    this.#options.listeners.tell('connected', { publisher });
  }

  /** Logs an error of a session. One before WELCOME is logged only if the reason is new. */
  complained(code: string, text: string): void {
    this.complaintCount += 1;
    if (code === ErrorCode.forked) this.forkCount += 1;
    if (this.publisher !== undefined || this.#standsOtherwise(text)) this.#log(code, text);
    this.#failed(code, text);
  }

  /** A connection failed: logged once, as long as the reason is the same. */
  notConnected(code: string, text: string): void {
    if (!this.#standsOtherwise(text)) return;
    this.#log(code, text);
    this.#failed(code, text);
  }

  /** A session ended without an error: logged once, likewise. */
  ended(text: string): void {
    if (this.#standsOtherwise(text)) this.#log('disconnected', text);
  }

  /** The connection is lost. */
  disconnected(): void {
    this.publisher = undefined;
    this.#options.listeners.tell('disconnected');
  }

  applied(report: ApplyReport): void {
    const { epoch, version } = report.release.manifest;
    const { verifyMs, compileMs } = report;
    this.lastError = undefined;
    const { logger, listeners } = this.#options;
    logger.info({ epoch, version, verifyMs, compileMs, publisher: this.publisher }, 'applied');
    listeners.tell('applied', report);
  }

  refused(code: string, text: string): void {
    this.#log(code, text);
    this.#failed(code, text);
  }

  /** Told in the log, in the status, and by a counter in that of the publisher. */
  damaged(text: string): void {
    this.damageCount += 1;
    this.#options.logger.error({ code: ErrorCode.storageFailed }, text);
    this.#failed(ErrorCode.storageFailed, text);
  }

  standsFresh(freshness: Standing, before: Standing, text: string): void {
    const { logger, listeners, active } = this.#options;
    const release = active();
    const { epoch = 0, version = 0 } = release?.manifest ?? {};
    const isNews = release !== undefined && (freshness === 'stale' || before === 'stale');
    const level = freshness === 'stale' ? 'error' : 'info';
    logger[isNews ? level : 'debug']({ freshness, epoch, version, publisher: this.publisher }, text);
    listeners.tell('freshness', { freshness, text });
  }

  /** The renewal of the root has changed: only the owner of its key can renew it. */
  rootStands(rootRenewal: Renewal, text: string): void {
    this.#options.logger[RENEWAL_LEVELS[rootRenewal]]({ rootRenewal, version: this.#version }, text);
  }

  get #version(): number {
    return this.#options.active()?.manifest.version ?? 0;
  }

  /** Whether the reason differs from the one last logged; the caller logs it now. */
  #standsOtherwise(text: string): boolean {
    if (this.#options.closing.aborted || this.#toldStanding === text) return false;
    this.#toldStanding = text;
    return true;
  }

  #log(code: string, text: string): void {
    // the fault of whoever has the key, and not of a channel
    const level = code === ErrorCode.forked ? 'error' : 'warn';
    this.#options.logger[level]({ code, version: this.#version, publisher: this.publisher }, text);
  }

  #failed(code: string, text: string): void {
    const { nowMs, listeners } = this.#options;
    this.lastError = { code, text, atMs: nowMs() };
    listeners.tell('refused', { code, text });
  }
}
