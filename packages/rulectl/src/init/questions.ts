/** Answers of `rulectl init`: of options, else of the person at the terminal, else what is usual. */

import { CliError, usageError } from '../terminal/exit.ts';
import type { Terminal } from '../terminal/terminal.ts';

export interface Question<T> {
  /** Whose words are the answer where it is given. */
  readonly option: string;
  readonly text: string;
  /** Of a whole answer: its words are separated by spaces. */
  readonly example: string;
  /** The answer without any. */
  readonly usual: string | undefined;
  /** Reads one word. Throws CliError with what to write. */
  readonly read: (word: string) => T;
}

export class Questions {
  readonly #terminal: Pick<Terminal, 'ask' | 'complain'>;
  readonly #takesUsual: boolean;

  constructor(terminal: Pick<Terminal, 'ask' | 'complain'>, takesUsual: boolean) {
    this.#terminal = terminal;
    this.#takesUsual = takesUsual;
  }

  /** The words of an answer, at least one. Throws CliError `usage` where nobody answers. */
  async ask<T>(question: Question<T>, given: readonly string[] = []): Promise<readonly T[]> {
    const { option, text, example, usual, read } = question;
    if (given.length > 0) return given.map(read);
    if (this.#takesUsual && usual !== undefined) return wordsOf(usual).map(read);
    const hint = usual === undefined ? `, as in ${example}: ` : ` [${usual}]: `;
    while (!this.#takesUsual) {
      const answer = await this.#terminal.ask(`${text}${hint}`);
      if (answer === undefined) break;
      const words = wordsOf(answer.trim() === '' ? (usual ?? '') : answer);
      try {
        if (words.length > 0) return words.map(read);
        this.#terminal.complain(`Write something like ${example}`);
      } catch (error) {
        if (!(error instanceof CliError)) throw error;
        this.#terminal.complain(error.message);
      }
    }
    const more = this.#takesUsual ? '' : ', or --yes for what is usual';
    throw usageError(`no answer, and nothing was written: add --${option} ${example}${more}: ${text}`);
  }
}

function wordsOf(text: string): readonly string[] {
  return text.split(/\s+/).filter((word) => word !== '');
}
