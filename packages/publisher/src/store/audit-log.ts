/**
 * The releases that callers requested, and the guards that permits overrode: `audit.log` in the state
 * directory, one JSON object a line, in order. Only the end of the process waits for its writes.
 */

import { constants } from 'node:fs';
import { appendFile } from 'node:fs/promises';
import { join } from 'node:path';

const APPENDING = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NOFOLLOW;

/** Reports lines that cannot be written. */
export interface AuditLogger {
  error(details: object, text: string): void;
}

export interface AuditLogOptions {
  readonly stateDirectory: string;
  readonly logger: AuditLogger;
  /** Milliseconds since 1970. */
  readonly nowMs: () => number;
}

export class AuditLog {
  readonly #file: string;
  readonly #logger: AuditLogger;
  readonly #nowMs: () => number;
  #written: Promise<void> = Promise.resolve();

  constructor({ stateDirectory, logger, nowMs }: AuditLogOptions) {
    this.#file = join(stateDirectory, 'audit.log');
    this.#logger = logger;
    this.#nowMs = nowMs;
  }

  /** Adds a line, with the time. */
  add(entry: object): void {
    const line = JSON.stringify({ at: new Date(this.#nowMs()).toISOString(), ...entry });
    this.#written = this.#written
      .then(() => appendFile(this.#file, `${line}\n`, { mode: 0o600, flag: APPENDING }))
      .catch((error: unknown) => {
        this.#logger.error({ err: error, file: this.#file }, 'the audit log cannot be written');
      });
  }

  /** Resolves when all lines so far are written, or reported as failed. */
  async close(): Promise<void> {
    await this.#written;
  }
}
