/** `rulectl lists outdated`: which lists have moved or ended, as far as the catalogue knows. */

import { FORMAT_LIMITS } from '@rulecast/formats';
import type { Argv } from 'yargs';
import { outdatedOf } from '../catalogue/outdated.ts';
import { soundConfiguration } from '../init/files.ts';
import { usualConfiguration } from '../init/places.ts';
import { renderTable } from '../render/table.ts';
import { ExitCode } from '../terminal/exit.ts';
import { readInput } from '../terminal/input.ts';
import type { Terminal } from '../terminal/terminal.ts';

export const command = 'lists-outdated';

export interface OutdatedArgs {
  readonly config: string | undefined;
}

export function builder(yargs: Argv<object>): Argv<OutdatedArgs> {
  return yargs
    .usage(
      '$0 lists outdated\n\nCompares the URLs of a configuration with the catalogue: which have moved, which have ended, and which are fetched more often than their publisher wants. It changes nothing, and works offline. Exits with 1 if it finds any.',
    )
    .option('config', {
      type: 'string',
      requiresArg: true,
      describe: 'the configuration',
      defaultDescription: '/etc/rulecast/publisher.yaml for root, else publisher.yaml here',
    })
    .example([
      ['$0 lists outdated', 'after an upgrade'],
      ['$0 lists outdated --config publisher.yaml', 'of another configuration'],
    ]);
}

export async function run(args: OutdatedArgs, terminal: Terminal): Promise<ExitCode> {
  const path = args.config ?? usualConfiguration();
  const config = soundConfiguration(path, readInput(path, FORMAT_LIMITS.documentBytes));
  const found = outdatedOf(config);
  if (terminal.isJson) for (const each of found) terminal.record({ kind: 'outdated', ...each });
  else if (found.length === 0) terminal.out.line('The catalogue knows nothing against these lists.');
  else {
    const rows = found.map(({ list, what, text }) => [list, what, text]);
    terminal.out.line(renderTable(['list', 'is', 'why'], rows, undefined, terminal.colors));
  }
  if (found.length === 0) return ExitCode.ok;
  terminal.endsWith('outdated');
  return ExitCode.unmet;
}
