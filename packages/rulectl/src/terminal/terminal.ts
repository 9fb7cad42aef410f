/**
 * The edges of the process that commands talk through: output, diagnostics, colours, the clock, a question to
 * the user.
 */

import { once } from 'node:events';
import { createWriteStream, openSync, writeSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import { isatty, ReadStream } from 'node:tty';
import { Output } from '@rulecast/program';
import picocolors from 'picocolors';
import { type JsonRecord, RecordOutput } from './records.ts';

export type Colors = ReturnType<typeof picocolors.createColors>;
/** For text that is not for a terminal. */
export const PLAIN: Colors = picocolors.createColors(false);
type Environment = Readonly<Record<string, string | undefined>>;

/** Of the option --json, which every command has. */
export const JSON_HELP = 'records for programs, one a line, the end last';

export class Terminal {
  readonly out: Output;
  /** Whether programs read the output. */
  readonly isJson: boolean;
  readonly #records: RecordOutput | undefined;
  #outcome: { readonly code: string; readonly text: string } | undefined;
  readonly environment: Environment;
  /** The command line, from the command on. */
  readonly words: readonly string[];
  readonly outIsTty = isatty(1);
  /** Progress is shown on a terminal only. */
  readonly errIsTty = isatty(2);
  colors: Colors;
  readonly #err = new Output(2);

  constructor(environment: Environment, words: readonly string[] = []) {
    this.environment = environment;
    this.words = words;
    this.isJson = wantsRecords(words);
    this.#records = this.isJson ? new RecordOutput(1) : undefined;
    this.out = this.#records ?? new Output(1);
    this.colors = picocolors.createColors(!this.isJson && wantsColor(environment, this.outIsTty));
  }

  /** For programs: nothing without --json. Throws like `out`. */
  record(record: JsonRecord): void {
    this.#records?.record(record);
  }

  /** What the last record is to say of an end that is more than an exit code. */
  endsWith(code: string, text = ''): void {
    this.#outcome = { code, text };
  }

  /** The last record, and all that is not written yet. Throws like `out`. */
  end(exit: number, errorCode?: string): void {
    const usual = { code: errorCode ?? (exit === 0 ? 'ok' : 'unmet'), text: '' };
    const { code, text } = (errorCode === undefined ? this.#outcome : undefined) ?? usual;
    this.record({ kind: 'end', ...{ exit, code, ...(text !== '' && { text }) } });
    this.out.flush();
  }

  /** For --no-color. */
  withoutColor(): void {
    this.colors = picocolors.createColors(false);
  }

  nowMs(): number {
    return Date.now();
  }

  waitMs(ms: number): Promise<void> {
    return setTimeout(ms);
  }

  /** Prints an error or a warning, in every mode. */
  complain(text: string): void {
    this.out.flush(); // so that the two streams keep their order on a screen
    this.#err.line(text);
    this.#err.flush();
  }

  /**
   * Asks a yes or no question on the terminal of the process, even if standard input and output are
   * redirected. Anything but yes is no, the end of the input included; `nobody` without a terminal.
   */
  async confirm(question: string): Promise<'yes' | 'no' | 'nobody'> {
    this.out.flush();
    const fd = openTerminal();
    if (fd === undefined) return 'nobody';
    const answer = await answerOf(fd, `${question} [y/N] `);
    return /^y(?:es)?$/i.test(answer?.trim() ?? '') ? 'yes' : 'no';
  }

  /** A line typed at the terminal; undefined at the end of the input, and without a terminal. */
  async ask(question: string): Promise<string | undefined> {
    this.out.flush();
    const fd = openTerminal();
    return fd === undefined ? undefined : answerOf(fd, question);
  }
}

/** Closes the descriptor. Undefined for Ctrl-C, Ctrl-D, and a terminal that hangs up. */
async function answerOf(fd: number, question: string): Promise<string | undefined> {
  // loaded on demand, as few commands ask questions
  const { createInterface } = await import('node:readline/promises');
  const tty = new ReadStream(fd);
  const lines = createInterface({ input: tty, output: createWriteStream('', { fd, autoClose: false }) });
  try {
    const ended = once(lines, 'close').then(() => undefined);
    const asked = lines.question(question).catch(() => undefined); // Ctrl-C and Ctrl-D reject it
    const answer = await Promise.race([asked, ended]);
    if (answer === undefined) writeSync(fd, '\n'); // the next output starts on a line of its own
    return answer;
  } finally {
    lines.close();
    tty.destroy(); // closes the descriptor
  }
}

/** Undefined without a controlling terminal, as in cron, a unit or CI. */
function openTerminal(): number | undefined {
  try {
    return openSync('/dev/tty', 'r+');
  } catch {
    return undefined;
  }
}

/** The words that end with `--` are no options. */
function wantsRecords(words: readonly string[]): boolean {
  const end = words.indexOf('--');
  const options = end < 0 ? words : words.slice(0, end);
  return options.includes('--json') || options.includes('--json=true');
}

/**
 * Follows no-color.org and FORCE_COLOR, whatever the value; without them, whether the output is a terminal.
 */
function wantsColor(environment: Environment, outIsTty: boolean): boolean {
  const isSet = (key: string): boolean => environment[key] !== undefined && environment[key] !== '';
  if (isSet('NO_COLOR')) return false;
  return isSet('FORCE_COLOR') || (outIsTty && environment['TERM'] !== 'dumb');
}
