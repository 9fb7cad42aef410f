/**
 * Releases that a subscriber proves and the store lacks: this publisher was restored from an older state, or
 * another publisher has its key. From then on nothing is offered or released, until a push or a rollback
 * opens a higher epoch.
 */

import type { IngestNote } from '@rulecast/formats';
import type { Identity } from '@rulecast/program/identity';
import {
  compareRelease,
  decodeManifest,
  ErrorCode,
  hexOf,
  keyIdOf,
  type Manifest,
  type Signed,
  signersAmong,
} from '@rulecast/protocol';
import type { HeldRelease, ReleaseNumber, Subscribers } from '@rulecast/sessions';
import type { Logger } from 'pino';
import { type Store, StoreError } from '../store/store.ts';
import type { Committer } from './commit.ts';
import type { ProvedRelease } from './numbers.ts';

/** Two releases of one number; hashes in hex. */
export interface Fork extends ReleaseNumber {
  readonly own: string;
  readonly other: string;
}

export interface ProofsOptions {
  readonly store: Store;
  readonly committer: Committer;
  readonly identity: Identity;
  readonly subscribers: Subscribers;
  readonly logger: Logger;
}

export class Proofs {
  readonly #options: ProofsOptions;
  #fork: Fork | undefined;
  /** The manifest of the newest release that a subscriber proved since the start. */
  #newest: Manifest | undefined;

  constructor(options: ProofsOptions) {
    this.#options = options;
  }

  /** A fork: two releases with one number, one of them ours; cleared by a higher epoch. */
  get fork(): Fork | undefined {
    return this.#options.committer.behind === undefined ? undefined : this.#fork;
  }

  /**
   * Notes what a subscriber proved, and logs it if it is news. Without `proof` it counts under every root.
   * Call it in turn.
   */
  note(known: HeldRelease, subscriber: string, proof?: Signed): void {
    const { committer, subscribers, logger } = this.#options;
    const { epoch, version } = known;
    const isNewFork = this.#noteFork(known, subscriber);
    if (proof !== undefined && compareRelease(this.#newest ?? known, known) <= 0)
      this.#newest = decodeManifest(proof.content);
    const isNews = this.#noteBehind({ epoch, version, keys: proof && this.#signersOf(proof) });
    if (committer.behind === undefined || !isNews || isNewFork) return;
    logger.error(
      { subscriber, epoch, version, head: committer.head?.manifest.version ?? 0 },
      'a subscriber proved a release that is not here: this state is older than what it released, and nothing is offered; restore the newer state, or go on with rulectl push or rollback --as-new-epoch',
    );
    subscribers.changed();
  }

  /** Whether that is news. It is noted also where it cannot be written. */
  #noteBehind(known: ProvedRelease): boolean {
    try {
      return this.#options.committer.noteBehind(known);
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      this.#options.logger.error({ err: error }, 'what was proved cannot be kept over a restart');
      return true;
    }
  }

  /** Records a fork: another publisher has the key, or this one was restored from an old state. */
  #noteFork({ epoch, version, hash }: HeldRelease, subscriber: string): boolean {
    const { store, committer, subscribers, logger } = this.#options;
    const own = store.index.hashOf({ epoch, version });
    const other = hexOf(hash);
    if (own === undefined || own === other || epoch < (committer.head?.manifest.epoch ?? 0)) return false;
    if (this.#fork?.other === other) return false;
    this.#fork = { epoch, version, own, other };
    logger.error(
      { subscriber, code: ErrorCode.forked, ...this.#fork },
      'a subscriber proved another release of a number that is here: another publisher uses this key, or this one was restored from a backup and went on. Nothing is offered: stop the other one, then go on above both with rulectl push or rollback --as-new-epoch',
    );
    subscribers.changed();
    return true;
  }

  /** Ids of the release keys that signed, of those that may. */
  #signersOf(signed: Signed): readonly string[] {
    const { keys } = this.#options.identity.root.roles.release;
    return keys.filter((key) => signersAmong([key], signed) > 0).map((key) => hexOf(keyIdOf(key)));
  }

  /**
   * While the publisher is behind: what a new epoch takes out of force. The content is not here, so only the
   * counts of the manifest are given.
   */
  lossNotes(): readonly IngestNote[] {
    const { behind } = this.#options.committer;
    if (behind === undefined) return [];
    const lost =
      this.#newest !== undefined && compareRelease(this.#newest, behind) === 0 ? this.#newest : undefined;
    const amounts =
      lost && ` (parts: ${lost.parts}, prefixes: ${lost.prefixes}, names and rules: ${lost.others})`;
    const reason = `release ${behind.epoch}/${behind.version}${amounts ?? ''} was made and is not here: what it says beyond this one goes out of force where it is`;
    return [{ code: ErrorCode.publisherBehind, part: '', reason }];
  }
}
