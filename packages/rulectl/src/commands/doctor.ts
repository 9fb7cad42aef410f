/** `rulectl doctor`: finds faults of the publisher, or of a firewall, on this machine, with remedies. */

import type { Argv } from 'yargs';
import type { Finding } from '../doctor/finding.ts';
import { isFirewall, lookAtFirewall } from '../doctor/firewall.ts';
import { thisMachine } from '../doctor/machine.ts';
import { isManagement, lookAtManagement } from '../doctor/management.ts';
import { reportLines } from '../doctor/report.ts';
import { CliError, ExitCode } from '../terminal/exit.ts';
import type { Colors, Terminal } from '../terminal/terminal.ts';

export const command = 'doctor';

export const REPORT_HELP = 'versions, states and codes for a report of a bug: no address, no name, no key';

export interface DoctorArgs {
  readonly report: boolean | undefined;
}

export function builder(yargs: Argv<object>): Argv<DoctorArgs> {
  return yargs
    .usage(
      '$0 doctor\n\nLooks at what is installed from packages here, publisher, firewall or both: configuration, keys, sockets, units, kernel, clock, disk, and in a qube what dom0 says of it. Run it as root, to see all. Ends with 1 where something is at fault.',
    )
    .option('report', { type: 'boolean', describe: REPORT_HELP })
    .example([
      ['$0 doctor', 'of this machine'],
      ['$0 doctor --report', 'for a report of a bug, to be read before it is sent'],
      ['$0 doctor --json', 'for a program'],
    ]);
}

export async function run(args: DoctorArgs, terminal: Terminal): Promise<ExitCode> {
  const machine = thisMachine(terminal.nowMs());
  const findings = [
    ...(isManagement(machine) ? lookAtManagement(machine) : []),
    ...(isFirewall(machine) ? lookAtFirewall(machine) : []),
  ];
  if (args.report === true) {
    for (const line of reportLines(machine, findings, isManagement(machine))) terminal.out.line(line);
    return ExitCode.ok;
  }
  if (findings.length === 0)
    throw new CliError(ExitCode.refused, 'nothing-here', 'no package of Rulecast is installed here');
  for (const finding of findings) {
    if (terminal.isJson) terminal.record({ kind: 'finding', ...finding });
    else for (const line of shown(finding, terminal.colors)) terminal.out.line(line);
  }
  if (!findings.some(({ result }) => result === 'fault')) return ExitCode.ok;
  terminal.endsWith('fault');
  return ExitCode.unmet;
}

function shown({ check, result, text, remedy }: Finding, colors: Colors): readonly string[] {
  const color = { good: colors.green, doubt: colors.yellow, fault: colors.red }[result];
  return [
    `${color(result.padEnd(5))} ${check}: ${text}`,
    ...(remedy === undefined ? [] : [`      ${remedy}`]),
  ];
}
