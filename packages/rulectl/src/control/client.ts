/**
 * The control connection: one request, its records, and its end. CONTROL.md "Control". A request may be
 * answered before it is sent whole (an early refusal), so answers are read from the start.
 */

import {
  Capability,
  Connection,
  type ControlRecord,
  ErrorCode,
  type Message,
  type MessageOf,
  PROTOCOL_VERSION,
  ProtocolError,
} from '@rulecast/protocol';
import {
  type Channel,
  ChannelConnectError,
  type CurveClientKeys,
  connect,
  EndpointError,
  parseEndpoint,
} from '@rulecast/vchan';
import { CliError, ExitCode, failedError, usageError } from '../terminal/exit.ts';

export type Ending = MessageOf<'done'> | MessageOf<'fail'>;

/** One request of a control connection. */
export interface ControlRequest {
  /** Endpoint URL of the publisher. */
  readonly endpoint: string;
  /** For an endpoint of ZeroMQ: the file of our own key, and the publisher's key or its file. */
  readonly curve?: { readonly keyFile: string; readonly peer: string } | undefined;
  /** Sends the request. */
  readonly send: (connection: Connection) => Promise<void>;
  readonly onRecord: (record: ControlRecord) => void;
  /** How long the answer may be silent, in milliseconds. */
  readonly timeoutMs: number;
  /** The answer has no end: after its first record `timeoutMs` does not apply. */
  readonly isEndless?: boolean;
  /** Ends it before its end. */
  readonly signal?: AbortSignal;
}

/** The common options that say where the publisher is. */
export interface ControlArgs {
  readonly control: string;
  readonly 'curve-key'?: string | undefined;
  readonly 'curve-peer'?: string | undefined;
}

/** The publisher's endpoint. Throws CliError `usage` for one key without the other. */
export function controlOf(args: ControlArgs): Pick<ControlRequest, 'endpoint' | 'curve'> {
  const endpoint = args.control;
  const { 'curve-key': keyFile, 'curve-peer': peer } = args;
  if (keyFile === undefined && peer === undefined) return { endpoint };
  if (keyFile === undefined || peer === undefined) {
    throw usageError('--curve-key FILE and --curve-peer KEY go together: each end proves who it is');
  }
  return { endpoint, curve: { keyFile, peer } };
}

/** Throws CliError `usage` for keys that are none. */
async function keysOf({ keyFile, peer }: NonNullable<ControlRequest['curve']>): Promise<CurveClientKeys> {
  const { curvePeerKeys, readCurveKeyPair } = await import('@rulecast/vchan/curve-key');
  try {
    const [serverKey, ...others] = curvePeerKeys(peer);
    if (serverKey === undefined || others.length > 0)
      throw usageError(`--curve-peer: ${peer} must hold one key`);
    return { ...readCurveKeyPair(keyFile), serverKey };
  } catch (error) {
    if (error instanceof EndpointError) throw usageError(error.message);
    throw error;
  }
}

/**
 * Makes a request and resolves with its end.
 * @throws CliError `unreachable` if there is no connection or it is lost, `timeout`, `usage` for an endpoint
 *   that is none, and for keys that are none.
 */
export async function ask(request: ControlRequest): Promise<Ending> {
  const channel = await open(request);
  const connection = new Connection(channel);
  let timedOut = false;
  const giveUp = (): void => {
    timedOut = true;
    connection.close();
  };
  const timer = setTimeout(giveUp, request.timeoutMs);
  const hangUp = (): void => connection.close();
  request.signal?.addEventListener('abort', hangUp);
  if (request.signal?.aborted === true) hangUp();
  const onMessage = (message: Message | undefined): void => {
    if (request.isEndless !== true) timer.refresh();
    else if (message?.kind === 'record') clearTimeout(timer);
  };
  let sendFailure: unknown;
  const sending = greet(connection, request.send).catch((error: unknown) => {
    sendFailure = error;
    // A publisher that closed the connection may have sent a reason before, which is still to be read.
    if (!(error instanceof ProtocolError)) connection.close();
  });
  try {
    const ending = await readAnswers(connection, request, onMessage);
    if (ending !== undefined) return ending;
    await sending;
    if (timedOut) throw noAnswer(request);
    if (sendFailure !== undefined && !(sendFailure instanceof ProtocolError)) throw sendFailure;
    throw lost(request.endpoint, sendFailure, channel);
  } catch (error) {
    throw error instanceof ProtocolError ? lost(request.endpoint, error, channel) : error;
  } finally {
    clearTimeout(timer);
    request.signal?.removeEventListener('abort', hangUp);
    connection.close();
    await sending;
  }
}

/**
 * Like `ask`, but throws the error made by `errorOf` for a failed request: usually a CliError with its code.
 */
export async function askOrFail(
  request: ControlRequest,
  errorOf: (fail: MessageOf<'fail'>) => CliError = (fail) => failedError(fail),
): Promise<MessageOf<'done'>> {
  const ending = await ask(request);
  if (ending.kind === 'done') return ending;
  throw errorOf(ending);
}

/**
 * Sends our GREET first, without waiting for an answer: this client speaks one version only, and a publisher
 * ends the connection at a request or field that it does not know.
 */
async function greet(connection: Connection, send: ControlRequest['send']): Promise<void> {
  await connection.send({
    kind: 'greet',
    protocolMin: PROTOCOL_VERSION,
    protocolMax: PROTOCOL_VERSION,
    capabilities: [Capability.requests, Capability.fleet],
  });
  await send(connection);
}

/** Hints by the code of a BYE. */
const BYE_HINTS: Readonly<Record<string, string>> = {
  [ErrorCode.noCommonVersion]: `; this rulectl speaks protocol ${PROTOCOL_VERSION}: upgrade the older`,
  [ErrorCode.unknownType]: '; it is older than this rulectl: upgrade it',
  [ErrorCode.badMessage]: '; if it is older than this rulectl, upgrade it',
};

async function readAnswers(
  connection: Connection,
  request: ControlRequest,
  onMessage: (message: Message | undefined) => void,
): Promise<Ending | undefined> {
  for (;;) {
    const received = await connection.receive();
    onMessage(received?.message);
    if (received === undefined) return undefined;
    const { message } = received;
    switch (message.kind) {
      case 'greet':
        break;
      case 'record':
        request.onRecord(message.record);
        break;
      case 'done':
      case 'fail':
        return message;
      case 'bye': {
        const { retryAfterMs } = message;
        const later = retryAfterMs === undefined ? '' : `; come again in ${Math.ceil(retryAfterMs / 1000)} s`;
        const text = `the publisher ended the connection: ${message.text}${BYE_HINTS[message.code] ?? ''}${later}`;
        throw new CliError(ExitCode.unreachable, message.code, text);
      }
      default: {
        const text = `${request.endpoint} answered ${message.kind.toUpperCase()}, which no control endpoint says: is it the endpoint for subscribers?`;
        throw new CliError(ExitCode.unreachable, 'unexpected-message', text);
      }
    }
  }
}

async function open({ endpoint, curve }: ControlRequest): Promise<Channel> {
  const keys = curve === undefined ? {} : { curve: await keysOf(curve) };
  try {
    return await connect(parseEndpoint(endpoint), keys);
  } catch (error) {
    if (error instanceof EndpointError) {
      const hint = error.code === 'needs-curve' ? ' (--curve-key FILE and --curve-peer KEY)' : '';
      const text = `--control: ${error.message}${hint}`;
      throw new CliError(ExitCode.usage, 'bad-endpoint', text, { cause: error });
    }
    if (error instanceof ChannelConnectError) throw unreachable(endpoint, error);
    throw error;
  }
}

function unreachable(endpoint: string, cause: ChannelConnectError): CliError {
  const hints: Partial<Record<ChannelConnectError['code'], string>> = {
    'nobody-listens': 'start rulecast-publisher, or say where it listens with --control ENDPOINT',
    busy: 'too many connections wait: try again',
    timeout: 'is rulecast-publisher stuck? look at its log',
  };
  const hint = hints[cause.code] ?? 'is rulecast-publisher running?';
  const why = cause.code === 'nobody-listens' ? '' : `: ${cause.message}`;
  const text =
    cause.code === 'no-permission'
      ? cause.message
      : `no publisher answers at ${endpoint}${why}. ${sentence(hint)}`;
  return new CliError(ExitCode.unreachable, 'unreachable', text, { cause });
}

function lost(endpoint: string, cause: unknown, { isForbidden, closeReason }: Channel): CliError {
  if (isForbidden) {
    const text = `no publisher answers at ${endpoint}: ${closeReason}. Ask for it in dom0: /etc/qubes/policy.d/30-rulecast.policy, and the tags in it.`;
    return new CliError(ExitCode.unreachable, 'refused-by-policy', text, { cause });
  }
  const why = cause instanceof ProtocolError && cause.code !== 'disconnected' ? ` (${cause.message})` : '';
  const text = `the connection to ${endpoint} was lost before the answer was complete${why}: look at the log of rulecast-publisher, and at rulectl status for what is released`;
  return new CliError(ExitCode.unreachable, 'connection-lost', text, { cause });
}

function noAnswer(request: ControlRequest): CliError {
  const seconds = Math.round(request.timeoutMs / 1000);
  const text = `the publisher at ${request.endpoint} gave no answer for ${seconds} s: look at rulectl status for what is released`;
  return new CliError(ExitCode.timeout, 'timeout', text);
}

function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
}
