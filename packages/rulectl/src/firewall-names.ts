/** `rulecast-names`: `rulectl names` for a firewall, which has no rulectl. */

import { strictYargs } from '@rulecast/program/command-line';
import { ABOUT, run } from './commands/names.ts';
import { runFirewallProgram } from './firewall-program.ts';

const NAME = 'rulecast-names';
const cli = strictYargs(NAME, new URL('../package.json', import.meta.url))
  .usage(`$0 [options]\n\n${ABOUT}`)
  .option('qube', { type: 'string', requiresArg: true, describe: 'Address of a qube: what is open to it' })
  .example([
    ['$0', 'Of all qubes'],
    ['$0 --qube 10.137.0.5', 'Of one'],
  ]);

await runFirewallProgram(NAME, cli, run);
