/**
 * Pushes: read, checked and released.
 *
 *   files ─▶ read, off the event loop ─▶ ingested ─▶ names ─▶ turn ─▶ ingested again, for the head may have
 *   moved ─▶ desk
 *
 * The content of the rules file goes the same way, by guards of its own. A push of the same bytes counts as
 * the file.
 */

import {
  type DocumentReject,
  type IngestResult,
  ingest,
  NOTHING_TO_WITHDRAW,
  type PushedFile,
  type PushedParts,
  type PushInput,
} from '@rulecast/formats';
import { diffPieces, type Turn } from '@rulecast/protocol';
import { formsOf, inTurns } from '@rulecast/rules';
import { isCutPolicy, isMark, isRowsList } from '../blocks/mark.ts';
import type { Store } from '../store/store.ts';
import type { Committer, Origin } from './commit.ts';
import type { ReleaseDesk } from './desk.ts';
import type { DraftGuards } from './draft-guards.ts';
import type { PushOutcome, VersionConflict } from './outcome.ts';
import type { PendingNames } from './pending-names.ts';
import type { PushOptions } from './request.ts';
import type { RulesContent, RulesFile } from './rules-file.ts';
import type { SourceBatches } from './source-batches.ts';
import type { Turns } from './turns.ts';
import type { ReleaseWorker } from './worker.ts';

export interface PushesOptions {
  readonly store: Pick<Store, 'isStartedOver'>;
  readonly committer: Committer;
  readonly worker: ReleaseWorker;
  readonly desk: ReleaseDesk;
  readonly guards: DraftGuards;
  readonly batches: SourceBatches;
  readonly pendingNames: PendingNames;
  readonly rules: RulesFile;
  readonly turns: Turns;
  readonly turn: Turn;
  /** Milliseconds since 1970. */
  readonly nowMs: () => number;
}

/** The code of a reject of marks that belong to rows. */
const OF_ROWS = 'rows-of-rulectl';

type Ingested = Extract<IngestResult, { kind: 'rule-set' }>;

/** A push, with the way it came. */
interface Work {
  readonly way: 'push' | 'rules';
  readonly input: PushInput;
  readonly options: PushOptions;
  /**
   * The present digest of the rules file, if this is its content; the file may change while names are
   * resolved.
   */
  readonly digestNow: () => string | undefined;
}

export class Pushes {
  readonly #options: PushesOptions;

  constructor(options: PushesOptions) {
    this.#options = options;
  }

  /** As Publisher.push. */
  push(input: PushInput, options: PushOptions): Promise<PushOutcome> {
    const digestNow = () => this.#options.rules.digestOf(input);
    return this.#release({ way: 'push', input, options, digestNow });
  }

  /** As Publisher.takeRules. */
  takeRules(files: readonly PushedFile[], { digest }: RulesContent): Promise<PushOutcome> {
    const input: PushInput = {
      action: 'replace',
      replaceAll: false,
      list: undefined,
      policy: undefined,
      files,
    };
    return this.#release({ way: 'rules', input, options: { role: 'push' }, digestNow: () => digest });
  }

  #release(work: Work): Promise<PushOutcome> {
    const { committer, worker, pendingNames, turns, turn, nowMs } = this.#options;
    const { input, options } = work;
    const { onStage } = options;
    return turns.ahead(async () => {
      const moved = movedFrom(committer, options);
      if (moved !== undefined) return moved;
      onStage?.('reading');
      const pushed = await worker.read(input, Math.floor(nowMs() / 1000));
      const early = await this.#ingested(pushed, work, work.digestNow());
      if (early.kind === 'rejects') return early;
      await turn();
      onStage?.('names');
      await pendingNames.bring(early.ruleSet, committer.ruleSet);
      onStage?.('turn');
      return turns.take(() => this.#releaseNow(pushed, work));
    });
  }

  async #releaseNow(pushed: PushedParts, work: Work): Promise<PushOutcome> {
    const { store, committer, desk, guards, rules, turn } = this.#options;
    const { way, input, options, digestNow } = work;
    const digest = digestNow();
    const moved = movedFrom(committer, options);
    if (moved !== undefined) return moved;
    const isPushed = way === 'rules' && digest !== undefined && rules.isTaken(digest);
    if (isPushed) return { kind: 'version-moved', version: committer.head?.manifest.version ?? 0 };
    const read = await this.#ingested(pushed, work, digest);
    if (read.kind === 'rejects') return read;
    await turn();
    const isWithdrawal = input.action === 'withdraw' && options.ifPresent !== true;
    const absent = isWithdrawal ? await this.#absentFrom(read) : [];
    if (absent.length > 0) return { kind: 'rejects', rejects: absent, rejectCount: absent.length };
    const files = input.files.filter(({ role }) => role === 'pushed').map(({ name }) => name);
    const taken = digest === undefined ? rules.takenDespite(pushed) : rules.takenWith(digest, pushed);
    const origin: Origin = {
      cause: way,
      detail: files.join(', '),
      by: options.by,
      message: options.message,
      taken,
    };
    const notes = [
      ...read.notes,
      ...(await guards.widerNotes(read.ruleSet)),
      ...guards.misfitNotes(read.ruleSet, options),
    ];
    // An empty store is no sign of a first release of all after `startOver`: firewalls may have policies.
    const guardedAs = store.isStartedOver ? 'push' : way;
    return desk.release(read.ruleSet, origin, { ...options, notes, guards: guards.of(guardedAs, options) });
  }

  async #ingested(pushed: PushedParts, { input }: Work, digest: string | undefined): Promise<IngestResult> {
    const { batches, rules, turn } = this.#options;
    const base = await batches.baseOfPush();
    const ours = rowsIn(pushed);
    if (ours.length > 0) return { kind: 'rejects', rejects: ours, rejectCount: ours.length };
    if (digest !== undefined) return rules.ingested(base, pushed);
    const result = ingest(base, pushed, input, rules.isOfSource, rules.parts);
    if (result.kind === 'rejects') return result;
    const rejects = await inTurns(rules.rejectsOf(base, result.ruleSet), turn);
    return rejects.length === 0 ? result : { kind: 'rejects', rejects, rejectCount: rejects.length };
  }

  /** Rejects for a withdrawal without effect: a part does not exist, or everything stays. */
  async #absentFrom({ ruleSet, notes }: Ingested): Promise<readonly DocumentReject[]> {
    const { batches, turn } = this.#options;
    const place = { line: 1, column: 1, code: NOTHING_TO_WITHDRAW };
    const advice = 'nothing was released; --if-present takes that for done';
    const parts = notes.filter(({ code }) => code === NOTHING_TO_WITHDRAW);
    if (parts.length > 0)
      return parts.map(({ part, reason }) => ({ ...place, file: part, reason: `${reason}: ${advice}` }));
    const { changes } = await inTurns(diffPieces(await batches.baseOfPush(), ruleSet), turn);
    if (changes.length > 0) return [];
    return [{ ...place, file: 'push', reason: `no list and no policy has anything of it: ${advice}` }];
  }
}

/** Rejects pushed parts that only `rulectl block`, `allow` and `cut` write. */
function rowsIn({ lists, policies }: PushedParts): readonly DocumentReject[] {
  const reject = (file: string, what: string): DocumentReject => {
    const reason = `${what} is what rulectl block, allow and cut write: leave it out; rulectl blocks shows them`;
    return { file, line: 1, column: 1, code: OF_ROWS, reason };
  };
  const named = [...lists.keys()].filter(isRowsList).map((name) => reject(name, `list ${name}`));
  const policed = [...policies].flatMap(([name, policy]) => {
    if (isCutPolicy(name)) return [reject(name, `policy ${name}`)];
    const [marked] = [...formsOf([policy])].filter(({ match }) => isMark(match.comment));
    return marked === undefined ? [] : [reject(name, `the comment "${marked.match.comment}"`)];
  });
  return [...named, ...policed];
}

/** Whether the head is not the one that a request is for. */
export function movedFrom(
  { head }: Committer,
  { ifVersion }: Pick<PushOptions, 'ifVersion'>,
): VersionConflict | undefined {
  const version = head?.manifest.version ?? 0;
  return ifVersion === undefined || ifVersion === version ? undefined : { kind: 'version-moved', version };
}
