/** The audit records of releases that a caller asked for, and of the guards that permits opened for them. */

import { boundText } from '@rulecast/protocol';
import type { Logger } from 'pino';
import type { GuardRefusal } from '../guards/refusal.ts';
import type { Release } from '../store/store.ts';
import type { Origin } from './commit.ts';
import type { ReleaseAudit } from './outcome.ts';

/** The `code` of the record of a release itself. */
const RELEASED = 'released';

export class ReleaseRecord {
  readonly #audit: (entry: ReleaseAudit) => void;
  readonly #logger: Logger;

  /** @param audit May throw; the release stays. */
  constructor(audit: (entry: ReleaseAudit) => void, logger: Logger) {
    this.#audit = audit;
    this.#logger = logger;
  }

  /** Records a release; `against` are the refusals that were permitted. */
  add(release: Release, { cause, by, detail }: Origin, against: readonly GuardRefusal[]): void {
    const { epoch, version } = release.manifest;
    if (cause === 'push' || cause === 'rules' || cause === 'rollback' || by !== undefined) {
      const none = { part: '', before: 0, after: 0 };
      this.#write({ cause, by, epoch, version, code: RELEASED, reason: boundText(detail), ...none });
    }
    for (const { guard: code, part, reason, before, after } of against) {
      const entry: ReleaseAudit = { cause, by, epoch, version, part, code, reason, before, after };
      this.#logger.warn({ audit: entry }, `${part} was released against a guard: the caller permits it`);
      this.#write(entry);
    }
  }

  #write(entry: ReleaseAudit): void {
    try {
      this.#audit(entry);
    } catch (error) {
      this.#logger.error({ err: error }, 'a release or a permit could not be written to the audit log');
    }
  }
}
