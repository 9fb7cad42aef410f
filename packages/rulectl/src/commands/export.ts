/**
 * `rulectl export`: a policy as rules of Qubes, for firewalls that follow no publisher, such as Mirage. The
 * other way is `rulectl import`.
 */

import type { Argv } from 'yargs';
import type { ControlArgs } from '../control/client.ts';
import { policyOf } from '../offline/judge.ts';
import { QUBES_RULES_MAX_BYTES, qubesRulesOf } from '../offline/qvm-firewall.ts';
import { readOffline } from '../offline/rule-set.ts';
import { type PushFile, readPushFiles } from '../release/files.ts';
import { formatAmount } from '../render/amounts.ts';
import { renderReject } from '../render/findings.ts';
import { CliError, ExitCode } from '../terminal/exit.ts';
import type { Terminal } from '../terminal/terminal.ts';
import { wholeRelease } from './get.ts';

export const command = 'export <what> <policy> [file..]';

/** In the place of files: what is released. A file of that name is ./live. */
const LIVE = 'live';

export interface ExportArgs extends ControlArgs {
  readonly what: 'qubes';
  readonly policy: string;
  readonly file: readonly string[] | undefined;
}

export function builder(yargs: Argv<{ readonly control: string }>): Argv<ExportArgs> {
  return yargs
    .usage(
      `$0 export qubes POLICY [FILE...]\n\nPrints what a policy lets its qubes send as rules of qvm-firewall, a line each, for a firewall without a subscriber: of files, or of what is released. Lists become their prefixes, joined where they can be, or dsthost= for each name, which Qubes resolves at the firewall, private addresses included. Rules of first and common are among them, in the order in which they judge. Where the rules would mean something else, or are more than the ${formatAmount(QUBES_RULES_MAX_BYTES, 'byte')} that dom0 takes for a qube, nothing is printed, and each reason is said.`,
    )
    .positional('what', {
      choices: ['qubes'] as const,
      demandOption: true,
      describe: 'whose rules they become',
    })
    .positional('policy', { type: 'string', demandOption: true, describe: 'the policy of the qubes' })
    .positional('file', {
      type: 'string',
      array: true,
      describe: 'files, as for rulectl check; live is what is released',
      defaultDescription: LIVE,
    })
    .example([
      ['$0 export qubes work > work.rules', 'of what is released'],
      ['$0 export qubes work firewall.yaml', 'of a rule set document'],
    ]);
}

export async function run(args: ExportArgs, terminal: Terminal): Promise<ExitCode> {
  const files = await filesOf(args);
  const read = readOffline(files, { now: Math.floor(terminal.nowMs() / 1000) });
  if (read.ruleSet === undefined) {
    for (const reject of [...read.rejects, ...read.faults]) {
      terminal.record({ kind: 'reject', ...reject });
      terminal.complain(renderReject(reject.file, reject, terminal.colors));
    }
    const count = formatAmount(read.rejectCount + read.faults.length, 'line is', 'lines are');
    throw new CliError(ExitCode.refused, 'bad-input', `${count} refused: nothing is exported`);
  }
  const { lines, refusals } = qubesRulesOf(read.ruleSet, policyOf(read.ruleSet, args.policy));
  for (const reason of refusals) {
    terminal.record({ kind: 'warning', reason });
    terminal.complain(`refused: ${reason}`);
  }
  if (refusals.length > 0) {
    const text = `qvm-firewall cannot say what policy ${args.policy} says: nothing is exported`;
    throw new CliError(ExitCode.refused, 'no-equivalent', text);
  }
  for (const line of lines) terminal.out.line(line);
  return ExitCode.ok;
}

async function filesOf(args: ExportArgs): Promise<readonly PushFile[]> {
  const { file = [] } = args;
  const [first = LIVE, second] = file;
  if (first !== LIVE || second !== undefined) return readPushFiles({ file }, 'look');
  const bytes = Buffer.from([...(await wholeRelease(args))].join('\n'));
  return [{ name: LIVE, role: 'pushed', path: 'the release', bytes }];
}
