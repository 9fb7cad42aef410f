/** The options of a subscriber for embedding programs, and its status. */

import type { ByteStream, Renewal, SteadyClock, Trust, Turn } from '@rulecast/protocol';
import type { Action, Address } from '@rulecast/rules';
import type { TableOptions } from '@rulecast/table';
import type { Logger } from 'pino';
import type { ApplyReport } from '../apply/activator.ts';
import type { NameEnforcer } from '../apply/names.ts';
import type { Sink } from '../apply/sink.ts';
import type { Clocks } from '../clock/clock.ts';
import type { Content } from '../content/content.ts';
import type { RefusedLog } from '../refused/refused-log.ts';
import type { Disk } from '../state/disk.ts';
import type { Standing } from './freshness-watch.ts';

export interface SubscriberOptions {
  /** Connects to the publisher; called again after each disconnect. The signal aborts it at close. */
  readonly channel: (signal: AbortSignal) => Promise<ByteStream>;
  readonly trust: Trust;
  /** Shown by `rulectl status`; 1 to 63 of `A-Z a-z 0-9 . _ -`. */
  readonly name: string;
  readonly logger: Logger;
  /** Stores the release in force for restarts; without it APPLIED reports it as not persisted. */
  readonly stateDirectory?: string | undefined;
  /** The disk of the state directory; default the file system of this machine. */
  readonly disk?: Disk;
  /**
   * The verdict on packets before the first release, and under one with neither policies nor `unmatched`;
   * default `closed`: dropped.
   */
  readonly bootMode?: 'closed' | 'open';
  /** The addresses that `specialtarget=dns` stands for; default none. */
  readonly dns?: readonly Address[];
  /** At most one: another enforcer of each release. */
  readonly sink?: Sink;
  /** Judges names; without it, a release with names that only DNS can block is refused. */
  readonly names?: NameEnforcer;
  /** The log of refused packets; undefined: none. This subscriber starts and closes it. */
  readonly refused?: RefusedLog;
  /** Memory and limits of the table; a release that does not fit them is refused. */
  readonly table?: TableOptions;
  /** Most entries and rules of a release; default 16,777,216. */
  readonly entriesMax?: number;
  /** Most bytes of one transfer; default 256 MiB. */
  readonly transferBytesMax?: number;
  /** Milliseconds since 1970; default Date.now. */
  readonly nowMs?: () => number;
  /** The clock that nobody sets, for rules with an expiry; default that of the machine, through suspend. */
  readonly boot?: Pick<Clocks, 'bootMs' | 'bootId'>;
  /** The clock for waits and timeouts; default that of the process. */
  readonly clock?: SteadyClock;
  /** Yields between long stretches of work; by default to the event loop. */
  readonly turn?: Turn;
  /** Holds rule sets and writes the table; default a thread of its own. */
  readonly content?: Content;
  /**
   * The reaction to a release not confirmed as the newest for `staleAfterMs`, or under an overdue root: keep
   * it, or drop everything until it is confirmed, also after a start; default `keep`. Both are reported.
   */
  readonly staleMode?: 'keep' | 'closed';
  /** Default two minutes. */
  readonly staleAfterMs?: number;
  /** 16 random bytes, new at each call; default the machine's random source. */
  readonly nonce?: () => Uint8Array;
  /** In [0, 1): spreads reconnects; default Math.random. */
  readonly random?: () => number;
}

export interface SubscriberStatus {
  readonly connected: boolean;
  /** Name of the publisher last connected to. */
  readonly publisher: string | undefined;
  /** Epoch of the release in force; undefined before the first. */
  readonly epoch: number | undefined;
  readonly version: number | undefined;
  /** Manifest hash, hex. */
  readonly hash: string | undefined;
  readonly appliedAtMs: number | undefined;
  readonly persisted: boolean | undefined;
  /** Whether it is known to be the newest: for too long not (`stale`), or not for long enough to tell. */
  readonly freshness: Standing;
  /** Milliseconds since it was last confirmed as the newest; undefined if it never was. */
  readonly freshAgeMs: number | undefined;
  /** Whether the root in force has to be renewed; `overdue` drops everything with `staleMode: 'closed'`. */
  readonly rootRenewal: Renewal;
  readonly lastError: { readonly code: string; readonly text: string; readonly atMs: number } | undefined;
}

/** Listeners run after the event; an error they throw is logged, and has no other effect. */
export interface SubscriberEvents {
  /** A release is in force. */
  applied: [ApplyReport];
  /** Something was refused, or a session ended with an error; what was in force still is. */
  refused: [{ readonly code: string; readonly text: string }];
  /**
   * The release in force was confirmed as the newest again, or is no longer; it stays in force either way.
   */
  freshness: [{ readonly freshness: Standing; readonly text: string }];
  connected: [{ readonly publisher: string }];
  disconnected: [];
}

/** Throws TypeError for a word that is none of the two. */
export function isStaleClosed({ staleMode = 'keep' }: SubscriberOptions): boolean {
  if (staleMode !== 'keep' && staleMode !== 'closed')
    throw new TypeError(`staleMode ${JSON.stringify(staleMode)}: write "keep" or "closed"`);
  return staleMode === 'closed';
}

/** Only the exact word opens. Throws TypeError for a word that is none of the two. */
export function bootAction(mode: 'closed' | 'open'): Action {
  if (mode !== 'open' && mode !== 'closed') {
    throw new TypeError(`bootMode ${JSON.stringify(mode)}: write "closed" or "open"`);
  }
  return mode === 'open' ? 'accept' : 'drop';
}
