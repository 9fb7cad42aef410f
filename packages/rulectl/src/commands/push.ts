/** `rulectl push`: sends files to the publisher and shows what became of them, up to each firewall. */

import { basename } from 'node:path';
import { detectFormat, documentReferences, type Format } from '@rulecast/formats';
import {
  CHUNK_BYTES,
  type Connection,
  type ControlRecord,
  type ControlRecordOf,
  ErrorCode,
  FILE_NAME_MAX_BYTES,
  type MessageOf,
  PUSH_FILES_MAX,
  PUSH_MAX_BYTES,
  WAIT_MAX_MS,
} from '@rulecast/protocol';
import { isPartName } from '@rulecast/rules';
import type { Argv } from 'yargs';
import { ask, type Ending } from '../client.ts';
import { CliError, ExitCode, exitOfFailure, usageError } from '../exit.ts';
import { besideDocument, checkStdinOnce, readInput, STDIN_NAME, shownName } from '../input.ts';
import { Progress } from '../progress.ts';
import {
  partName,
  renderApplied,
  renderAppliedSummary,
  renderChanges,
  renderReject,
  renderRelease,
  renderWarning,
} from '../render.ts';
import type { Terminal } from '../terminal.ts';

export const command = 'push <file..>';
export const describe = 'release what files say, and wait until the firewalls have it';

const DEFAULT_TIMEOUT_SECONDS = '60';
/** Beyond --timeout, which the publisher keeps itself: reading a million lines, resolving names, writing the store. */
const PUBLISHER_GRACE_MS = 60_000;

export interface PushArgs {
  readonly control: string;
  readonly file: readonly string[] | undefined;
  readonly list: string | undefined;
  readonly policy: string | undefined;
  readonly replace: boolean | undefined;
  readonly merge: boolean | undefined;
  readonly withdraw: boolean | undefined;
  readonly 'replace-all': boolean | undefined;
  readonly yes: boolean | undefined;
  readonly 'if-version': string | undefined;
  readonly 'dry-run': boolean | undefined;
  readonly wait: 'released' | 'applied' | undefined;
  readonly 'no-wait': boolean | undefined;
  readonly timeout: string;
  readonly json: boolean | undefined;
}

export function builder(yargs: Argv<{ readonly control: string }>): Argv<PushArgs> {
  return yargs
    .usage(
      '$0 push FILE...\n\nSends lists, rule lines and rule set documents, with the files that documents name, to the publisher. All of them become one release, or none does. A list has the name of its file; FILE may be - for standard input.',
    )
    .positional('file', { type: 'string', array: true, describe: 'files; - is standard input' })
    .option('list', { type: 'string', requiresArg: true, describe: 'the list that list files are about' })
    .option('policy', {
      type: 'string',
      requiresArg: true,
      describe: 'the policy that files of rule lines are about',
      defaultDescription: 'default',
    })
    .option('replace', { type: 'boolean', describe: 'parts become what the files say (the default)' })
    .option('merge', { type: 'boolean', describe: 'add what the files say to the parts' })
    .option('withdraw', { type: 'boolean', describe: 'take what the files say out of the parts' })
    .option('replace-all', {
      type: 'boolean',
      describe: 'also remove all parts that the files do not have; asks first',
    })
    .option('yes', { type: 'boolean', describe: 'with --replace-all: do not ask' })
    .option('if-version', {
      type: 'string',
      requiresArg: true,
      describe: 'only if the head has this version',
    })
    .option('dry-run', { type: 'boolean', describe: 'say what would change, and release nothing' })
    .option('wait', {
      choices: ['released', 'applied'] as const,
      requiresArg: true,
      describe: 'until the release is stored, or until every connected subscriber answered',
      defaultDescription: 'applied',
    })
    .option('no-wait', { type: 'boolean', describe: 'the same as --wait released' })
    .option('timeout', {
      type: 'string',
      requiresArg: true,
      default: DEFAULT_TIMEOUT_SECONDS,
      describe: 'how many seconds to wait for subscribers',
    })
    .option('json', { type: 'boolean', describe: 'records as JSON, one a line, the end last' })
    .example([
      ['$0 push office.yaml', 'a rule set document, with the lists it names'],
      ['curl … | $0 push --list drop -', 'a list from elsewhere'],
      ['$0 push --policy work work.rules', 'rules from qvm-firewall work list --raw'],
      ['$0 push --merge --list drop today.txt', 'add to a list'],
      ['$0 push --replace-all --dry-run office.yaml', 'what would come and go'],
    ]);
}

export async function run(args: PushArgs, terminal: Terminal): Promise<ExitCode> {
  const request = requestOf(args);
  const files = readFiles(args);
  const push: PushPlan = { request: { ...request, files: files.length }, files };
  if (args['replace-all'] !== true || args['dry-run'] === true) return execute(push, args, terminal);
  const mayAsk = terminal.canAsk && !(args.file ?? []).includes(STDIN_NAME);
  if (args.yes !== true && !mayAsk) {
    throw usageError(
      '--replace-all removes parts and nobody can be asked here: look with --dry-run, then add --yes',
    );
  }
  const headVersion = await confirmRemovals(push, args, terminal);
  if (typeof headVersion !== 'number') return headVersion.exit;
  return execute({ ...push, request: { ...push.request, ifVersion: headVersion } }, args, terminal);
}

// ── What is asked ────────────────────────────────────────────────────────────────────────────────────────────────────

interface PushFile {
  /** As the publisher is told. */
  readonly name: string;
  readonly role: 'pushed' | 'referenced';
  /** Where it lies, for messages. */
  readonly path: string;
  readonly bytes: Uint8Array;
}

interface PushPlan {
  readonly request: MessageOf<'push'>;
  readonly files: readonly PushFile[];
}

/** Throws CliError `usage`. */
function requestOf(args: PushArgs): MessageOf<'push'> {
  const actions = (['replace', 'merge', 'withdraw'] as const).filter((action) => args[action] === true);
  const [action = 'replace', second] = actions;
  if (second !== undefined) throw usageError(`--${action} and --${second} exclude each other`);
  if (args['replace-all'] === true && action !== 'replace') {
    throw usageError(`--replace-all and --${action} exclude each other`);
  }
  if (args.yes === true && args['replace-all'] !== true) throw usageError('--yes goes with --replace-all');
  if (args['no-wait'] === true && args.wait !== undefined) {
    throw usageError('--no-wait and --wait exclude each other');
  }
  for (const option of ['list', 'policy'] as const) {
    const name = args[option];
    if (name === undefined || isPartName(name)) continue;
    throw usageError(
      `--${option} ${JSON.stringify(name)}: a name has 1 to 63 of A-Z a-z 0-9 . _ - and starts with a letter or digit`,
    );
  }
  return {
    kind: 'push',
    action,
    list: args.list,
    policy: args.policy,
    replaceAll: args['replace-all'] === true,
    ifVersion: args['if-version'] === undefined ? undefined : versionOf(args['if-version']),
    dryRun: args['dry-run'] === true,
    wait: args['no-wait'] === true ? 'released' : (args.wait ?? 'applied'),
    timeoutMs: timeoutOf(args.timeout),
    files: 0,
  };
}

function versionOf(text: string): number {
  const version = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
  if (Number.isSafeInteger(version)) return version;
  throw usageError(`--if-version ${text}: write the number of a version; 0 is before the first release`);
}

function timeoutOf(text: string): number {
  const ms = /^\d{1,6}(?:\.\d{1,3})?$/.test(text) ? Math.round(Number(text) * 1000) : 0;
  if (ms > 0 && ms <= WAIT_MAX_MS) return ms;
  throw usageError(`--timeout ${text}: write seconds, more than 0 and at most ${WAIT_MAX_MS / 1000}`);
}

/** Reads the files and what documents name. Throws CliError `refused` and `usage`. */
function readFiles(args: PushArgs): readonly PushFile[] {
  const names = args.file ?? [];
  checkStdinOnce(names);
  const pushed: PushFile[] = [];
  const referenced = new Map<string, PushFile>();
  const formats = new Set<Format>();
  let left = PUSH_MAX_BYTES;
  for (const name of names) {
    const bytes = readInput(name, left);
    left -= bytes.length;
    pushed.push({ name, role: 'pushed', path: name, bytes });
    const format = detectFormat(name, bytes);
    formats.add(format);
    if (format === 'list') checkListName(name, args.list);
    if (format === 'document') left = readReferences(name, bytes, referenced, left);
  }
  if (args.list !== undefined && !formats.has('list')) {
    throw usageError('--list names the list that list files are about, and none of the files is a list');
  }
  if (args.policy !== undefined && !formats.has('rules')) {
    throw usageError(
      '--policy names the policy that files of rule lines are about, and none of the files holds rule lines',
    );
  }
  const files = [...pushed, ...referenced.values()];
  checkFiles(files);
  return files;
}

function checkListName(file: string, list: string | undefined): void {
  if (list !== undefined || file !== STDIN_NAME) return;
  throw usageError('standard input holds a list, which needs a name: add --list NAME');
}

/** Adds what a document names to `referenced`; returns how many bytes may follow. */
function readReferences(
  document: string,
  bytes: Uint8Array,
  referenced: Map<string, PushFile>,
  maxBytes: number,
): number {
  let left = maxBytes;
  for (const name of documentReferences(document, bytes)) {
    const path = besideDocument(document, name);
    const earlier = referenced.get(name);
    if (earlier !== undefined) {
      if (earlier.path === path) continue;
      const text = `two documents name a file ${shownName(name)}, which is ${shownName(earlier.path)} for one and ${shownName(path)} for ${shownName(document)}: push the documents one after the other, or rename a file`;
      throw new CliError(ExitCode.refused, 'ambiguous-reference', text);
    }
    const content = readReference(document, path, left);
    left -= content.length;
    referenced.set(name, { name, role: 'referenced', path, bytes: content });
  }
  return left;
}

function readReference(document: string, path: string, maxBytes: number): Uint8Array {
  try {
    return readInput(path, maxBytes);
  } catch (error) {
    if (!(error instanceof CliError)) throw error;
    const text = `${shownName(document)} names a file that cannot be sent: ${error.message}`;
    throw new CliError(error.exit, error.code, text, { cause: error });
  }
}

/** What the protocol cannot carry is refused before anything is sent. */
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

// ── Asking ───────────────────────────────────────────────────────────────────────────────────────────────────────────

async function askPush(
  plan: PushPlan,
  args: PushArgs,
  progress: Progress,
  onRecord: (record: ControlRecord) => void,
): Promise<Ending> {
  return ask({
    endpoint: args.control,
    timeoutMs: plan.request.timeoutMs + PUBLISHER_GRACE_MS,
    send: (connection) => sendPush(connection, plan, progress),
    onRecord: (record) => {
      if (record.record === 'progress') progress.show(record.stage, record.done, record.total);
      else {
        progress.stop();
        onRecord(record);
      }
    },
  }).finally(() => progress.stop());
}

async function sendPush(connection: Connection, plan: PushPlan, progress: Progress): Promise<void> {
  const total = plan.files.reduce((sum, file) => sum + file.bytes.length, 0);
  let sentBytes = 0;
  await connection.send(plan.request);
  for (const { name, role, bytes } of plan.files) {
    await connection.send({ kind: 'file', name, role, bytes: bytes.length });
    const sent = await connection.sendBytes(
      chunksOf(bytes, (count) => {
        sentBytes += count;
        progress.show('sending', sentBytes, total);
      }),
    );
    if (sent === undefined) return; // it is stopped by nobody here
    await connection.send({ kind: 'end', sha256: sent.sha256 });
  }
}

/** The bytes in pieces of a chunk each, telling of each as it is asked for. */
function* chunksOf(bytes: Uint8Array, onChunk: (count: number) => void): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += CHUNK_BYTES) {
    const chunk = bytes.subarray(at, at + CHUNK_BYTES);
    onChunk(chunk.length);
    yield chunk;
  }
}

/** The version the head must still have, or the exit code of a push that ends here. */
async function confirmRemovals(
  plan: PushPlan,
  args: PushArgs,
  terminal: Terminal,
): Promise<number | { readonly exit: ExitCode }> {
  const rehearsal: PushPlan = { ...plan, request: { ...plan.request, dryRun: true } };
  const removed: ControlRecordOf<'change'>[] = [];
  let headVersion: number | undefined;
  const report = reportTo(args, plan, terminal);
  const ending = await askPush(rehearsal, args, new Progress(terminal.errIsTty), (record) => {
    if (record.record === 'reject') report.record(record);
    if (record.record === 'change' && record.op === 'remove') removed.push(record);
    if (record.record === 'release') headVersion = record.version;
  });
  if (ending.kind === 'fail') return { exit: report.end(ending) };
  if (headVersion === undefined) {
    throw new CliError(
      ExitCode.unreachable,
      'no-release-record',
      'the publisher did not say what the head is',
    );
  }
  if (removed.length === 0) return headVersion;
  if (args.json !== true) {
    terminal.out.line(`--replace-all removes ${removed.map(partName).join(', ')}:`);
    terminal.out.line(renderChanges(removed, terminal.colors));
  }
  if (args.yes === true || (await terminal.confirm('Remove them?'))) return headVersion;
  return { exit: report.end({ kind: 'fail', code: 'declined', text: 'nothing was released: you said no' }) };
}

async function execute(plan: PushPlan, args: PushArgs, terminal: Terminal): Promise<ExitCode> {
  const report = reportTo(args, plan, terminal);
  const progress = new Progress(terminal.errIsTty);
  return report.end(await askPush(plan, args, progress, (record) => report.record(record)));
}

// ── What comes back ──────────────────────────────────────────────────────────────────────────────────────────────────

interface Report {
  record(record: ControlRecord): void;
  end(ending: Ending): ExitCode;
}

function reportTo(args: PushArgs, plan: PushPlan, terminal: Terminal): Report {
  return args.json === true ? new JsonReport(terminal) : new TextReport(terminal, plan);
}

/** The exit code of a push, by what the subscribers said and how it ended. */
function exitOf(ending: Ending, applied: readonly ControlRecordOf<'applied'>[]): ExitCode {
  if (ending.kind === 'fail')
    return ending.code === 'declined' ? ExitCode.refused : exitOfFailure(ending.code);
  if (applied.some(({ state }) => state === 'refused')) return ExitCode.unmet;
  const isLate = applied.some(({ state }) => state === 'timeout' || state === 'disconnected');
  return isLate ? ExitCode.timeout : ExitCode.ok;
}

class JsonReport implements Report {
  private readonly terminal: Terminal;
  private readonly applied: ControlRecordOf<'applied'>[] = [];

  constructor(terminal: Terminal) {
    this.terminal = terminal;
  }

  record(record: ControlRecord): void {
    if (record.record === 'applied') this.applied.push(record);
    this.terminal.out.json(record);
    this.terminal.out.flush();
  }

  end(ending: Ending): ExitCode {
    const exit = exitOf(ending, this.applied);
    this.terminal.out.json({ ...ending, exit });
    return exit;
  }
}

class TextReport implements Report {
  private readonly terminal: Terminal;
  private readonly plan: PushPlan;
  private readonly paths: ReadonlyMap<string, string>;
  private changes: ControlRecordOf<'change'>[] = [];
  private release: ControlRecordOf<'release'> | undefined;
  private readonly applied: ControlRecordOf<'applied'>[] = [];

  constructor(terminal: Terminal, plan: PushPlan) {
    this.terminal = terminal;
    this.plan = plan;
    this.paths = new Map(plan.files.map(({ name, path }) => [name, path]));
  }

  record(record: ControlRecord): void {
    const { out, colors } = this.terminal;
    switch (record.record) {
      case 'reject':
        out.line(renderReject(this.paths.get(record.file) ?? record.file, record, colors));
        break;
      case 'warning':
        out.line(renderWarning(record, colors));
        break;
      case 'change':
        this.changes.push(record);
        break;
      case 'release':
        this.release = record;
        this.showChanges();
        out.line(renderRelease(record));
        break;
      case 'applied':
        this.applied.push(record);
        out.line(renderApplied(record, colors));
        break;
      default: // progress has its bar; records that a push does not answer with say nothing about it
    }
    out.flush();
  }

  private showChanges(): void {
    if (this.changes.length > 0) this.terminal.out.line(renderChanges(this.changes, this.terminal.colors));
    this.changes = [];
  }

  end(ending: Ending): ExitCode {
    const exit = exitOf(ending, this.applied);
    this.showChanges();
    if (ending.kind === 'fail') this.terminal.complain(`rulectl: ${failureText(ending)}`);
    else this.showSummary();
    return exit;
  }

  private showSummary(): void {
    const { out, colors } = this.terminal;
    if (this.release?.changed !== true || this.release.dryRun) return;
    const { wait } = this.plan.request;
    if (wait === 'applied') out.line(renderAppliedSummary(this.applied, colors));
    else out.line('not waiting for subscribers: rulectl status says how far they are');
  }
}

function failureText(ending: MessageOf<'fail'>): string {
  switch (ending.code) {
    case 'declined':
    case ErrorCode.badInput: // every line was told by itself
    case ErrorCode.versionMoved:
      return ending.text;
    default: {
      const part = ending.part === undefined ? '' : `${ending.part}: `;
      return `${part}${ending.text} (${ending.code})`;
    }
  }
}
