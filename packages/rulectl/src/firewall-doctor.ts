/** `rulecast-doctor`: `rulectl doctor` for a firewall, which has no rulectl. */

import { programOptions } from '@rulecast/program';
import { strictYargs } from '@rulecast/program/command-line';
import { REPORT_HELP, run } from './commands/doctor.ts';
import { CliError, exitCodesHelp } from './terminal/exit.ts';
import { Terminal } from './terminal/terminal.ts';

const cli = strictYargs('rulecast-doctor', new URL('../package.json', import.meta.url))
  .usage(
    `$0 [options]\n\nSays what keeps this machine from working, and what to do. Run it as root, to see all.`,
  )
  .option('report', { type: 'boolean', describe: `Instead ${REPORT_HELP}` })
  .option('json', { type: 'boolean', describe: 'One JSON object for each thing looked at' })
  .example('$0', 'Of this machine')
  .epilogue(exitCodesHelp());

const { json, report } = programOptions('rulecast-doctor', cli, { repeatable: [], variables: {} });
const terminal = new Terminal(process.env);
try {
  const exit = await run({ json, report }, terminal);
  terminal.out.flush();
  process.exit(exit);
} catch (error) {
  if (!(error instanceof CliError)) throw error;
  terminal.complain(`rulecast-doctor: ${error.message}`);
  process.exit(error.exit);
}
