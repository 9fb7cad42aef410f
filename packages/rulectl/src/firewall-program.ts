/** How `rulecast-doctor` and `rulecast-names` run: commands of rulectl for a firewall that has none. */

import { readOptions } from '@rulecast/program/command-line';
import type { ArgumentsCamelCase, Argv } from 'yargs';
import { runToEnd } from './terminal/ending.ts';
import { ExitCode, exitCodesHelp } from './terminal/exit.ts';
import { JSON_HELP, Terminal } from './terminal/terminal.ts';

/** Runs the command line of this process, and ends it. */
export async function runFirewallProgram<A>(
  name: string,
  cli: Argv<A>,
  run: (args: ArgumentsCamelCase<A>, terminal: Terminal) => Promise<ExitCode>,
): Promise<never> {
  const words = process.argv.slice(2);
  const terminal = new Terminal(process.env, words);
  cli.option('json', { type: 'boolean', describe: JSON_HELP }).epilogue(exitCodesHelp());
  const exit = await runToEnd(name, terminal, async () => {
    const read = readOptions(cli, words, { repeatable: [], variables: {} });
    if (read.kind === 'values') return run(read.values, terminal);
    terminal.out.line(read.text);
    return ExitCode.ok;
  });
  process.exit(exit);
}
