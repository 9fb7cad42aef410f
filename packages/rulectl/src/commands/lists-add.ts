/**
 * `rulectl lists add`: copies a feed of the catalogue into the publisher's configuration. Only the lines of
 * the new list are added, and the file is checked before it is written.
 *
 *   key ─catalogue─▶ lines ─agreed─▶ file that is there, with them ─check─▶ written, or the lines are printed
 */

import { FORMAT_LIMITS, insertLines, mergeDocument } from '@rulecast/formats';
import { isPartName, suggestion } from '@rulecast/rules';
import type { Argv } from 'yargs';
import { CATALOGUE, type CatalogueEntry, findKey } from '../catalogue/catalogue.ts';
import { type ConfigurationLines, configurationOf, documentOf, nameOf } from '../catalogue/configuration.ts';
import type { Expression } from '../catalogue/expression.ts';
import { planEdit, soundConfiguration, writeFiles } from '../init/files.ts';
import { usualConfiguration } from '../init/places.ts';
import { CliError, ExitCode, usageError } from '../terminal/exit.ts';
import { readInput, STDIN_NAME, shownName } from '../terminal/input.ts';
import type { Terminal } from '../terminal/terminal.ts';

export const command = 'lists-add <key>';

export interface AddArgs {
  readonly key: string;
  readonly as: string | undefined;
  readonly config: string | undefined;
  readonly yes: boolean | undefined;
}

export function builder(yargs: Argv<object>): Argv<AddArgs> {
  return yargs
    .usage(
      "$0 lists add KEY [--as NAME]\n\nCopies an entry of the catalogue into the publisher's configuration: URL, format, interval and guards, with the key as a comment. All else in the file stays as it is. Shows the licence and who wants credit, and asks if use is restricted. If it may not write the file, it prints the lines, and ends with 2.",
    )
    .positional('key', {
      type: 'string',
      demandOption: true,
      describe: 'of rulectl lists search, or country:CC, asn:NUMBER or company:NAME',
    })
    .option('as', { type: 'string', requiresArg: true, describe: 'the name of the list; without, the key' })
    .option('config', {
      type: 'string',
      requiresArg: true,
      describe: 'the configuration',
      defaultDescription: '/etc/rulecast/publisher.yaml for root, else publisher.yaml here',
    })
    .option('yes', { type: 'boolean', describe: 'ask nothing, and agree to restricted licences' })
    .example([
      ['$0 lists add spamhaus-drop', 'networks of criminals'],
      ['$0 lists add country:ru --as russia', 'a country'],
      ['$0 lists add company:google', 'a company'],
      ['$0 lists add dshield-top20 --yes', 'agrees to its terms'],
    ]);
}

/** Errors after which the lines for publisher.yaml are not printed, as nobody should copy them. */
const WITHOUT_LINES: ReadonlySet<string> = new Set(['name-taken', 'not-agreed']);

export async function run(args: AddArgs, terminal: Terminal): Promise<ExitCode> {
  const found = foundFor(args.key);
  const name = args.as ?? nameOf(found);
  if (!isPartName(name)) throw usageError(`--as "${name}" is no name of a list`);
  const path = args.config ?? usualConfiguration();
  if (path === STDIN_NAME) throw usageError('--config -: name a file, which is changed');
  const made = configurationOf(found, name);
  try {
    const isAdded = await put(made, name, path, () => agree(found, args.yes === true, terminal));
    const state = isAdded ? 'added' : 'unchanged';
    const lines = [`${state}: ${name}, in ${shownName(path)}`, ...termsOf(found), useOf(made, name)];
    terminal.record({ kind: 'added', state, name, config: path, feed: found });
    terminal.endsWith(state);
    if (!terminal.isJson) terminal.out.line(lines.join('\n'));
    return ExitCode.ok;
  } catch (error) {
    if (!(error instanceof CliError) || WITHOUT_LINES.has(error.code)) throw error;
    terminal.out.line(documentOf(made).trimEnd());
    const { code, cause } = error;
    // The advice of rulectl init does not apply here.
    const reason =
      code === 'cannot-write' && cause instanceof Error ? `cannot write: ${cause.message}` : error.message;
    const why = `${reason}; nothing was written: the lines are above, and --config names another file`;
    throw new CliError(ExitCode.refused, code, why, { cause: error });
  }
}

/** Throws CliError `refused` for a key that is none, and for a feed that has ended. */
function foundFor(key: string): CatalogueEntry | Expression {
  const found = findKey(key);
  if (found === undefined) {
    const keys = CATALOGUE.map((entry) => entry.key);
    const near = suggestion(key, keys) || ': rulectl lists search finds keys';
    throw new CliError(ExitCode.refused, 'no-such-entry', `the catalogue has no ${shownName(key)}${near}`);
  }
  if ('status' in found && found.status === 'ended')
    throw new CliError(ExitCode.refused, 'ended', `${key} has ended. ${found.note ?? ''}`.trim());
  return found;
}

/** Puts the lines into the file; false: it says that already. Throws CliError `refused`. */
async function put(
  made: ConfigurationLines,
  name: string,
  path: string,
  agreed: () => Promise<void>,
): Promise<boolean> {
  const bytes = readInput(path, FORMAT_LIMITS.documentBytes);
  const config = soundConfiguration(path, bytes);
  const before = Buffer.from(bytes).toString();
  if (config.lists?.has(name) === true || config.tables.has(name)) {
    const isSame = mergeDocument(before, documentOf(made), new Set(['lists', 'tables'])) === undefined;
    if (isSame) return false;
    const text = `${shownName(path)} has a ${name} that says something else; nothing was written: add --as NAME`;
    throw new CliError(ExitCode.refused, 'name-taken', text);
  }
  await agreed();
  const text = insertLines(before, made.section, made.lines);
  if (text === undefined) {
    const why = `${made.section}: of ${shownName(path)} is written in braces: write it in lines`;
    throw new CliError(ExitCode.refused, 'in-braces', why);
  }
  soundConfiguration(path, Buffer.from(text));
  writeFiles([planEdit(path, before, text)]);
  return true;
}

/** Throws CliError `refused` if use is restricted and the user does not agree. */
async function agree(
  found: CatalogueEntry | Expression,
  isAgreed: boolean,
  terminal: Terminal,
): Promise<void> {
  if ('says' in found || found.restricted === undefined || isAgreed) return;
  terminal.complain([found.title, ...termsOf(found)].join('\n'));
  const answer = await terminal.confirm('Is your use within that?');
  if (answer === 'yes') return;
  const how = answer === 'nobody' ? ': --yes says that it is' : '';
  const text = `the use of ${found.key} is restricted (${found.restricted}), and nobody said that yours is within that${how}; nothing was written`;
  throw new CliError(ExitCode.refused, 'not-agreed', text);
}

function termsOf(found: CatalogueEntry | Expression): readonly string[] {
  if ('says' in found) return [];
  const { licence, restricted, attribution: credit, note } = found;
  return Object.entries({ licence, restricted, credit, note }).flatMap(([label, text]) =>
    text === undefined ? [] : [`${label}: ${text}`],
  );
}

function useOf({ section }: ConfigurationLines, name: string): string {
  if (section === 'tables')
    return `Lists are cut from it: { table: ${name}, … }, and those of its kind that name no table.`;
  return `Rules use it as dst=@${name}. rulectl lists show ${name} tells when the publisher has read it.`;
}
