/**
 * `rulectl import`: the firewall rules of qubes, as Qubes has them, as one rule set document.
 *
 *   QUBE.rules, firewall.xml ─lines─▶ parser ─canonical─▶ policies of the addresses that qvm-ls says ─▶ YAML
 */

import { basename, dirname, extname } from 'node:path';
import {
  FORMAT_LIMITS,
  isFirewallXml,
  parseRuleLines,
  type Reject,
  readFirewallXml,
} from '@rulecast/formats';
import { DEFAULT_POLICY, formatAddress, isForAllQubes, isPartName, parseAddress } from '@rulecast/rules';
import type { Argv } from 'yargs';
import { formatAmount } from '../render/amounts.ts';
import { CliError, ExitCode, usageError } from '../terminal/exit.ts';
import { checkStdinOnce, readInput, STDIN_NAME, shownName } from '../terminal/input.ts';
import type { Terminal } from '../terminal/terminal.ts';

export const command = 'import <what> <file..>';

/** Output of qvm-ls for all qubes of a machine. */
const ADDRESSES_MAX_BYTES = 1_048_576;
/** The placeholder of qvm-ls for no value. */
const NOTHING = '-';

export interface ImportArgs {
  readonly what: 'qubes';
  readonly file: readonly string[];
  readonly addresses: string;
}

export function builder(yargs: Argv<object>): Argv<ImportArgs> {
  return yargs
    .usage(
      '$0 import qubes FILE... --addresses FILE\n\nReads the rules of qubes as `qvm-firewall QUBE list --raw` prints them, into files QUBE.rules, or their firewall.xml in folders QUBE, and prints a rule set document: a policy for each qube. Other qubes are left to the firewall of Qubes. If one line is refused, nothing is printed.',
    )
    .positional('what', { choices: ['qubes'] as const, demandOption: true, describe: 'whose rules they are' })
    .positional('file', { type: 'string', array: true, demandOption: true, describe: 'the rules of a qube' })
    .option('addresses', {
      type: 'string',
      requiresArg: true,
      demandOption: true,
      describe: 'file of what qvm-ls --raw-data --fields NAME,IP,IP6 prints; - is standard input',
    })
    .example([
      [
        '$0 import qubes work.rules personal.rules --addresses qubes.txt > firewall.yaml',
        'then: rulectl check',
      ],
      [
        '$0 import qubes appvms/*/firewall.xml --addresses qubes.txt',
        'of all qubes, from a copy or a backup',
      ],
    ]);
}

export async function run(args: ImportArgs, terminal: Terminal): Promise<ExitCode> {
  checkStdinOnce([...args.file, args.addresses]);
  const addresses = readAddresses(args.addresses);
  const policies = new Map<string, readonly string[]>();
  let rejectCount = 0;
  for (const file of args.file) {
    const qube = qubeOf(file);
    if (qube === DEFAULT_POLICY || isForAllQubes(qube))
      throw usageError(
        `${shownName(file)}: a policy ${qube} is not that of one qube: rename the file, and the qube in ${shownName(args.addresses)}, as in ${qube}-qube`,
      );
    if (policies.has(qube)) throw usageError(`${file}: the rules of ${qube} are named twice`);
    if (!addresses.has(qube))
      throw missing(`${args.addresses} has no address of ${qube}: does it have a network?`);
    const { lines, rejects, hasLines } = readRules(file, Math.floor(terminal.nowMs() / 1000));
    for (const reject of rejects) {
      const { line, column, code, reason } = reject;
      terminal.record({ kind: 'reject', file, line, column, code, reason });
      const place = hasLines ? `:${line}:${column}` : `: rule ${line}`;
      terminal.complain(`${shownName(file)}${place}: ${code}: ${reason}`);
    }
    rejectCount += rejects.length;
    policies.set(qube, lines);
  }
  if (rejectCount > 0) {
    const text = `${formatAmount(rejectCount, 'line')} refused: mend them in dom0, and read them again`;
    throw new CliError(ExitCode.refused, 'bad-input', text);
  }
  const out = ['policies:'];
  for (const [qube, lines] of policies) {
    out.push(`  ${JSON.stringify(qube)}:`, `    prefixes: [${addresses.get(qube)?.join(', ')}]`);
    out.push(lines.length === 0 ? '    egress: []' : '    egress:');
    for (const line of lines) out.push(`      - ${JSON.stringify(line)}`);
  }
  out.push('unmatched: accept # other qubes are left to the firewall of Qubes');
  for (const line of out) terminal.out.line(line);
  return ExitCode.ok;
}

/** The qube that a file is named after, or the folder of its firewall.xml. */
function qubeOf(file: string): string {
  if (file === STDIN_NAME) throw usageError('- has no name of a qube: give QUBE.rules');
  const isXml = basename(file) === 'firewall.xml';
  const qube = isXml ? basename(dirname(file)) : basename(file, extname(file));
  if (isPartName(qube)) return qube;
  const hint = isXml ? 'QUBE/firewall.xml' : 'QUBE.rules';
  throw usageError(`${shownName(file)}: ${JSON.stringify(qube)} is no name of a qube: name the file ${hint}`);
}

interface ReadRules {
  /** In canonical form. */
  readonly lines: readonly string[];
  readonly rejects: readonly Reject[];
  /** Whether their places are lines and columns; else a line is the number of a rule. */
  readonly hasLines: boolean;
}

function readRules(file: string, now: number): ReadRules {
  const bytes = readInput(file, FORMAT_LIMITS.inputBytes);
  if (!isFirewallXml(bytes)) return { ...readLines(bytes, now), hasLines: true };
  const read = readFirewallXml(bytes);
  if (read.kind === 'reject') return { lines: [], rejects: [read.reject], hasLines: true };
  return { ...readLines(Buffer.from(read.lines.join('\n')), now), hasLines: false };
}

function readLines(bytes: Uint8Array, now: number): Omit<ReadRules, 'hasLines'> {
  const lines: string[] = [];
  const { rejects } = parseRuleLines(bytes, 'egress', now, {
    onEntry: (_line, _column, canonical) => void lines.push(canonical()),
  });
  return { lines, rejects };
}

/** The addresses of each qube that has one, from lines of `NAME|IP|IP6`. Throws CliError. */
function readAddresses(file: string): ReadonlyMap<string, readonly string[]> {
  const addresses = new Map<string, readonly string[]>();
  const text = Buffer.from(readInput(file, ADDRESSES_MAX_BYTES)).toString('utf8');
  for (const [index, line] of text.split('\n').entries()) {
    const [qube = '', ...fields] = line.trim().split('|');
    const said = fields.filter((field) => field !== NOTHING && field !== '');
    if (said.length === 0) continue;
    const own = said.map((field) => {
      const address = parseAddress(field);
      if (address === undefined)
        throw missing(`${shownName(file)}:${index + 1}: ${JSON.stringify(field)} is no address`);
      return formatAddress(address);
    });
    addresses.set(qube, own);
  }
  return addresses;
}

function missing(text: string): CliError {
  return new CliError(ExitCode.refused, 'bad-addresses', text);
}
