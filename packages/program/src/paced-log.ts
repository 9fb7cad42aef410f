/**
 * Log lines that others cause, such as by connecting again and again: a number at once, then one a second.
 * The next written line has the number of those left out.
 */

/** Our choice: all subscribers that fit may connect at once, each with a line. */
const AT_ONCE = 1200;
const EVERY_MS = 1000;

/** The methods of a logger, pino's or another. */
export interface Logger {
  info(fields: object, text: string): void;
  warn(fields: object, text: string): void;
  error(fields: object, text: string): void;
}

export class PacedLog implements Logger {
  readonly #logger: Logger;
  readonly #nowMs: () => number;
  #places = AT_ONCE;
  #countedAtMs: number;
  #leftOut = 0;

  /** `nowMs` is a steady clock. */
  constructor(logger: Logger, nowMs: () => number) {
    this.#logger = logger;
    this.#nowMs = nowMs;
    this.#countedAtMs = nowMs();
  }

  info(fields: object, text: string): void {
    this.#write('info', fields, text);
  }

  warn(fields: object, text: string): void {
    this.#write('warn', fields, text);
  }

  error(fields: object, text: string): void {
    this.#write('error', fields, text);
  }

  #write(level: keyof Logger, fields: object, text: string): void {
    const gained = Math.floor((this.#nowMs() - this.#countedAtMs) / EVERY_MS);
    if (gained > 0) {
      this.#places = Math.min(AT_ONCE, this.#places + gained);
      this.#countedAtMs += gained * EVERY_MS;
    }
    if (this.#places === 0) {
      this.#leftOut++;
      return;
    }
    this.#places--;
    this.#logger[level](this.#leftOut === 0 ? fields : { ...fields, leftOut: this.#leftOut }, text);
    this.#leftOut = 0;
  }
}
