/**
 * `rulectl keys`: shows and changes the keys that may sign. Works on files, without a publisher: a root is
 * signed where its key is, which may be another machine than that of releases.
 *
 *   rotate, revoke, renew ─▶ next root ─signed here─▶ identity
 *                                └─▶ root-N.draft ─sign, elsewhere─▶ install ─▶ identity
 */

import { realpathSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join, sep } from 'node:path';
import { readSmallFile, stateHome } from '@rulecast/program';
import {
  freshKey,
  type Identity,
  IdentityError,
  readIdentity,
  readRootKey,
  readSecrets,
  removeSecrets,
  replaceFile,
  replaceIdentity,
  rootKeyBeside,
  rootKeyFileOf,
  writeRootKey,
  writeSecrets,
} from '@rulecast/program/identity';
import { idOf, nextRoot, type RootChange } from '@rulecast/program/next-root';
import { freshReportKey, readReportKey, writeReportKey } from '@rulecast/program/report-key';
import {
  dateText,
  encodeRoot,
  formatRoots,
  formatTrust,
  hexOf,
  joinSignatures,
  ProtocolError,
  parseRoots,
  publicBytes,
  ROLES,
  type RoleName,
  type Root,
  readRoot,
  type Signed,
  type SignedRoot,
  signBytes,
  signersIn,
  tokenOf,
  withRoot,
} from '@rulecast/protocol';
import { isPartName } from '@rulecast/rules';
import type { Argv } from 'yargs';
import { CliError, ExitCode, usageError } from '../terminal/exit.ts';
import type { JsonRecord } from '../terminal/records.ts';
import type { Terminal } from '../terminal/terminal.ts';

export const command = 'keys <action> [what..]';

const ACTIONS = [
  ...['new', 'init', 'show', 'rotate', 'renew', 'revoke', 'sign', 'install'],
  ...['fleet', 'token'],
] as const;
/** The actions that make the next root, and the options that only they have. */
const CHANGES: readonly KeysArgs['action'][] = ['rotate', 'renew', 'revoke'];
const CHANGE_OPTIONS = ['epochs', 'refresh-by', 'draft'] as const;
const TOKEN_OPTIONS = ['secret', 'names', 'to', 'relay'] as const;
/** A file with a million names. */
const NAMES_MAX_BYTES = 64 * 2 ** 20;
/** A file with two roots, each of at most 5 kB in base64. */
const DRAFT_MAX_BYTES = 65_536;
/** The default validity of `renew`. */
const RENEWED_FOR = '90d';
const DAYS_MAX = 3650;
const DAY_SECONDS = 86_400;

export interface KeysArgs {
  readonly action: (typeof ACTIONS)[number];
  readonly what: readonly string[];
  readonly identity: string | undefined;
  readonly 'root-key': string | undefined;
  readonly lineage: string | undefined;
  readonly threshold: string | undefined;
  readonly epochs: string | undefined;
  readonly 'refresh-by': string | undefined;
  readonly draft: string | undefined;
  readonly secret: string | undefined;
  readonly names: string | undefined;
  readonly to: string | undefined;
  readonly relay: boolean | undefined;
}

export function builder(yargs: Argv<object>): Argv<KeysArgs> {
  return yargs
    .usage(
      '$0 keys ACTION\n\nShows the root of a publisher, and makes the next one. A root says which keys may sign roots, releases and freshness, and how many epochs there may be; the root keys of both sign the next. The publisher reads it at its next start, and sends it to firewalls.\n\n' +
        '  new FILE        makes a key for zmq+tcp: endpoints, if FILE has none, and prints its public key\n' +
        '  init FILE       makes a key that signs roots, for one person to keep\n' +
        '  show [FILE]     the root in force, or that of a draft and who has signed it\n' +
        '  rotate          new keys of the publisher, for releases and freshness\n' +
        '  rotate root KEY…   other keys that sign roots, by what init printed\n' +
        '  renew           the same keys, with a later date, where rotate --refresh-by gave one\n' +
        '  revoke ID       takes every role from a key\n' +
        '  sign FILE       signs a draft with a root key, wherever that is kept\n' +
        '  install FILE    puts a draft in force that enough keys have signed\n' +
        '  fleet FILE      makes the secret of the firewalls that report, for fleet: in the configuration\n' +
        '  token NAME      prints the token by which a firewall reports, or with --relay a relay',
    )
    .positional('action', { choices: ACTIONS, demandOption: true, describe: 'what to do' })
    .positional('what', {
      type: 'string',
      array: true,
      default: [] as string[],
      describe: 'a role, a key id, or a file',
    })
    .option('identity', {
      type: 'string',
      requiresArg: true,
      describe: 'identity file of the publisher; by default that of the default state',
    })
    .option('root-key', {
      type: 'string',
      requiresArg: true,
      describe: 'file of the key that signs roots; by default the one beside the identity',
    })
    .option('lineage', {
      type: 'string',
      requiresArg: true,
      describe: 'init, token: the lineage of the publisher, as keys show prints it',
    })
    .option('threshold', {
      type: 'string',
      requiresArg: true,
      describe: 'rotate root: how many of the keys must sign; by default all',
    })
    .option('epochs', {
      type: 'string',
      requiresArg: true,
      describe: 'rotate, renew, revoke: the last epoch that the root allows',
    })
    .option('refresh-by', {
      type: 'string',
      requiresArg: true,
      describe:
        'rotate, renew, revoke: days until the next root is due, as 90d, or never. Firewalls warn before, and those with --stale closed drop everything after it',
    })
    .option('draft', {
      type: 'string',
      requiresArg: true,
      describe: 'rotate, renew, revoke: write the next root to this file, for signing elsewhere',
    })
    .option('secret', { type: 'string', requiresArg: true, describe: 'token: the file that keys fleet made' })
    .option('names', {
      type: 'string',
      requiresArg: true,
      describe: 'token: a file of names, one a line; each gets a file in the directory of --to',
    })
    .option('to', { type: 'string', requiresArg: true, describe: 'token: the directory of NAME.token files' })
    .option('relay', {
      type: 'boolean',
      describe: 'token: for a rulecast-relay, which reports for all firewalls behind it',
    })
    .example([
      ['$0 keys show', 'who may sign now'],
      ['$0 keys rotate', 'a new key for releases: what the old one signed counts no more'],
      ['$0 keys rotate --refresh-by 90d --root-key vault/root.key', 'likewise, to be renewed in time'],
      ['$0 keys rotate --draft next.draft', 'where the root key is elsewhere'],
      ['$0 keys sign next.draft --root-key root.key', 'there'],
      ['$0 keys install next.draft', 'and back again'],
      ['$0 keys new publisher.key > publisher.pub', 'for --curve-key publisher.key, and its other end'],
      ['$0 keys token fw-17 --secret fleet.key > fw-17.token', 'for --report-token fw-17.token there'],
    ]);
}

export async function run(args: KeysArgs, terminal: Terminal): Promise<ExitCode> {
  const stray = CHANGE_OPTIONS.find((option) => args[option] !== undefined);
  if (stray !== undefined && !CHANGES.includes(args.action))
    throw usageError(`--${stray} goes with ${CHANGES.join(', ')}: ${args.action} changes no root`);
  const idle = TOKEN_OPTIONS.find((option) => args[option] !== undefined);
  if (idle !== undefined && args.action !== 'token') throw usageError(`--${idle} goes with token`);
  try {
    switch (args.action) {
      case 'new':
        return await makeCurveKey(args, terminal);
      case 'init':
        return init(args, terminal);
      case 'show':
        return show(args, terminal);
      case 'rotate':
        return rotate(args, terminal);
      case 'renew':
        return renew(args, terminal);
      case 'revoke':
        return revoke(args, terminal);
      case 'sign':
        return sign(args, terminal);
      case 'install':
        return install(args, terminal);
      case 'fleet':
        writeReportKey(oneFile(args, 'fleet'), freshReportKey());
        return ExitCode.ok;
      case 'token':
        return token(args, terminal);
    }
  } catch (error) {
    if (error instanceof IdentityError || error instanceof RangeError || error instanceof ProtocolError)
      throw new CliError(ExitCode.refused, 'keys', error.message, { cause: error });
    throw error;
  }
}

// ── new ────────────────────────────────────────────────────────────────────────────────────────────────────

/** The key by which an end of a ZeroMQ connection knows itself; a file that is there already is left. */
async function makeCurveKey(args: KeysArgs, terminal: Terminal): Promise<ExitCode> {
  const file = oneFile(args, 'new');
  const { EndpointError, openCurveKeyPair } = await import('@rulecast/vchan'); // roots need no channels
  try {
    tellKey(openCurveKeyPair(file).publicKey, terminal);
    return ExitCode.ok;
  } catch (error) {
    if (!(error instanceof EndpointError)) throw error;
    throw new CliError(ExitCode.refused, error.code.replace('_', '-'), error.message, { cause: error });
  }
}

// ── init ───────────────────────────────────────────────────────────────────────────────────────────────────

function init(args: KeysArgs, terminal: Terminal): ExitCode {
  const file = oneFile(args, 'init');
  const key = freshKey();
  writeRootKey(file, lineageIn(args, 'init'), key);
  tellKey(hexOf(publicBytes(key)), terminal);
  return ExitCode.ok;
}

function tellKey(publicKey: string, terminal: Terminal): void {
  terminal.record({ kind: 'key', publicKey });
  if (!terminal.isJson) terminal.out.line(publicKey);
}

function lineageIn({ lineage = '' }: KeysArgs, action: string): Uint8Array {
  if (/^[0-9a-f]{32}$/.test(lineage)) return new Uint8Array(Buffer.from(lineage, 'hex'));
  throw usageError(`${action} needs --lineage: the 32 hexadecimal digits that rulectl keys show prints`);
}

// ── token ──────────────────────────────────────────────────────────────────────────────────────────────────

/** Prints the token of a name, or writes those of many to files. Each is computed from secret and name. */
function token(args: KeysArgs, terminal: Terminal): ExitCode {
  const { secret: file, names: list, to: directory } = args;
  if (file === undefined) throw usageError('token needs --secret FILE, which rulectl keys fleet makes');
  if ((list === undefined) !== (directory === undefined))
    throw usageError('--names FILE and --to DIR go together');
  if (list !== undefined && args.what.length > 0) throw usageError('token takes a NAME, or --names FILE');
  const secret = readReportKey(file);
  const lineage =
    args.lineage === undefined ? identityAt(pathOf(args, terminal)).lineage : lineageIn(args, 'token');
  const tokenFor = (name: string): Uint8Array => {
    if (isPartName(name)) return tokenOf(secret, lineage, name, args.relay === true);
    throw usageError(`"${name}" is no name: 1 to 63 of A-Z a-z 0-9 . _ -, the first a letter or digit`);
  };
  if (list === undefined || directory === undefined) {
    const token = hexOf(tokenFor(oneFile(args, 'token')));
    terminal.record({ kind: 'token', token });
    if (!terminal.isJson) terminal.out.line(token);
    return ExitCode.ok;
  }
  const names = textIn(list, NAMES_MAX_BYTES)
    .split('\n')
    .filter((name) => name !== '');
  const tokens = names.map((name) => [join(directory, `${name}.token`), tokenFor(name)] as const);
  for (const [path, key] of tokens) writeReportKey(path, key);
  return ExitCode.ok;
}

// ── show ───────────────────────────────────────────────────────────────────────────────────────────────────

function show(args: KeysArgs, terminal: Terminal): ExitCode {
  if (args.what.length > 0) {
    const draft = readDraft(oneFile(args, 'show'));
    tellRoot(draft.root, new Set(), signersIn(draft.signatures), terminal);
    return ExitCode.ok;
  }
  const path = pathOf(args, terminal);
  const identity = identityAt(path);
  const here = new Set(identity.keys.map((key) => idOf(publicBytes(key))));
  const trust = formatTrust(identity);
  tellRoot(identity.root, here, [], terminal, { trust, hasRootKey: identity.hasRootKey });
  if (terminal.isJson) return ExitCode.ok;
  terminal.out.line(`trust line: ${trust}`);
  const file = rootKeyBeside(path, identity.lineage);
  if (file !== undefined) {
    terminal.out.line(`the key that signs roots lies here: move ${file} to a vault, and keep a copy`);
  }
  return ExitCode.ok;
}

function tellRoot(
  root: Root,
  here: ReadonlySet<string>,
  signers: readonly string[],
  terminal: Terminal,
  more = {},
): void {
  if (terminal.isJson) terminal.record({ ...recordOf(root, here, signers), ...more });
  else for (const line of linesOf(root, here, signers)) terminal.out.line(line);
}

/** The same as linesOf, for programs. */
function recordOf(root: Root, here: ReadonlySet<string>, signers: readonly string[]): JsonRecord {
  const roleOf = (name: RoleName): object => {
    const { threshold, keys } = root.roles[name];
    const shown = keys.map(idOf).map((id) => ({ id, isHere: here.has(id), hasSigned: signers.includes(id) }));
    return { threshold, keys: shown };
  };
  const { number, epochFloor, epochCeiling, refreshBy } = root;
  const roles = Object.fromEntries(ROLES.map((name) => [name, roleOf(name)]));
  return { kind: 'root', number, lineage: hexOf(root.lineage), epochFloor, epochCeiling, refreshBy, roles };
}

function linesOf(root: Root, here: ReadonlySet<string>, signers: readonly string[]): readonly string[] {
  const roles = ROLES.map((name) => {
    const { threshold, keys } = root.roles[name];
    const shown = keys.map((key) => {
      const id = idOf(key);
      const notes = [...(here.has(id) ? ['here'] : []), ...(signers.includes(id) ? ['has signed'] : [])];
      return notes.length === 0 ? id : `${id} (${notes.join(', ')})`;
    });
    return `${name.padEnd(9)} ${threshold} of ${keys.length}: ${shown.join(', ')}`;
  });
  const head = `root ${root.number} of lineage ${hexOf(root.lineage)}, epochs ${root.epochFloor} to ${root.epochCeiling}`;
  const date = root.refreshBy === undefined ? [] : [`to be renewed by ${dateText(root.refreshBy)}`];
  return [head, ...date, ...roles];
}

// ── rotate, renew, revoke ──────────────────────────────────────────────────────────────────────────────────

const NO_CHANGE: RootChange = { add: {}, remove: [], thresholds: {}, epochCeiling: undefined };

function rotate(args: KeysArgs, terminal: Terminal): ExitCode {
  const [role, ...given] = args.what;
  const { root, keys } = identityAt(pathOf(args, terminal));
  const refreshBy = dateOf(args['refresh-by'], terminal);
  if (role === 'root') return rotateRoot(args, terminal, root, given, refreshBy);
  if (role !== undefined) throw usageError('rotate, or rotate root KEY…');
  if (args.threshold !== undefined) throw usageError('--threshold goes with rotate root KEY…');
  const own = keys.map((key) => idOf(publicBytes(key)));
  const [release, freshness] = [freshKey(), freshKey()];
  const add = { release: [publicBytes(release)], freshness: [publicBytes(freshness)] };
  return change(args, terminal, { ...NO_CHANGE, add, remove: own, refreshBy }, [release, freshness]);
}

/** The same root with a later date. */
function renew(args: KeysArgs, terminal: Terminal): ExitCode {
  if (args.what.length > 0) throw usageError('renew takes no role, key or file: give it options only');
  const { number, refreshBy: before } = identityAt(pathOf(args, terminal)).root;
  if (before === undefined)
    throw new RangeError(
      `root ${number} has no date: rulectl keys rotate --refresh-by 90d gives the next one`,
    );
  const refreshBy = dateOf(args['refresh-by'] ?? RENEWED_FOR, terminal);
  if (typeof refreshBy === 'number' && refreshBy <= before)
    throw new RangeError(`root ${number} is to be renewed by ${dateText(before)}: say a later date`);
  return change(args, terminal, { ...NO_CHANGE, refreshBy }, []);
}

function dateOf(text: string | undefined, terminal: Terminal): RootChange['refreshBy'] {
  if (text === undefined || text === 'never') return text;
  const days = Number(/^(\d{1,4})d$/.exec(text)?.[1] ?? 0);
  if (days < 1 || days > DAYS_MAX)
    throw usageError(
      `--refresh-by takes no ${text}: write days from now, 1d to ${DAYS_MAX}d, or never for no date`,
    );
  return Math.floor(terminal.nowMs() / 1000) + days * DAY_SECONDS;
}

function revoke(args: KeysArgs, terminal: Terminal): ExitCode {
  if (args.what.length === 0)
    throw usageError(
      'revoke needs the ids of the keys that lose their roles, as rulectl keys show prints them',
    );
  const refreshBy = dateOf(args['refresh-by'], terminal);
  return change(args, terminal, { ...NO_CHANGE, remove: args.what, refreshBy }, []);
}

function rotateRoot(
  args: KeysArgs,
  terminal: Terminal,
  root: Root,
  given: readonly string[],
  refreshBy: RootChange['refreshBy'],
): ExitCode {
  const keys = given.map((text) => {
    if (!/^[0-9a-f]{64}$/.test(text))
      throw usageError(`${text} is no public key: rulectl keys init prints one, of 64 hexadecimal digits`);
    return new Uint8Array(Buffer.from(text, 'hex'));
  });
  if (keys.length === 0)
    throw usageError(
      'rotate root needs the public keys that will sign roots, as rulectl keys init prints them',
    );
  const threshold = args.threshold === undefined ? keys.length : numberIn(args.threshold, '--threshold');
  const remove = root.roles.root.keys.map(idOf);
  const add = { root: keys };
  return change(
    args,
    terminal,
    { ...NO_CHANGE, add, remove, thresholds: { root: threshold }, refreshBy },
    [],
  );
}

/** The next root, with new secrets of the publisher. */
function change(args: KeysArgs, terminal: Terminal, asked: RootChange, secrets: Identity['keys']): ExitCode {
  const path = pathOf(args, terminal);
  const before = identityAt(path);
  const root = nextRoot(before.root, {
    ...asked,
    epochCeiling: args.epochs === undefined ? undefined : numberIn(args.epochs, '--epochs'),
  });
  checkDate(root, terminal);
  const content = encodeRoot(root);
  const keys = [...before.keys, ...secrets].filter((key) => isNamed(root, publicBytes(key)));
  const last = before.roots.at(-1);
  if (last === undefined) throw new Error('an identity without a root');
  const rootKeyFile = args['root-key'] ?? rootKeyFileOf(path, before.lineage);
  checkApart(root, { ...before, path, keys }, args.draft === undefined ? rootKeyFile : undefined);
  if (args.draft !== undefined) {
    const signatures = signBytes(content); // none yet
    writeSecrets(nextFileOf(path), keys);
    replaceFile(args.draft, formatRoots([last, { signatures, content }]));
    terminal.record({ kind: 'draft', number: root.number, file: args.draft });
    if (!terminal.isJson)
      terminal.out.line(
        `wrote root ${root.number} to ${args.draft}: have it signed (rulectl keys sign), then rulectl keys install ${args.draft}`,
      );
    return ExitCode.ok;
  }
  const rootKey = readRootKey(rootKeyFile);
  const next = readRoot({ signatures: signBytes(content, rootKey.key), content });
  return putInForce(path, { ...before, keys, roots: withRoot(before.roots, next) }, next, terminal);
}

/** The publisher's files and keys, once the next root is in force. */
interface PublisherPlace extends Pick<Identity, 'lineage' | 'keys'> {
  /** The path of the identity file. */
  readonly path: string;
}

/** A root that is overdue from the start would close firewalls. */
function checkDate({ number, refreshBy }: Root, terminal: Terminal): void {
  if (refreshBy !== undefined && refreshBy * 1000 <= terminal.nowMs())
    throw new RangeError(`root ${number} would be overdue at once: say --refresh-by 90d`);
}

/** A thief who finds the root key beside the other keys renews the root himself: no date stops him. */
function checkApart(next: Root, place: PublisherPlace, rootKeyFile: string | undefined): void {
  if (next.refreshBy === undefined) return;
  const online = onlineRootKey(next, place, rootKeyFile);
  if (online === undefined) return;
  throw new IdentityError(
    `a key that signs roots lies with the publisher, in ${online}: its thief could renew the root as well. Move it to a vault (docs/how-to/keys.md) before you give the root a date; --refresh-by never takes the date out`,
  );
}

/** The file among the publisher's with a key that signs roots, if there is one. */
function onlineRootKey(
  { roles }: Root,
  { path, lineage, keys }: PublisherPlace,
  rootKeyFile: string | undefined,
): string | undefined {
  const beside = rootKeyBeside(path, lineage);
  if (beside !== undefined) return beside;
  const isRootKey = (own: Uint8Array): boolean => roles.root.keys.some((key) => isSame(key, own));
  if (keys.some((key) => isRootKey(publicBytes(key)))) return path;
  return rootKeyFile !== undefined && isBelow(rootKeyFile, dirname(path)) ? rootKeyFile : undefined;
}

/** Whether a file lies in a directory, whatever links lead there. */
function isBelow(file: string, directory: string): boolean {
  try {
    return realpathSync(file).startsWith(`${realpathSync(directory)}${sep}`);
  } catch {
    return false; // there is no such file; reading the key reports that
  }
}

function putInForce(
  path: string,
  after: Pick<Identity, 'lineage' | 'keys' | 'roots'>,
  next: SignedRoot,
  terminal: Terminal,
): ExitCode {
  replaceIdentity(path, after);
  const here = new Set(after.keys.map((key) => idOf(publicBytes(key))));
  tellRoot(next.root, here, [], terminal);
  if (!terminal.isJson)
    terminal.out.line('restart the publisher: it reads the new root, and sends it to the firewalls');
  return ExitCode.ok;
}

// ── sign, install ──────────────────────────────────────────────────────────────────────────────────────────

function sign(args: KeysArgs, terminal: Terminal): ExitCode {
  const file = oneFile(args, 'sign');
  const rootKeyFile = args['root-key'];
  if (rootKeyFile === undefined) throw usageError('sign needs --root-key FILE');
  const { before, root, signatures, content } = readDraft(file);
  const { key, lineage } = readRootKey(rootKeyFile);
  if (hexOf(lineage) !== hexOf(root.lineage))
    throw new RangeError(`${rootKeyFile} is of another lineage than ${file}`);
  const joined = joinSignatures(signatures, signBytes(content, key));
  replaceFile(file, formatRoots([before, { signatures: joined, content }]));
  tellRoot(root, new Set(), signersIn(joined), terminal);
  return ExitCode.ok;
}

function install(args: KeysArgs, terminal: Terminal): ExitCode {
  const file = oneFile(args, 'install');
  const path = pathOf(args, terminal);
  const before = identityAt(path);
  const draft = readDraft(file);
  const next = readRoot(draft);
  const secrets = readSecrets(nextFileOf(path));
  const keys = [...before.keys, ...secrets].filter((key, i, all) => {
    const own = publicBytes(key);
    return isNamed(next.root, own) && all.findIndex((other) => isSame(publicBytes(other), own)) === i;
  });
  checkApart(next.root, { ...before, path, keys }, undefined);
  const code = putInForce(path, { ...before, keys, roots: withRoot(before.roots, next) }, next, terminal);
  removeSecrets(nextFileOf(path));
  return code;
}

/** A root (the document that names the keys) that is to be signed, and the one before it. */
interface Draft extends Signed {
  readonly before: Signed;
  readonly root: Root;
}

function readDraft(file: string): Draft {
  const [before, signed, ...others] = parseRoots(textIn(file)) ?? [];
  if (before === undefined || signed === undefined || others.length > 0)
    throw new IdentityError(`${file} is no draft of a root: rulectl keys rotate --draft makes one`);
  return { before, ...signed, root: readRoot(signed).root };
}

// ── Files ──────────────────────────────────────────────────────────────────────────────────────────────────

function pathOf({ identity }: KeysArgs, { environment }: Terminal): string {
  const owner = { uid: process.getuid?.() ?? 0, home: homedir() };
  return identity ?? join(stateHome(environment, owner), 'publisher', 'identity');
}

function identityAt(path: string): Identity {
  const identity = readIdentity(path);
  if (identity !== undefined) return identity;
  throw new IdentityError(`there is no identity file ${path}: name that of your publisher with --identity`);
}

/** Secrets of a publisher whose keys its root does not name yet. */
function nextFileOf(path: string): string {
  return `${path}.next`;
}

function oneFile({ what }: KeysArgs, action: string): string {
  const [file, ...others] = what;
  if (file === undefined || others.length > 0)
    throw usageError(`${action} needs one ${action === 'token' ? 'NAME' : 'FILE'}`);
  return file;
}

function textIn(file: string, mostBytes = DRAFT_MAX_BYTES): string {
  try {
    return readSmallFile(file, mostBytes).toString('utf8');
  } catch (cause) {
    throw new IdentityError(`cannot read ${file}`, { cause });
  }
}

function numberIn(text: string, option: string): number {
  if (!/^\d{1,15}$/.test(text)) throw usageError(`${option}: write a number`);
  return Number(text);
}

function isNamed({ roles }: Root, key: Uint8Array): boolean {
  return ROLES.some((name: RoleName) => roles[name].keys.some((other) => isSame(other, key)));
}

function isSame(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}
