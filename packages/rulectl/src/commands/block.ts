/** `rulectl block`: drops an address, a name or a list, at once and beside the pushed rules. */

import type { Argv } from 'yargs';
import { askForRow, type RowArgs, withRowOptions } from '../release/rows.ts';
import type { ExitCode } from '../terminal/exit.ts';
import type { Terminal } from '../terminal/terminal.ts';

export const command = 'block <target>';

export interface BlockArgs extends RowArgs {
  readonly target: string;
  readonly qube: string | undefined;
}

export function builder(yargs: Argv<{ readonly control: string }>): Argv<BlockArgs> {
  return withRowOptions(yargs)
    .usage(
      '$0 block ADDRESS|PREFIX|NAME|@LIST [--qube Q] [--for 1h]\n\nDrops it now: for all qubes, before everything else, or for one. A name includes every name below it, and needs rulecast-dns at the firewall. A push does not change it; rulectl blocks lists it. With --for it ends by itself, even if the publisher does not run then.',
    )
    .positional('target', { type: 'string', demandOption: true, describe: 'address, prefix, name or @LIST' })
    .option('qube', {
      type: 'string',
      requiresArg: true,
      describe: 'for this one: its address, or the name of the policy of its address alone',
    })
    .example([
      ['$0 block 203.0.113.7', 'for all qubes, until rulectl blocks --remove'],
      ['$0 block tracker.example --for 1h', 'a name and all below it'],
      ['$0 block @russia --comment "until it is looked at"', 'a list that is there'],
      ['$0 block 203.0.113.0/24 --qube 10.137.0.5', 'for one qube that has a policy of its own'],
    ]);
}

export function run(args: BlockArgs, terminal: Terminal): Promise<ExitCode> {
  return askForRow('block', args, args, terminal);
}
