/**
 * Executes `rulectl block`, `allow`, `cut` and `blocks --remove`: changes the rows, and releases the rules
 * made from them. A row that expires is removed by a release, as a cut holds until then.
 */

import type { Turn } from '@rulecast/protocol';
import type { Clock } from '@rulecast/sources';
import type { Logger } from 'pino';
import { type RowRequest, type RowsChange, rowsWith, rowsWithout } from '../blocks/change.ts';
import { baseOf, placeOf, withRows } from '../blocks/compile.ts';
import { type Row, type RowEnds, rowText } from '../blocks/rows.ts';
import type { Way } from '../guards/table.ts';
import type { Store } from '../store/store.ts';
import type { Committer } from './commit.ts';
import type { ReleaseDesk } from './desk.ts';
import type { DraftGuards } from './draft-guards.ts';
import { firstRefusal, type GuardOutcome, type ReleaseOutcome, type VersionConflict } from './outcome.ts';
import type { PendingNames } from './pending-names.ts';
import { movedFrom } from './pushes.ts';
import type { PushOptions } from './request.ts';
import type { Turns } from './turns.ts';

/**
 * The longest interval between looks for expired rows, as clocks are set; also the wait after a failed
 * release.
 */
const LOOK_MS = 60_000;
const ADVICE = 'rulectl blocks shows what is blocked, allowed and cut off';
/** The caller if none is given. */
const NOBODY = '(library)';

export interface BlocksOptions {
  readonly store: Store;
  readonly committer: Committer;
  readonly desk: ReleaseDesk;
  readonly guards: DraftGuards;
  readonly pendingNames: PendingNames;
  readonly turns: Turns;
  readonly turn: Turn;
  readonly clock: Clock;
  readonly ends: RowEnds;
  /** Milliseconds since 1970. */
  readonly nowMs: () => number;
  readonly logger: Logger;
}

type BlockOutcome = ReleaseOutcome | GuardOutcome | VersionConflict;

export class Blocks {
  readonly #options: BlocksOptions;
  #unschedule: () => void = () => undefined;
  #isClosed = false;

  constructor(options: BlocksOptions) {
    this.#options = options;
    this.#schedule();
  }

  /** The rows that have not ended. */
  get rows(): readonly Row[] {
    return this.#active.rows;
  }

  /** The rows whose rules are in a policy. */
  rowsIn(policy: string | undefined): readonly Row[] {
    return this.rows.filter((row) => policy === undefined || placeOf(row, this.#base) === policy);
  }

  /**
   * Adds a row and releases. Throws ProtocolError `bad-input`, `no-such-part` and `over-limit`, and what a
   * push throws.
   */
  add(request: RowRequest, options: PushOptions = {}): Promise<BlockOutcome> {
    const { by = NOBODY } = options;
    const change = (): RowsChange =>
      rowsWith(this.#active, request, { base: this.#base, now: this.#now(), by });
    return this.#release(request.verb, change, options);
  }

  /** Removes rows by number and releases. Throws ProtocolError `no-such-part`, and what a push throws. */
  remove(ids: readonly number[] | 'all', options: PushOptions = {}): Promise<BlockOutcome> {
    return this.#release('unblock', () => rowsWithout(this.#options.store.rows, ids), options);
  }

  #release(way: Way, change: () => RowsChange, options: PushOptions): Promise<BlockOutcome> {
    const { committer, desk, guards, pendingNames, turns } = this.#options;
    return turns.ahead(async () => {
      const moved = movedFrom(committer, options);
      if (moved !== undefined) return moved;
      options.onStage?.('names'); // a list of names that no rule used before
      await pendingNames.bring(withRows(this.#base, change().rows.rows).ruleSet, committer.ruleSet);
      options.onStage?.('turn');
      return turns.take(async () => {
        const movedSince = movedFrom(committer, options);
        if (movedSince !== undefined) return movedSince;
        const { rows, detail, notes } = change();
        const { ruleSet } = withRows(this.#base, rows.rows);
        const all = [...notes, ...guards.misfitNotes(ruleSet, options)];
        const { by, message } = options;
        const origin = { cause: 'blocks', detail, by, message, rows } as const;
        const of = guards.of(way, options, ADVICE);
        const outcome = await desk.release(this.#base, origin, { ...options, notes: all, guards: of });
        this.#schedule();
        return outcome;
      });
    });
  }

  /** Sets when the next row ends, by the rows that are kept. */
  #schedule(): void {
    this.#unschedule();
    const { store, ends } = this.#options;
    const leftMs = Math.min(...store.rows.rows.map((row) => ends.leftMs(row)));
    if (leftMs < Number.POSITIVE_INFINITY) this.#lookAfter(Math.min(Math.max(0, leftMs), LOOK_MS));
  }

  #lookAfter(ms: number): void {
    this.#unschedule();
    if (this.#isClosed) return;
    this.#unschedule = this.#options.clock.after(ms, () => {
      void this.#options.turns.take(() => this.#end());
    });
  }

  /** Removes expired rows and releases; tries again later if that fails. */
  async #end(): Promise<void> {
    const { store, ends, committer, desk, guards, logger } = this.#options;
    const over = store.rows.rows.filter((row) => ends.leftMs(row) <= 0);
    if (this.#isClosed) return;
    if (over.length === 0) return this.#schedule();
    const detail = `ended: ${over.map((row) => rowText(row)).join(', ')}`;
    try {
      const origin = { cause: 'blocks', detail } as const;
      const outcome = await desk.release(committer.ruleSet, origin, {
        guards: guards.of('ended', {}, ADVICE),
      });
      if (outcome.kind !== 'guarded') return this.#schedule();
      logger.warn({ rows: over.map(({ id }) => id) }, `not released: ${firstRefusal(outcome).reason}`);
    } catch (error) {
      logger.warn(
        { err: error, rows: over.map(({ id }) => id) },
        `what has expired is still in force: ${detail}`,
      );
    }
    this.#lookAfter(LOOK_MS);
  }

  close(): void {
    this.#isClosed = true;
    this.#unschedule();
  }

  get #active() {
    return this.#options.ends.active(this.#options.store.rows);
  }

  get #base() {
    return baseOf(this.#options.committer.ruleSet);
  }

  #now(): number {
    return Math.floor(this.#options.nowMs() / 1000);
  }
}
