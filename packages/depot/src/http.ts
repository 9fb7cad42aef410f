/**
 * A depot on a web server. An answer is limited to the expected size, whatever its headers, and to a time;
 * the reader verifies its content.
 */

import { Agent as HttpAgent, type IncomingMessage, request as requestHttp } from 'node:http';
import { Agent as HttpsAgent, request as requestHttps } from 'node:https';
import {
  DEPOT_HEAD_MAX_BYTES,
  joinReports,
  type ObjectReference,
  objectPath,
  ProtocolError,
  REPORT_MAX_BYTES,
  RESUMED_MIN_BYTES,
  type SteadyClock,
  splitReports,
  TRANSFER_WINDOW_MIN_BYTES,
  TRANSFER_WINDOW_MS,
} from '@rulecast/protocol';
import { type DepotSource, SourceError } from './source.ts';

/** Our choice: a site's cache gives up on its origin after two seconds. */
const ANSWER_MS = 10_000;
/** A firewall waits five seconds for the answer to its nonce. */
const REPORT_MS = 4_000;
const REDIRECTS_MAX = 2;
/** The longest wait that a server may ask for: on the way to `http:` anybody could ask for it. */
const LEFT_ALONE_MAX_S = 900;

export interface HttpOptions {
  /** Authorities to trust, in PEM, in place of those of Node. */
  readonly ca?: string | undefined;
  readonly clock: SteadyClock;
}

interface Ask {
  readonly headers?: Readonly<Record<string, string | number>>;
  /** Is posted. */
  readonly body?: Uint8Array;
  readonly maxBytes: number;
  readonly signal: AbortSignal;
}

/** Whether an endpoint is the address of a mirror. */
export function isMirrorUrl(text: string): boolean {
  return /^https?:\/\/\S+$/i.test(text) && URL.canParse(text);
}

export class HttpSource implements DepotSource {
  readonly name: string;
  readonly #base: URL;
  readonly #agent: HttpAgent;
  readonly #clock: HttpOptions['clock'];
  #etag: string | undefined;
  #leftAloneUntilMs = 0;

  /** `url`: the folder of the depot, an address by `isMirrorUrl`. */
  constructor(url: string, { ca, clock }: HttpOptions) {
    this.#base = new URL(url.endsWith('/') ? url : `${url}/`);
    this.name = `${this.#base.origin}${this.#base.pathname}`;
    this.#clock = clock;
    this.#agent =
      this.#base.protocol === 'https:'
        ? new HttpsAgent({ keepAlive: true, ca })
        : new HttpAgent({ keepAlive: true });
  }

  async head(isAgain = false): Promise<Uint8Array | undefined> {
    if (isAgain) this.#etag = undefined;
    const headers: Record<string, string> = this.#etag === undefined ? {} : { 'if-none-match': this.#etag };
    const ask = { headers, maxBytes: DEPOT_HEAD_MAX_BYTES, signal: AbortSignal.timeout(ANSWER_MS) };
    const parts: Buffer[] = [];
    const answer = await this.#get('head', ask, parts);
    if (answer.statusCode === 304 && this.#etag !== undefined) return undefined;
    if (answer.statusCode === 404)
      throw this.#fault('head: 404: no depot is at this address, or it has no release yet');
    if (answer.statusCode !== 200) throw this.#fault(`head: ${answer.statusCode}`);
    this.#etag = answer.headers.etag;
    return Buffer.concat(parts);
  }

  /**
   * Resumes an interrupted download as long as each attempt brings something; a mirror that is too slow in a
   * window of time is given up, so that another one is tried.
   */
  async object(reference: ObjectReference, isAgain: boolean): Promise<Uint8Array> {
    const path = objectPath(reference) + (isAgain ? '?again=1' : '');
    const slowestMs = (reference.length / TRANSFER_WINDOW_MIN_BYTES) * TRANSFER_WINDOW_MS;
    const parts: Buffer[] = [];
    const stalled = new AbortController();
    const signal = AbortSignal.any([stalled.signal, AbortSignal.timeout(ANSWER_MS + Math.ceil(slowestMs))]);
    let cancelWatch = (): void => undefined;
    const watch = (before: number): void => {
      cancelWatch = this.#clock.after(TRANSFER_WINDOW_MS, () => {
        const count = lengthOf(parts);
        if (count < before + TRANSFER_WINDOW_MIN_BYTES) stalled.abort();
        else watch(count);
      });
    };
    watch(0);
    try {
      for (;;) {
        const before = lengthOf(parts);
        const headers: Record<string, string> = before === 0 ? {} : { range: `bytes=${before}-` };
        try {
          const ask = { headers, maxBytes: reference.length, signal };
          const { statusCode } = await this.#get(path, ask, parts);
          if (statusCode !== 200 && statusCode !== 206) throw this.#fault(`${path}: ${statusCode}`);
          return Buffer.concat(parts);
        } catch (error) {
          if (signal.aborted || lengthOf(parts) - before < RESUMED_MIN_BYTES) throw error;
        }
      }
    } finally {
      cancelWatch();
    }
  }

  async report(reports: readonly Uint8Array[]): Promise<readonly Uint8Array[]> {
    const body = joinReports(reports);
    const headers = { 'content-type': 'application/octet-stream', 'content-length': body.length };
    const maxBytes = reports.length * (2 + REPORT_MAX_BYTES);
    const parts: Buffer[] = [];
    const ask = { headers, body, maxBytes, signal: AbortSignal.timeout(REPORT_MS) };
    const { statusCode } = await this.#get('report', ask, parts);
    if (statusCode !== 200) throw this.#fault(`it refuses reports: HTTP status ${statusCode}`);
    try {
      const answers = splitReports(Buffer.concat(parts));
      if (answers.length === reports.length) return answers;
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
    }
    throw this.#fault('its answer to a report cannot be read');
  }

  close(): void {
    this.#agent.destroy();
  }

  /** Appends the received bytes to `into`, even if it throws SourceError. */
  async #get(path: string, ask: Ask, into: Buffer[]): Promise<IncomingMessage> {
    const waitMs = this.#leftAloneUntilMs - this.#clock.monotonicMs();
    if (waitMs > 0) throw this.#fault(`it asks to wait another ${Math.ceil(waitMs / 1000)} s`);
    try {
      let url = new URL(path, this.#base);
      for (let redirects = 0; ; redirects++) {
        const answer = await this.#send(url, ask);
        const { statusCode = 0, headers } = answer;
        if (statusCode === 200 || statusCode === 206) await this.#read(answer, ask, into);
        else if (statusCode === 304)
          answer.resume(); // of no bytes, and the connection stays
        else answer.destroy();
        if (statusCode === 429 || statusCode === 503) this.#leaveAlone(Number(headers['retry-after']));
        if (statusCode < 301 || statusCode === 304 || statusCode > 308) return answer;
        url = this.#redirected(url, headers.location ?? '', redirects);
      }
    } catch (error) {
      if (error instanceof SourceError) throw error;
      throw this.#fault(ask.signal.aborted ? `${path}: no whole answer in time` : reasonOf(error), error);
    }
  }

  #send(url: URL, { headers, body, signal }: Ask): Promise<IncomingMessage> {
    const request = url.protocol === 'https:' ? requestHttps : requestHttp;
    const options = {
      agent: this.#agent,
      method: body === undefined ? 'GET' : 'POST',
      headers: { 'accept-encoding': 'identity', ...headers },
      signal,
    };
    return new Promise((resolve, reject) => {
      request(url, options, resolve).on('error', reject).end(body);
    });
  }

  async #read(answer: IncomingMessage, { maxBytes }: Ask, into: Buffer[]): Promise<void> {
    if (answer.statusCode !== 206) into.length = 0;
    else if (!answer.headers['content-range']?.startsWith(`bytes ${lengthOf(into)}-`))
      throw this.#fault('it sends another part than requested');
    let count = lengthOf(into);
    const check = (bytes: number): void => {
      if (bytes > maxBytes) throw this.#fault(`it sends more than ${maxBytes} bytes, which is the limit`);
    };
    try {
      check(count + Number(answer.headers['content-length'] ?? 0));
      for await (const chunk of answer) {
        count += chunk.length;
        check(count);
        into.push(chunk);
      }
    } catch (error) {
      answer.destroy();
      throw error;
    }
  }

  #redirected(from: URL, location: string, redirects: number): URL {
    const to = URL.canParse(location, from.href) ? new URL(location, from) : undefined;
    const isSame = to?.protocol === from.protocol && to.hostname === from.hostname;
    if (to !== undefined && isSame && redirects < REDIRECTS_MAX) return to;
    throw this.#fault(`it redirects to "${location.slice(0, 200)}": write the address where the depot is`);
  }

  #leaveAlone(seconds: number): void {
    if (seconds > 0)
      this.#leftAloneUntilMs = this.#clock.monotonicMs() + Math.min(seconds, LEFT_ALONE_MAX_S) * 1000;
  }

  #fault(text: string, cause?: unknown): SourceError {
    return new SourceError(`${this.name}: ${text}`, { cause });
  }
}

function lengthOf(parts: readonly Buffer[]): number {
  return parts.reduce((sum, { length }) => sum + length, 0);
}

/** Node's message, with a remedy if the certificate's authority is unknown here. */
function reasonOf(error: unknown): string {
  const { code = '', message = '' } = error as { readonly code?: string; readonly message?: string };
  const isUnknown = /^(SELF_SIGNED|DEPTH_ZERO|UNABLE_TO)/.test(code);
  return (message || code) + (isUnknown ? ': name the authority that signed it with --ca FILE' : '');
}
