/**
 * The channel to a program that is started for it and spoken to over its standard input and output, such as
 * `qrexec-client-vm`. No shell; the beginning of its standard error is passed on.
 *
 * ``` close() or end of its output ──grace──▶ SIGTERM ──grace──▶ SIGKILL       (nothing, if it exits by
 * itself before) ```
 */
import { type ChildProcess, spawn } from 'node:child_process';
import net from 'node:net';
import { type Channel, ChannelConnectError } from '../channel/channel.ts';
import { checkBufferBytes, checkCommand, type ExecEndpoint, formatEndpoint } from '../channel/endpoint.ts';
import { LINGER_MS, StreamChannel, type StreamEnd } from './channel.ts';

// Fixed by Qubes.

/** The exit code of `qrexec-client-vm` if dom0's policy refuses the call, and its message. */
const REFUSED_EXIT = 126;
const REFUSED_TEXT = /^Request refused$/m;

// Our choice.

/** As long as the program may take to read our last bytes, and a second to end by itself. */
const TERM_GRACE_MS = LINGER_MS + 1_000;
/** A program that has a handler for SIGTERM needs no longer than this to clean up. */
const KILL_GRACE_MS = 2_000;
/** A program that ends its output mostly exits at once; its exit status then says why. */
const EXIT_STATUS_MS = 500;
/** The most standard error passed on; a program with more to report logs elsewhere. */
const COMPLAINT_MAX_BYTES = 65_536;

export interface ConnectExecOptions {
  readonly bufferBytes: number | undefined;
  readonly signal: AbortSignal | undefined;
  /** Receives the program's standard error; without, it goes to ours. */
  readonly onText: ((text: string) => void) | undefined;
}

/**
 * Starts the program and resolves once it runs, which does not mean that it answers.
 * @throws ChannelConnectError if it cannot be started, EndpointError for the command, RangeError for the
 *   buffer.
 */
export async function connectExec(endpoint: ExecEndpoint, options: ConnectExecOptions): Promise<Channel> {
  const { command, args } = endpoint;
  checkCommand(command, args);
  const bufferBytes = checkBufferBytes(options.bufferBytes ?? endpoint.bufferBytes);
  const url = formatEndpoint(endpoint);
  if (options.signal?.aborted) {
    const message = `connecting to ${url} was aborted`;
    throw new ChannelConnectError('aborted', message, { cause: options.signal.reason });
  }
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'], shell: false });
  const { stdin, stdout } = child;
  // With stdio 'pipe' on Unix both are sockets, which only the type declarations do not know.
  if (!(stdin instanceof net.Socket) || !(stdout instanceof net.Socket)) throw await startError(url, child);
  const complaint = heardOf(child, options.onText ?? ((text) => process.stderr.write(text)));
  const channel = new StreamChannel('client', { name: url }, { input: stdout, output: stdin }, bufferBytes, {
    onDisconnect: () => endChild(child),
    explainEnd: (tell) => explainExit(child, () => tell(endOf(child, complaint.text()))),
  });
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve);
    child.once('error', (error) => reject(describeStart(url, error)));
  });
  // For example, a signal that could not be sent: the program is gone, which its output shows too.
  child.on('error', () => undefined);
  return channel;
}

/** Passes on the beginning of a program's standard error, and keeps it. */
function heardOf(child: ChildProcess, tell: (text: string) => void): { text(): string } {
  let said = Buffer.alloc(0);
  child.stderr?.on('data', (chunk: Buffer) => {
    const taken = chunk.subarray(0, COMPLAINT_MAX_BYTES - said.length);
    if (taken.length === 0) return;
    said = Buffer.concat([said, taken]);
    tell(taken.toString());
  });
  child.stderr?.on('error', () => undefined); // its standard error ended
  return { text: () => said.toString('latin1') };
}

/** Makes sure that the program ends; called once, when the channel is disconnected. */
function endChild(child: ChildProcess): void {
  if (hasExited(child)) return void child.stderr?.destroy();
  let timer = setTimeout(() => {
    child.kill('SIGTERM');
    timer = setTimeout(() => child.kill('SIGKILL'), KILL_GRACE_MS);
  }, TERM_GRACE_MS);
  child.once('exit', () => {
    clearTimeout(timer);
    child.stderr?.destroy(); // a child of the program may hold the other end
  });
}

/** Calls back once it has exited and its last words are read, or once that takes too long. */
function explainExit(child: ChildProcess, tell: () => void): void {
  if (hasExited(child) && child.stderr?.closed !== false) return tell();
  const onClose = (): void => {
    clearTimeout(timer);
    tell();
  };
  const timer = setTimeout(() => {
    child.off('close', onClose);
    tell();
  }, EXIT_STATUS_MS);
  child.once('close', onClose);
}

function endOf(child: ChildProcess, complaint: string): StreamEnd {
  const isForbidden = child.exitCode === REFUSED_EXIT && REFUSED_TEXT.test(complaint);
  return { reason: isForbidden ? 'the qrexec policy refuses the call' : exitReason(child), isForbidden };
}

function hasExited(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null || child.pid === undefined;
}

function exitReason(child: ChildProcess): string {
  if (child.signalCode !== null) return `the program was ended by ${child.signalCode}`;
  if (child.exitCode === null || child.exitCode === 0) return 'closed by the peer';
  return `the program exited with status ${child.exitCode}`;
}

function startError(url: string, child: ChildProcess): Promise<ChannelConnectError> {
  return new Promise((resolve) => {
    child.once('error', (error) => resolve(describeStart(url, error)));
  });
}

function describeStart(url: string, cause: Error): ChannelConnectError {
  const code = 'code' in cause ? cause.code : undefined;
  if (code === 'ENOENT') {
    const message = `cannot start ${url}: no such program; check the path, or that PATH has it`;
    return new ChannelConnectError('nobody-listens', message, { cause });
  }
  if (code === 'EACCES') {
    const message = `cannot start ${url}: no permission; check that the file is executable`;
    return new ChannelConnectError('no-permission', message, { cause });
  }
  return new ChannelConnectError('connect-failed', `cannot start ${url}: ${cause.message}`, { cause });
}
