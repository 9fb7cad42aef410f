/**
 * Pushes: read, checked and released.
 *
 *   files ─▶ read, off the event loop ─▶ ingested ─▶ names ─▶ turn ─▶ ingested again, for the head may have
 *   moved ─▶ desk
 */

import {
  type DocumentReject,
  type IngestResult,
  ingest,
  NOTHING_TO_WITHDRAW,
  type PushedParts,
  type PushInput,
} from '@rulecast/formats';
import { diffPieces, type Turn } from '@rulecast/protocol';
import { inTurns } from '@rulecast/rules';
import type { Committer, Origin } from './commit.ts';
import type { ReleaseDesk } from './desk.ts';
import type { DraftGuards } from './draft-guards.ts';
import type { PushOutcome, VersionConflict } from './outcome.ts';
import type { PendingNames } from './pending-names.ts';
import type { PushOptions } from './request.ts';
import type { SourceBatches } from './source-batches.ts';
import type { Turns } from './turns.ts';
import type { ReleaseWorker } from './worker.ts';

export interface PushesOptions {
  readonly committer: Committer;
  readonly worker: ReleaseWorker;
  readonly desk: ReleaseDesk;
  readonly guards: DraftGuards;
  readonly batches: SourceBatches;
  readonly pendingNames: PendingNames;
  readonly turns: Turns;
  readonly turn: Turn;
  /** Milliseconds since 1970. */
  readonly nowMs: () => number;
}

type Ingested = Extract<IngestResult, { kind: 'rule-set' }>;

export class Pushes {
  readonly #options: PushesOptions;

  constructor(options: PushesOptions) {
    this.#options = options;
  }

  /** As Publisher.push. */
  push(input: PushInput, options: PushOptions): Promise<PushOutcome> {
    const { committer, worker, pendingNames, turns, turn, nowMs } = this.#options;
    const { onStage } = options;
    return turns.ahead(async () => {
      const moved = movedFrom(committer, options);
      if (moved !== undefined) return moved;
      onStage?.('reading');
      const pushed = await worker.read(input, Math.floor(nowMs() / 1000));
      const early = await this.#ingested(pushed, input);
      if (early.kind === 'rejects') return early;
      await turn();
      onStage?.('names');
      await pendingNames.bring(early.ruleSet, committer.ruleSet);
      onStage?.('turn');
      return turns.take(() => this.#pushNow(pushed, input, options));
    });
  }

  async #pushNow(pushed: PushedParts, input: PushInput, options: PushOptions): Promise<PushOutcome> {
    const { committer, desk, guards, turn } = this.#options;
    const moved = movedFrom(committer, options);
    if (moved !== undefined) return moved;
    const read = await this.#ingested(pushed, input);
    if (read.kind === 'rejects') return read;
    await turn();
    const isWithdrawal = input.action === 'withdraw' && options.ifPresent !== true;
    const absent = isWithdrawal ? await this.#absentFrom(read) : [];
    if (absent.length > 0) return { kind: 'rejects', rejects: absent, rejectCount: absent.length };
    const files = input.files.filter(({ role }) => role === 'pushed').map(({ name }) => name);
    const origin: Origin = { cause: 'push', detail: files.join(', '), by: options.by };
    const notes = [
      ...read.notes,
      ...(await guards.widerNotes(read.ruleSet)),
      ...guards.misfitNotes(read.ruleSet, options),
    ];
    return desk.release(read.ruleSet, origin, { ...options, notes, guards: guards.of('push', options) });
  }

  async #ingested(pushed: PushedParts, input: PushInput): Promise<IngestResult> {
    const { batches, guards } = this.#options;
    return ingest(await batches.baseOfPush(), pushed, input, (list) => guards.isOfSource(list));
  }

  /** Why there is nothing to withdraw: a part is not there, or all that is there stays. */
  async #absentFrom({ ruleSet, notes }: Ingested): Promise<readonly DocumentReject[]> {
    const { committer, turn } = this.#options;
    const place = { line: 1, column: 1, code: NOTHING_TO_WITHDRAW };
    const advice = 'nothing was released; --if-present takes that for done';
    const parts = notes.filter(({ code }) => code === NOTHING_TO_WITHDRAW);
    if (parts.length > 0)
      return parts.map(({ part, reason }) => ({ ...place, file: part, reason: `${reason}: ${advice}` }));
    const { changes } = await inTurns(diffPieces(committer.ruleSet, ruleSet), turn);
    if (changes.length > 0) return [];
    return [{ ...place, file: 'push', reason: `no list and no policy has anything of it: ${advice}` }];
  }
}

/** Whether the head is not the one that a request is for. */
export function movedFrom(
  { head }: Committer,
  { ifVersion }: Pick<PushOptions, 'ifVersion'>,
): VersionConflict | undefined {
  const version = head?.manifest.version ?? 0;
  return ifVersion === undefined || ifVersion === version ? undefined : { kind: 'version-moved', version };
}
