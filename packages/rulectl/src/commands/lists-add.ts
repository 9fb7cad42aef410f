/**
 * `rulectl lists add`: what the catalogue says of a feed, copied into the publisher's configuration. Nothing
 * but the lines of the new list changes there, and the file is checked before it is written.
 *
 *   key ─catalogue─▶ lines ─agreed─▶ file that is there, with them ─check─▶ written, or the lines are printed
 */

import {
  FORMAT_LIMITS,
  insertLines,
  mergeDocument,
  type PublisherConfig,
  parseConfig,
} from '@rulecast/formats';
import { isPartName, suggestion } from '@rulecast/rules';
import type { Argv } from 'yargs';
import { CATALOGUE, type CatalogueEntry, findKey } from '../catalogue/catalogue.ts';
import { type ConfigurationLines, configurationOf, documentOf, nameOf } from '../catalogue/configuration.ts';
import type { Expression } from '../catalogue/expression.ts';
import { planEdit, writeFiles } from '../init/files.ts';
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
  readonly json: boolean | undefined;
}

export function builder(yargs: Argv<object>): Argv<AddArgs> {
  return yargs
    .usage(
      "$0 lists add KEY [--as NAME]\n\nCopies an entry of the catalogue into the publisher's configuration: URL, format, interval and guards, with the key as a comment. All else in the file stays as it is. Shows the licence and whom to give credit, and asks where use is restricted. Where it may not write, it prints the lines, and ends with 2.",
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
    .option('yes', { type: 'boolean', describe: 'ask nothing: what is restricted is agreed to' })
    .option('json', { type: 'boolean', describe: 'what was added as JSON, the end last' })
    .example([
      ['$0 lists add spamhaus-drop', 'networks of criminals'],
      ['$0 lists add country:ru --as russia', 'a country'],
      ['$0 lists add company:google', 'a company'],
      ['$0 lists add dshield-top20 --yes', 'agrees to its terms'],
    ]);
}

export async function run(args: AddArgs, terminal: Terminal): Promise<ExitCode> {
  const found = foundFor(args.key);
  const name = args.as ?? nameOf(found);
  if (!isPartName(name)) throw usageError(`--as "${name}" is no name of a list`);
  const path = args.config ?? usualConfiguration();
  if (path === STDIN_NAME) throw usageError('--config -: name a file, which is changed');
  const made = configurationOf(found, name);
  const isJson = args.json === true;
  /** The end of what is not written: the lines, to be put there by hand. */
  const refused = (code: string, why: string): CliError => {
    const text = documentOf(made);
    if (isJson) terminal.out.json({ kind: 'lines', text });
    else terminal.out.line(text.trimEnd());
    return new CliError(ExitCode.refused, code, `${why}; nothing was written: the lines are above`);
  };
  const bytes = readConfiguration(path, refused);
  const config = checked(path, bytes, refused);
  const before = Buffer.from(bytes).toString();
  const isThere = config.lists?.has(name) === true || config.tables.has(name);
  if (isThere && mergeDocument(before, documentOf(made), new Set(['lists', 'tables'])) !== undefined)
    throw new CliError(
      ExitCode.refused,
      'name-taken',
      `${shownName(path)} has a ${name} that says something else; nothing was written: add --as NAME`,
    );
  if (!isThere) {
    await agree(found, args.yes === true, terminal);
    write(path, before, made, refused);
  }
  const state = isThere ? 'unchanged' : 'added';
  if (isJson) {
    terminal.out.json({ kind: 'list', state, name, config: path, entry: found });
    terminal.out.json({ kind: 'done', code: state, text: '', exit: ExitCode.ok });
  } else terminal.out.line(`${state}: ${name}, in ${shownName(path)}\n${afterwards(found, made, name)}`);
  return ExitCode.ok;
}

/** Throws CliError `refused` for a key that is none, and for a feed that has ended. */
function foundFor(key: string): CatalogueEntry | Expression {
  const found = findKey(key);
  if (found === undefined) {
    const near = suggestion(
      key,
      CATALOGUE.map((entry) => entry.key),
    );
    const text = `the catalogue has no ${shownName(key)}${near === '' ? ': rulectl lists search finds keys' : near}`;
    throw new CliError(ExitCode.refused, 'no-such-entry', text);
  }
  if ('status' in found && found.status === 'ended')
    throw new CliError(ExitCode.refused, 'ended', `${key} has ended. ${found.note ?? ''}`.trim());
  return found;
}

type Refused = (code: string, why: string) => CliError;

/** Throws what `refused` makes of a file that cannot be read. */
function readConfiguration(path: string, refused: Refused): Uint8Array {
  try {
    return readInput(path, FORMAT_LIMITS.documentBytes);
  } catch (error) {
    if (!(error instanceof CliError)) throw error;
    throw refused(error.code, `${error.message}, or name another with --config (rulectl init makes one)`);
  }
}

/** The configuration that a text says. Throws what `refused` makes of the first fault. */
function checked(path: string, bytes: Uint8Array, refused: Refused): PublisherConfig {
  const { config, rejects } = parseConfig(path, bytes);
  const [reject] = rejects;
  if (reject === undefined && config !== undefined) return config;
  const { line = 1, column = 1, code = 'bad-config', reason = 'it cannot be read' } = reject ?? {};
  throw refused(code, `${shownName(path)}:${line}:${column}: ${reason}`);
}

/** Throws CliError `refused` where use is restricted and nobody agrees to it. */
async function agree(
  found: CatalogueEntry | Expression,
  isAgreed: boolean,
  terminal: Terminal,
): Promise<void> {
  if ('says' in found || found.restricted === undefined || isAgreed) return;
  const { title, licence, restricted } = found;
  terminal.complain(`${title}\nlicence:    ${licence}\nrestricted: ${restricted}`);
  const answer = await terminal.confirm('Is your use within that?');
  if (answer === 'yes') return;
  const how = answer === 'nobody' ? ': --yes says that it is' : '';
  const text = `the use of ${found.key} is restricted (${restricted}), and nobody said that yours is within that${how}; nothing was written`;
  throw new CliError(ExitCode.refused, 'not-agreed', text);
}

function write(path: string, before: string, made: ConfigurationLines, refused: Refused): void {
  const text = insertLines(before, made.section, made.lines);
  if (text === undefined)
    throw refused(
      'in-braces',
      `${made.section}: of ${shownName(path)} is written in braces: write it in lines`,
    );
  checked(path, Buffer.from(text), refused);
  try {
    writeFiles([planEdit(path, before, text)]);
  } catch (error) {
    if (!(error instanceof CliError) || error.code !== 'cannot-write') throw error;
    const cause = error.cause instanceof Error ? error.cause.message : error.message;
    throw refused(error.code, `cannot write ${shownName(path)}: ${cause}: run this as who may`);
  }
}

/** What to know of it from now on. */
function afterwards(
  found: CatalogueEntry | Expression,
  { section }: ConfigurationLines,
  name: string,
): string {
  const about =
    'says' in found
      ? []
      : [
          `licence: ${found.licence}`,
          ...(found.restricted === undefined ? [] : [`restricted: ${found.restricted}`]),
          `credit: ${found.attribution}`,
          ...(found.note === undefined ? [] : [`note: ${found.note}`]),
        ];
  const use =
    section === 'tables'
      ? `Lists are cut from it: { table: ${name}, … }`
      : `Rules use it as dst=@${name}. rulectl lists show ${name} tells when the publisher has read it.`;
  return [...about, use].join('\n');
}
