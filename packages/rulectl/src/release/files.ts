/**
 * The files of a push: their options, and their content as sent to the publisher, both the files that the
 * user names and those that documents name.
 */

import { basename } from 'node:path';
import { detectFormat, type Format } from '@rulecast/formats/detect';
import { LIST_FORMATS, type ListFormatName } from '@rulecast/formats/format';
import { FILE_NAME_MAX_BYTES, type MessageOf, PUSH_FILES_MAX, PUSH_MAX_BYTES } from '@rulecast/protocol';
import { contentOf, SNIFF_BYTES } from '@rulecast/sources/magic';
import type { Argv } from 'yargs';
import { CliError, ExitCode, usageError } from '../terminal/exit.ts';
import { besideDocument, checkStdinOnce, readInput, STDIN_NAME, shownName } from '../terminal/input.ts';

/** Options about the files. */
export interface FileArgs extends NameArgs {
  readonly file?: readonly string[] | undefined;
  readonly list?: string | undefined;
  readonly policy?: string | undefined;
  readonly format?: ListFormatName | undefined;
}

/** Options for lists of names in them. */
export interface NameArgs {
  readonly resolve?: 'publisher' | 'firewall' | undefined;
  readonly subdomains?: boolean | undefined;
  readonly 'allow-public-suffixes'?: boolean | undefined;
}

/** Those of a command line that has more. */
export function nameArgsOf(args: NameArgs): NameArgs {
  const { resolve, subdomains } = args;
  return { resolve, subdomains, 'allow-public-suffixes': args['allow-public-suffixes'] };
}

/** The same, as PUSH carries it. */
export function nameFieldsOf(
  args: NameArgs,
): Pick<MessageOf<'push'>, 'resolve' | 'subdomains' | 'allowPublicSuffixes'> {
  return {
    resolve: args.resolve,
    subdomains: args.subdomains === true ? true : undefined,
    allowPublicSuffixes: args['allow-public-suffixes'] === true ? true : undefined,
  };
}

/** Adds the files and the options. */
export function withFileOptions<A>(yargs: Argv<A>): Argv<A & FileArgs> {
  return yargs
    .positional('file', { type: 'string', array: true, describe: 'files, also packed; - is standard input' })
    .option('list', { type: 'string', requiresArg: true, describe: 'the name of the list in list files' })
    .option('policy', {
      type: 'string',
      requiresArg: true,
      describe: 'the name of the policy in files of rule lines',
      defaultDescription: 'default',
    })
    .option('format', {
      choices: LIST_FORMATS.map(({ name }) => name),
      requiresArg: true,
      describe: 'the format of all files, which are lists; by default each is recognised by its content',
    })
    .option('resolve', {
      choices: ['publisher', 'firewall'] as const,
      requiresArg: true,
      describe: 'who resolves the names in list files for rules; by default as before, or nobody',
    })
    .option('subdomains', {
      type: 'boolean',
      describe: 'a bare name in list files also means every name below it',
    })
    .option('allow-public-suffixes', {
      type: 'boolean',
      describe: 'allow entries of list files that cover a whole public suffix, such as com',
    });
}

/** The name of a list from standard input while none is needed. */
const STDIN_LIST = 'standard-input';

export interface PushFile {
  /** The name sent to the publisher. */
  readonly name: string;
  readonly role: 'pushed' | 'referenced';
  /** Its path, for messages. */
  readonly path: string;
  readonly bytes: Uint8Array;
}

/**
 * Reads the files, unpacked as for a source, and those that documents name. For `look`, a list from standard
 * input needs no name, and a missing file is left out, for the document's check to report. For `compare`,
 * documents may be combined with --list and --policy, which select the shown parts. `isOther` recognises
 * files that are no part of a push, and takes them. Throws CliError `refused` and `usage`.
 */
export async function readPushFiles(
  args: Partial<FileArgs>,
  purpose: 'push' | 'look' | 'compare',
  isOther: (file: Omit<PushFile, 'role'>) => boolean = () => false,
): Promise<readonly PushFile[]> {
  const names = args.file ?? [];
  checkStdinOnce(names);
  const pushed: PushFile[] = [];
  const referenced = new Map<string, PushFile>();
  const formats = new Set<Format>();
  let left = PUSH_MAX_BYTES;
  const given: Omit<PushFile, 'role'>[] = [];
  for (const name of names) {
    const files = await unpacked(name, readInput(name, left), left);
    left -= files.reduce((sum, { bytes }) => sum + bytes.length, 0);
    given.push(...files.filter((file) => !isOther(file)));
  }
  for (const { name, path, bytes } of given) {
    const format = args.format === undefined ? detectFormat(name, bytes) : 'list';
    formats.add(format);
    const isNameless = name === STDIN_NAME && format === 'list' && args.list === undefined;
    if (isNameless && purpose !== 'look') {
      throw usageError('standard input holds a list, which needs a name: add --list NAME');
    }
    pushed.push({ name: isNameless ? STDIN_LIST : name, role: 'pushed', path, bytes });
    if (format === 'document') left = await readReferences(path, bytes, referenced, left, purpose);
  }
  const isStrict = purpose !== 'compare';
  if (isStrict && args.list !== undefined && !formats.has('list')) {
    throw usageError('--list names the list that list files are about, and none of the files is a list');
  }
  if (isStrict && args.policy !== undefined && !formats.has('rules')) {
    throw usageError(
      '--policy names the policy that files of rule lines are about, and none of the files holds rule lines',
    );
  }
  const files = [...pushed, ...referenced.values()];
  checkFiles(files);
  return files;
}

/** A file, or the files in one that is packed. Throws CliError `refused`. */
async function unpacked(
  path: string,
  bytes: Uint8Array,
  maxBytes: number,
): Promise<readonly Omit<PushFile, 'role'>[]> {
  if (contentOf(bytes.subarray(0, SNIFF_BYTES)).kind === 'plain') return [{ name: path, path, bytes }];
  const { LIST_MEMBERS, UnpackError, unpack } = await import('@rulecast/sources/unpack');
  try {
    const limits = { members: LIST_MEMBERS, maxBytes, maxMembers: PUSH_FILES_MAX };
    const members = await unpack(path, bytes, limits);
    return members.map(({ archive, ...file }) => ({
      ...file,
      path: archive ? `${path}/${file.name}` : path,
    }));
  } catch (error) {
    if (!(error instanceof UnpackError)) throw error;
    throw new CliError(ExitCode.refused, error.code, shownName(error.message), { cause: error });
  }
}

/** Adds what a document names to `referenced`; returns how many bytes may follow. */
async function readReferences(
  document: string,
  bytes: Uint8Array,
  referenced: Map<string, PushFile>,
  maxBytes: number,
  purpose: 'push' | 'look' | 'compare',
): Promise<number> {
  const { documentReferences } = await import('@rulecast/formats/references'); // lists are pushed without YAML
  let left = maxBytes;
  for (const name of documentReferences(document, bytes)) {
    const path = besideDocument(document, name);
    const earlier = referenced.get(name);
    if (earlier !== undefined) {
      if (earlier.path === path) continue;
      const text = `two documents name a file ${shownName(name)}, which is ${shownName(earlier.path)} for one and ${shownName(path)} for ${shownName(document)}: push the documents one after the other, or rename a file`;
      throw new CliError(ExitCode.refused, 'ambiguous-reference', text);
    }
    const packed = readReference(document, path, left, purpose);
    if (packed === undefined) continue;
    const [{ bytes: content } = { bytes: packed }, second] = await unpacked(path, packed, left);
    if (second !== undefined) {
      const text = `${shownName(document)} names ${shownName(path)}, which is an archive of several files: name one list`;
      throw new CliError(ExitCode.refused, 'several-files', text);
    }
    left -= content.length;
    referenced.set(name, { name, role: 'referenced', path, bytes: content });
  }
  return left;
}

function readReference(
  document: string,
  path: string,
  maxBytes: number,
  purpose: 'push' | 'look' | 'compare',
): Uint8Array | undefined {
  try {
    return readInput(path, maxBytes);
  } catch (error) {
    if (!(error instanceof CliError)) throw error;
    if (purpose === 'look' && error.code === 'missing-file') return undefined;
    const text = `${shownName(document)} names a file that cannot be sent: ${error.message}`;
    throw new CliError(error.exit, error.code, text, { cause: error });
  }
}

/** Refuses files that the protocol cannot carry, before anything is sent. */
function checkFiles(files: readonly PushFile[]): void {
  if (files.length > PUSH_FILES_MAX) {
    const text = `${files.length} files, those that documents name included; one push takes ${PUSH_FILES_MAX}`;
    throw new CliError(ExitCode.refused, 'too-many-files', text);
  }
  for (const { name } of files) {
    const isCarried = Buffer.byteLength(name) <= FILE_NAME_MAX_BYTES && !/[\p{Cc}\p{Cs}]/u.test(name);
    if (isCarried) continue;
    const text = `the file name ${shownName(basename(name))} is too long or holds control characters: rename the file`;
    throw new CliError(ExitCode.refused, 'bad-file-name', text);
  }
}
