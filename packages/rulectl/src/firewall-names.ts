/** `rulecast-names`: `rulectl names` for a firewall, which has no rulectl. */

import { programOptions } from '@rulecast/program';
import { strictYargs } from '@rulecast/program/command-line';
import { ABOUT, run } from './commands/names.ts';
import { CliError, exitCodesHelp } from './terminal/exit.ts';
import { Terminal } from './terminal/terminal.ts';

const cli = strictYargs('rulecast-names', new URL('../package.json', import.meta.url))
  .usage(`$0 [options]\n\n${ABOUT}`)
  .option('qube', { type: 'string', requiresArg: true, describe: 'Address of a qube: what is open to it' })
  .option('json', { type: 'boolean', describe: 'One JSON object for each name of a qube' })
  .example([
    ['$0', 'Of all qubes'],
    ['$0 --qube 10.137.0.5', 'Of one'],
  ])
  .epilogue(exitCodesHelp());

const { qube, json } = programOptions('rulecast-names', cli, { repeatable: [], variables: {} });
const terminal = new Terminal(process.env);
try {
  const exit = await run({ qube, json }, terminal);
  terminal.out.flush();
  process.exit(exit);
} catch (error) {
  if (!(error instanceof CliError)) throw error;
  terminal.complain(`rulecast-names: ${error.message}`);
  process.exit(error.exit);
}
