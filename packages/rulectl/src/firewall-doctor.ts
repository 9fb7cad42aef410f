/** `rulecast-doctor`: `rulectl doctor` for a firewall, which has no rulectl. */

import { strictYargs } from '@rulecast/program/command-line';
import { REPORT_HELP, run } from './commands/doctor.ts';
import { runFirewallProgram } from './firewall-program.ts';

const NAME = 'rulecast-doctor';
const cli = strictYargs(NAME, new URL('../package.json', import.meta.url))
  .usage(
    `$0 [options]\n\nSays what keeps this machine from working, and what to do. Run it as root, to see all.`,
  )
  .option('report', { type: 'boolean', describe: `Instead ${REPORT_HELP}` })
  .example('$0', 'Of this machine');

await runFirewallProgram(NAME, cli, run);
