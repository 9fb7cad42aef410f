/** The commands by name, and the options that all of them have. */

import { defaultEndpoints, type WordRules } from '@rulecast/program';
import type { ArgumentsCamelCase, Argv } from 'yargs';
import type { ExitCode } from './terminal/exit.ts';
import type { Terminal } from './terminal/terminal.ts';

/** What a command line asks for. */
export type Work = () => Promise<ExitCode>;

/** What every command is given. */
export interface GlobalArgs {
  readonly control: string;
  readonly 'no-color': boolean | undefined;
}

/** One command of commands/. */
export interface Command<A> {
  readonly command: string;
  readonly describe: string;
  readonly builder: (yargs: Argv<GlobalArgs>) => Argv<A>;
  readonly run: (args: ArgumentsCamelCase<A>, terminal: Terminal) => Promise<ExitCode>;
}
export type Add = <A extends object>(command: Command<A>) => void;

/**
 * The commands by name, as help lists them. A command line loads the one that it begins with: what the others
 * need, such as readers of lists and of YAML, would take longer than `rulectl status` itself.
 */
export const COMMANDS: ReadonlyMap<string, (add: Add) => Promise<void>> = new Map([
  ['push', async (add) => add(await import('./commands/push.ts'))],
  ['status', async (add) => add(await import('./commands/status.ts'))],
  ['test', async (add) => add(await import('./commands/test.ts'))],
  ['names', async (add) => add(await import('./commands/names.ts'))],
  ['history', async (add) => add(await import('./commands/history.ts'))],
  ['diff', async (add) => add(await import('./commands/diff.ts'))],
  ['get', async (add) => add(await import('./commands/get.ts'))],
  ['rollback', async (add) => add(await import('./commands/rollback.ts'))],
  ['forget', async (add) => add(await import('./commands/forget.ts'))],
  ['lists', async (add) => add(await import('./commands/lists.ts'))],
  ['list', async (add) => add(await import('./commands/list.ts'))],
  ['refresh', async (add) => add(await import('./commands/refresh.ts'))],
  ['check', async (add) => add(await import('./commands/check.ts'))],
  ['config', async (add) => add(await import('./commands/config.ts'))],
  ['import', async (add) => add(await import('./commands/import.ts'))],
  ['doctor', async (add) => add(await import('./commands/doctor.ts'))],
  ['keygen', async (add) => add(await import('./commands/keygen.ts'))],
  ['keys', async (add) => add(await import('./commands/keys.ts'))],
]);

export const WORD_RULES: WordRules = {
  repeatable: new Set(['require', 'resolve', 'offline', 'known-list', 'permit']),
  mayBeEmpty: new Set(['dns']), // no address means nothing
  hasOpposites: false, // --no-wait and --no-color are options of their own
};

/** Declares the options that every command has. */
export function withGlobalOptions(
  yargs: Argv<object>,
  environment: Terminal['environment'],
): Argv<GlobalArgs> {
  return yargs
    .option('control', {
      type: 'string',
      requiresArg: true,
      default: defaultEndpoints(environment).control,
      describe: 'where the publisher listens',
    })
    .option('curve-key', {
      type: 'string',
      requiresArg: true,
      describe: 'file of the own secret key, for --control zmq+tcp:… (rulectl keygen makes it)',
    })
    .option('curve-peer', {
      type: 'string',
      requiresArg: true,
      describe: "the publisher's public key, or a file that holds it",
    })
    .option('no-color', { type: 'boolean', describe: 'no colours; NO_COLOR=1 does the same' });
}
