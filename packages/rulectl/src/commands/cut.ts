/** `rulectl cut`: takes a qube off the network, whatever the pushed rules. */

import type { Argv } from 'yargs';
import { askForRow, type RowArgs, withRowOptions } from '../release/rows.ts';
import type { ExitCode } from '../terminal/exit.ts';
import type { Terminal } from '../terminal/terminal.ts';

/** Not `<qube>`: a positional of that name would take `--qube` as well, and which of both is meant? */
export const command = 'cut <target>';

export interface CutArgs extends RowArgs {
  readonly target: string;
}

export function builder(yargs: Argv<{ readonly control: string }>): Argv<CutArgs> {
  return withRowOptions(yargs)
    .usage(
      '$0 cut QUBE [--for 10m]\n\nDrops all that a qube sends and all that is sent to it, now, and ends its connections. No guard refuses it. It ends by a release, so the qube stays cut off until the publisher runs.',
    )
    .positional('target', {
      type: 'string',
      demandOption: true,
      describe: 'its address, or the name of the policy of its address alone',
    })
    .example([
      ['$0 cut 10.137.0.5', 'until rulectl blocks --remove'],
      ['$0 cut work --for 10m --comment "odd traffic"', 'the qube of the policy work, for ten minutes'],
    ]);
}

export function run(args: CutArgs, terminal: Terminal): Promise<ExitCode> {
  return askForRow('cut', { qube: args.target }, args, terminal);
}
