/**
 * The publisher as a library: one lineage, its store, its subscribers. Pushes come one after the other; each becomes a
 * release or leaves everything as it was.
 */

import { EventEmitter } from 'node:events';
import { join } from 'node:path';
import type { Manifest } from '@rulecast/protocol';
import { isPartName, usedNames } from '@rulecast/rules';
import type { Logger } from 'pino';
import { Committer, type Plan } from './commit.ts';
import { type Identity, openIdentity } from './identity.ts';
import { type IngestNote, type IngestResult, ingest } from './ingest.ts';
import type { PushInput } from './pushed.ts';
import { type Resolved, type ResolveName, resolveNames } from './resolve.ts';
import { type Release, Store, type StoreOptions } from './store.ts';
import { Subscribers } from './subscribers.ts';
import { Transfers } from './transfer.ts';
import { Workshop } from './work.ts';

export interface PublisherOptions extends StoreOptions {
  /** Holds the store. */
  readonly stateDirectory: string;
  /** Default: `identity` in the state directory. */
  readonly identityFile?: string | undefined;
  /** Its name in WELCOME; 1 to 63 of `A-Z a-z 0-9 . _ -`. */
  readonly name: string;
  readonly resolve: ResolveName;
  readonly logger: Logger;
  /** Milliseconds since 1970; default Date.now. */
  readonly nowMs?: () => number;
}

export interface PushOptions {
  /** Refuse unless the head has this version (0: no release yet). */
  readonly ifVersion?: number | undefined;
  readonly dryRun?: boolean;
}

/** What became of a push. */
export type PushOutcome =
  | Extract<IngestResult, { kind: 'rejects' }>
  | { readonly kind: 'version-moved'; readonly version: number }
  | {
      readonly kind: 'planned' | 'released' | 'unchanged';
      readonly plan: Plan;
      readonly notes: readonly IngestNote[];
      readonly failedNames: Resolved['failed'];
      /** The head after the push; undefined only while nothing was ever released. */
      readonly head: Release | undefined;
    };

/** How many failed names the status lists by name. */
const FAILED_NAMES_SHOWN = 8;

export class Publisher extends EventEmitter<{ release: [Release] }> {
  readonly identity: Identity;
  readonly name: string;
  readonly logger: Logger;
  readonly nowMs: () => number;
  readonly startedAtMs: number;
  readonly store: Store;
  readonly subscribers = new Subscribers();
  readonly transfers: Transfers;
  private readonly committer: Committer;
  private readonly workshop = new Workshop();
  private readonly resolve: ResolveName;
  private failedNames: Resolved['failed'] = [];
  private turn: Promise<unknown> = Promise.resolve(); // the push or epoch before the next one

  /** Opens or makes the identity and the store. Throws IdentityError, StoreError, and TypeError for a bad name. */
  constructor(options: PublisherOptions) {
    super();
    if (!isPartName(options.name)) throw new TypeError(`"${options.name}" cannot name a publisher`);
    this.setMaxListeners(0); // one a session; sessions are bounded by the server
    this.name = options.name;
    this.logger = options.logger;
    this.nowMs = options.nowMs ?? Date.now;
    this.startedAtMs = this.nowMs();
    this.resolve = options.resolve;
    this.identity = openIdentity(options.identityFile ?? join(options.stateDirectory, 'identity'));
    this.store = new Store(join(options.stateDirectory, 'store'), options);
    this.committer = new Committer({
      store: this.store,
      identity: this.identity,
      encoder: this.workshop,
      nowMs: this.nowMs,
    });
    this.transfers = new Transfers(this.store, this.workshop);
  }

  /** The newest release; undefined before the first. */
  get head(): Release | undefined {
    return this.committer.head;
  }

  /** What does not work as it should, each a sentence. */
  get degraded(): readonly string[] {
    const shown = this.failedNames.slice(0, FAILED_NAMES_SHOWN).map(({ name, reason }) => {
      return `${name} does not resolve (${reason}): its rules keep the addresses they had`.slice(0, 128);
    });
    const more = this.failedNames.length - shown.length;
    return more > 0 ? [...shown, `${more} more names do not resolve`] : shown;
  }

  /** Reads, checks and releases what was pushed. Throws GuardError, ProtocolError and StoreError; then nothing changed. */
  push(input: PushInput, options: PushOptions = {}): Promise<PushOutcome> {
    return this.serially(() => this.pushNow(input, options));
  }

  private async pushNow(input: PushInput, options: PushOptions): Promise<PushOutcome> {
    const headVersion = this.head?.manifest.version ?? 0;
    if (options.ifVersion !== undefined && options.ifVersion !== headVersion) {
      return { kind: 'version-moved', version: headVersion };
    }
    const pushed = await this.workshop.read(input, Math.floor(this.nowMs() / 1000));
    const read = ingest(this.committer.ruleSet, pushed, input.action, input.replaceAll);
    if (read.kind === 'rejects') return read;
    const before = this.committer.ruleSet.resolutions;
    const { resolutions, failed } = await resolveNames(usedNames(read.ruleSet), before, this.resolve);
    const plan = await this.committer.plan({ ...read.ruleSet, resolutions });
    const result = { plan, notes: read.notes, failedNames: failed };
    if (options.dryRun === true) return { kind: 'planned', ...result, head: this.head };
    this.failedNames = failed;
    if (!plan.changed) return { kind: 'unchanged', ...result, head: this.head };
    const head = await this.committer.commit(plan);
    this.announce(head);
    return { kind: 'released', ...result, head };
  }

  /**
   * A subscriber proved a release above the head: this lineage's latest state was lost. The head's content is released
   * above that; where there is no head, the next push is, and until then the subscriber keeps what it has.
   */
  openEpoch(known: Manifest): Promise<void> {
    return this.serially(async () => {
      const release = await this.committer.openEpochAbove(known);
      if (release === undefined) return;
      this.logger.warn(
        { epoch: release.manifest.epoch },
        'a subscriber proved a newer release: opened a new epoch',
      );
      this.announce(release);
    });
  }

  private announce(release: Release): void {
    const { epoch, version, parts } = release.manifest;
    this.logger.info({ epoch, version, parts: parts.length }, 'released');
    this.emit('release', release);
    this.subscribers.emit('change');
  }

  private serially<T>(work: () => Promise<T>): Promise<T> {
    const next = this.turn.then(work);
    this.turn = next.catch(() => undefined); // each caller hears of its own failure
    return next;
  }

  /** Waits for the push under way, then closes the store. */
  async close(): Promise<void> {
    await this.turn;
    await this.workshop.close();
    await this.store.close();
  }
}
