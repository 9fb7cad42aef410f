/** `rulectl names`: the addresses open by name, for which qube, and until when. */

import { formatAddress, parseAddress } from '@rulecast/rules';
import type { Argv } from 'yargs';
import { thisMachine } from '../doctor/machine.ts';
import { isDigest, type OpenName, openNames } from '../doctor/opened.ts';
import { formatAge, formatAmount, NOTHING } from '../render/amounts.ts';
import { renderTable } from '../render/table.ts';
import { CliError, ExitCode, usageError } from '../terminal/exit.ts';
import type { Colors, Terminal } from '../terminal/terminal.ts';

export const command = 'names [qube]';

/** The description for people, without the program's name. */
export const ABOUT =
  'Lists the addresses that are open by name: for which qube and name, by which list, and how long each stays open without traffic or another question. The kernel of the firewall alone knows: run it there, as root.';

/** Addresses of a name that people are shown; programs are told all. */
const ADDRESSES_SHOWN = 4;

export interface NamesArgs {
  readonly qube: string | undefined;
}

export function builder(yargs: Argv<object>): Argv<NamesArgs> {
  return yargs
    .usage(`$0 names [QUBE]\n\n${ABOUT} A firewall qube has rulecast-names in place of rulectl names.`)
    .positional('qube', { type: 'string', describe: 'address of a qube: what is open to this one' })
    .example([
      ['$0 names', 'of all qubes'],
      ['$0 names 10.137.0.5', 'of one'],
      ['$0 names --json', 'for a program'],
    ]);
}

export async function run({ qube }: NamesArgs, terminal: Terminal): Promise<ExitCode> {
  const asked = qube === undefined ? undefined : addressOf(qube);
  const found = openNames(thisMachine(terminal.nowMs()));
  if ('code' in found) throw new CliError(ExitCode.unreachable, found.code, found.text);
  const names = found.filter((each) => asked === undefined || each.qube === asked);
  if (terminal.isJson) for (const each of names) terminal.record({ kind: 'name', ...each });
  else if (names.length > 0) terminal.out.line(shown(names, terminal.colors));
  else terminal.out.line(`no address is open by name${asked === undefined ? '' : ` to ${asked}`}`);
  return ExitCode.ok;
}

function shown(names: readonly OpenName[], colors: Colors): string {
  const rows = names.map(({ qube, name, list, addresses }) => {
    const some = addresses.slice(0, ADDRESSES_SHOWN).map(({ address }) => address);
    const more = addresses.length - some.length;
    return [
      qube,
      isDigest(name) ? 'a name of other letters, or a long one' : name,
      list ?? NOTHING,
      formatAge((addresses[0]?.leftS ?? 0) * 1000),
      [...some, ...(more > 0 ? [`and ${formatAmount(more, 'other')}`] : [])].join(' '),
    ];
  });
  return renderTable(['QUBE', 'NAME', 'LIST', 'LEFT', 'ADDRESSES'], rows, undefined, colors);
}

/** As `nft` writes it. Throws CliError `usage`. */
function addressOf(text: string): string {
  const address = parseAddress(text);
  if (address === undefined) throw usageError(`${text}: write the address of a qube, as in 10.137.0.5`);
  return formatAddress(address);
}
