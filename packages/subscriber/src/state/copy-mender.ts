/**
 * Tries again, until it succeeds, to write the second copy of the state. Without that copy, one damaged file
 * would lose the release in force at the next start.
 */

import type { After } from '@rulecast/protocol';
import type { Logger } from 'pino';

/** Our choice. */
const RETRY_MS = 30_000;

export interface CopyMenderOptions {
  readonly after: After;
  readonly logger: Pick<Logger, 'warn'>;
  /** Once aborted, nothing is tried again. */
  readonly closing: AbortSignal;
  /** Resolves with whether the copy is whole; if it is not, calls `failed` as well. */
  readonly mend: () => Promise<boolean>;
}

export class CopyMender {
  readonly #options: CopyMenderOptions;
  /** The failure that was logged last; empty once the copy is whole. */
  #logged = '';
  #cancel: (() => void) | undefined;

  constructor(options: CopyMenderOptions) {
    this.#options = options;
    options.closing.addEventListener('abort', () => this.#cancel?.());
  }

  /** Logs a failure, unless it is the one logged last, and tries again later. */
  failed(error: unknown): void {
    const { after, logger, closing } = this.#options;
    const text = String(error);
    if (text !== this.#logged) {
      const what =
        'the second copy of the state cannot be written, or old files not removed: tried again every 30 s';
      logger.warn({ err: error }, what);
    }
    this.#logged = text;
    if (!closing.aborted) this.#cancel ??= after(RETRY_MS, () => void this.#mend());
  }

  async #mend(): Promise<void> {
    this.#cancel = undefined;
    if (await this.#options.mend()) this.#logged = '';
  }
}
