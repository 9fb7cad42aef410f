/** What a subscriber is given by whoever embeds it, and what it says of itself. */

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
  /** Keeps the release in force over restarts; without it APPLIED says that nothing is persisted. */
  readonly stateDirectory?: string | undefined;
  /** What the state directory is on; default the file system of this machine. */
  readonly disk?: Disk;
  /**
   * What packets get before the first release, and with one that has neither policies nor `unmatched`;
   * default `closed`: dropped.
   */
  readonly bootMode?: 'closed' | 'open';
  /** The addresses that `specialtarget=dns` means; default none. */
  readonly dns?: readonly Address[];
  /** At most one: what else enforces each release. */
  readonly sink?: Sink;
  /** What judges names; without it no release is taken that has names which only that stops. */
  readonly names?: NameEnforcer;
  /** Of what is refused; undefined: it is not logged. This subscriber begins and closes it. */
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
  /** For what waits and times out; default that of the process. */
  readonly clock?: SteadyClock;
  /** Between stretches of work that take long; default lets the event loop do what waits. */
  readonly turn?: Turn;
  /** Who has rule sets and writes the table; default a thread of its own. */
  readonly content?: Content;
  /**
   * What is done with a release that was not known to be the newest for `staleAfterMs`, or whose root is
   * overdue: it is kept, or everything is dropped until that is over, also after a start; default `keep`.
   * Either is told.
   */
  readonly staleMode?: 'keep' | 'closed';
  /** Default two minutes. */
  readonly staleAfterMs?: number;
  /** 16 random bytes, other ones at each call; default those of the machine. */
  readonly nonce?: () => Uint8Array;
  /** In [0, 1): spreads reconnects; default Math.random. */
  readonly random?: () => number;
}

export interface SubscriberStatus {
  readonly connected: boolean;
  /** Name of the publisher last connected to. */
  readonly publisher: string | undefined;
  /** Of the release in force; undefined before the first. */
  readonly epoch: number | undefined;
  readonly version: number | undefined;
  /** Manifest hash, hex. */
  readonly hash: string | undefined;
  readonly appliedAtMs: number | undefined;
  readonly persisted: boolean | undefined;
  /** Whether it is known to be the newest: for too long not (`stale`), or not for long enough to tell. */
  readonly freshness: Standing;
  /** For how long nobody has said that it is; undefined where nobody ever did. */
  readonly freshAgeMs: number | undefined;
  /** Whether the root in force has to be renewed; `overdue` drops everything with `staleMode: 'closed'`. */
  readonly rootRenewal: Renewal;
  readonly lastError: { readonly code: string; readonly text: string; readonly atMs: number } | undefined;
}

/** Listeners run after what happened, and what they throw is logged: nothing depends on them. */
export interface SubscriberEvents {
  /** A release came into force. */
  applied: [ApplyReport];
  /** Something was refused, or a session ended with an error; what was in force still is. */
  refused: [{ readonly code: string; readonly text: string }];
  /** What is in force is known to be the newest again, or is not any more; it is in force all the same. */
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
