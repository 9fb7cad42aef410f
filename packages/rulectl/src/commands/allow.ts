/**
 * `rulectl allow`: accepts an address, a name or a list for one qube, at once and beside the pushed rules.
 */

import type { Argv } from 'yargs';
import { askForRow, type RowArgs, withRowOptions } from '../release/rows.ts';
import type { ExitCode } from '../terminal/exit.ts';
import type { Terminal } from '../terminal/terminal.ts';

export const command = 'allow <target>';

export interface AllowArgs extends RowArgs {
  readonly target: string;
  readonly qube: string;
}

export function builder(yargs: Argv<{ readonly control: string }>): Argv<AllowArgs> {
  return withRowOptions(yargs)
    .usage(
      '$0 allow ADDRESS|PREFIX|NAME|@LIST --qube Q [--for 1h]\n\nAccepts it now for one qube that has a policy of its own, before the exceptions of that policy. What the policy first or rulectl block drops for all qubes stays dropped. A name includes every name below it, and needs rulecast-dns at the firewall. With --for it ends by itself, even if the publisher does not run then.',
    )
    .positional('target', { type: 'string', demandOption: true, describe: 'address, prefix, name or @LIST' })
    .option('qube', {
      type: 'string',
      requiresArg: true,
      demandOption: true,
      describe: 'its address, or the name of the policy of its address alone',
    })
    .example([
      ['$0 allow debian.org --qube 10.137.0.5 --for 1h', 'a name and all below it, for an hour'],
      ['$0 allow 203.0.113.7 --qube work', 'an address, until rulectl blocks --remove'],
    ]);
}

export function run(args: AllowArgs, terminal: Terminal): Promise<ExitCode> {
  return askForRow('allow', args, args, terminal);
}
