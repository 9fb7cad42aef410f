/**
 * Receives reports by HTTP on a Unix socket, behind a web server that has TLS and faces strangers.
 * Connections, heads, bodies and times are bounded. DEPOT.md "Reports".
 */

import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { PacedLog } from '@rulecast/program';
import { joinReports, ProtocolError, REPORT_MAX_BYTES, REPORTS_MAX, splitReports } from '@rulecast/protocol';
import { listenWith, type UnixEndpoint } from '@rulecast/vchan';

/** Those of a web server that keeps some open; 32 MiB of bodies at most. Our choice, like the times. */
const CONNECTIONS_MAX = 64;
const HEAD_MAX_BYTES = 8192;
const HEAD_MAX_MS = 5_000;
const REQUEST_MAX_MS = 10_000;
const IDLE_MAX_MS = 75_000;
const BODY_MAX_BYTES = REPORTS_MAX * (2 + REPORT_MAX_BYTES);

type TakeReports = (reports: readonly Uint8Array[]) => Promise<readonly Uint8Array[]>;

/** Why a request is refused. */
class Unfit extends Error {
  readonly status: number;

  constructor(status: number, text: string) {
    super(text);
    this.status = status;
  }
}

/** Resolves to a function that ends it. Throws EndpointError and EndpointInUseError. */
export async function listenForReports(
  endpoint: UnixEndpoint,
  take: TakeReports,
  logger: PacedLog,
  idleMaxMs = IDLE_MAX_MS,
): Promise<() => Promise<void>> {
  const server = createServer(
    {
      maxHeaderSize: HEAD_MAX_BYTES,
      headersTimeout: HEAD_MAX_MS,
      requestTimeout: REQUEST_MAX_MS,
      connectionsCheckingInterval: HEAD_MAX_MS,
      keepAliveTimeout: idleMaxMs,
    },
    (request, response) => void answer(request, response, take, logger),
  );
  server.maxConnections = CONNECTIONS_MAX;
  server.setTimeout(idleMaxMs); // one that does not read its answers gives its place back
  await listenWith(server, endpoint, (err) => logger.warn({ err }, 'a report could not be taken'));
  return async () => {
    const closed = new Promise((resolve) => server.close(resolve));
    server.closeAllConnections();
    await closed;
  };
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  take: TakeReports,
  logger: PacedLog,
): Promise<void> {
  try {
    const answers = joinReports(await take(reportsIn(await bodyOf(request))));
    const headers = { 'content-type': 'application/octet-stream', 'cache-control': 'no-store' };
    response.writeHead(200, { ...headers, 'content-length': answers.length }).end(answers);
  } catch (error) {
    if (request.destroyed && !request.complete) return; // it went away
    if (!(error instanceof Unfit)) logger.error({ err: error }, 'reports could not be answered');
    const status = error instanceof Unfit ? error.status : 500;
    const text = error instanceof Unfit ? `${error.message}\n` : '';
    response.writeHead(status, { 'content-type': 'text/plain', connection: 'close' }).end(text);
  }
}

/** Reads a body, whose announced length is checked before its first byte. */
async function bodyOf(request: IncomingMessage): Promise<Uint8Array> {
  const { method, url = '', headers } = request;
  if (!/^[^?]*\/report$/.test(url)) throw new Unfit(404, 'reports are posted to /report');
  if (method !== 'POST') throw new Unfit(405, 'reports are posted');
  const length = headers['content-length'];
  if (length === undefined) throw new Unfit(411, 'a report says its length');
  if (Number(length) > BODY_MAX_BYTES) throw new Unfit(413, `at most ${BODY_MAX_BYTES} bytes of reports`);
  const chunks: Uint8Array[] = [];
  for await (const chunk of request) chunks.push(chunk as Uint8Array);
  return Buffer.concat(chunks);
}

function reportsIn(body: Uint8Array): readonly Uint8Array[] {
  try {
    const reports = splitReports(body);
    if (reports.length > 0) return reports;
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
  }
  throw new Unfit(400, 'these are no reports');
}
