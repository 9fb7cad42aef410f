/**
 * One attempt at a download: a request, the redirects it leads to, and the body, counted and hashed as it
 * arrives. Sizes are counted, and not taken from the peer: neither Content-Length nor the size of a
 * compressed body limits anything.
 */

import { createHash } from 'node:crypto';
import { pipeline } from 'node:stream/promises';
import { createBrotliDecompress, createGunzip, createInflate } from 'node:zlib';
import type { Dispatcher } from 'undici';
import type { BodyEnd } from './cache.ts';
import type { Draft } from './draft.ts';
import {
  CacheError,
  FetchError,
  FetchErrorCode,
  privateError,
  statusError,
  transportError,
  truncatedError,
} from './error.ts';
import {
  bodyEndOf,
  fileNameOf,
  headerOf,
  lastModifiedOf,
  type ResponseHeaders,
  retryAfterMs,
} from './header.ts';
import { FETCH_LIMITS } from './limits.ts';
import { isPrivateLiteral } from './private-address.ts';
import { type Room, RoomError } from './room.ts';

/** The cached body's validators, by which a server can tell that it is still current. */
export interface Validators {
  readonly etag: string | undefined;
  readonly lastModified: string | undefined;
  /** The URL the body came from: another address may use the same ETag for another body. */
  readonly finalUrl: string;
}

/** So many bytes of a body, as sent, within each such time; a server that sends less is left. */
export interface LeastSpeed {
  readonly bytes: number;
  readonly windowMs: number;
}

export interface Attempt {
  readonly url: URL;
  /** Headers of every request. */
  readonly ownHeaders: Readonly<Record<string, string>>;
  /** Headers of requests to the origin of `url` only, as they may be credentials. */
  readonly privateHeaders: Readonly<Record<string, string>>;
  readonly validators: Validators | undefined;
  readonly maxBytes: number;
  /** The body's share of the budget. */
  readonly room: Room;
  /** Creates the file for the body. */
  readonly draft: () => Promise<Draft>;
  readonly leastSpeed: LeastSpeed;
  readonly signal: AbortSignal;
  readonly allowInsecureRedirects: boolean;
  /** Whether the server may be this host, or in a private network. */
  readonly allowPrivate: boolean;
  readonly nowMs: () => number;
  readonly dispatcherFor: (
    url: URL,
  ) => Promise<{ readonly dispatcher: Dispatcher; readonly proxied: boolean }>;
}

export type AttemptResult =
  | {
      readonly kind: 'body';
      /** The caller's, to keep or to discard. */
      readonly body: Draft;
      readonly sha256: string;
      readonly end: BodyEnd;
      /** Without credentials. */
      readonly finalUrl: string;
      readonly fileName: string;
      readonly etag: string | undefined;
      readonly lastModified: string | undefined;
    }
  | {
      readonly kind: 'not-modified';
      readonly etag: string | undefined;
      readonly lastModified: string | undefined;
    };

const REDIRECT_STATUS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);

/** Throws FetchError, CacheError and RoomError; the caller reports an abort by the signal. */
export async function attemptFetch(attempt: Attempt): Promise<AttemptResult> {
  let url = attempt.url;
  const seen = new Set<string>();
  for (;;) {
    seen.add(url.href);
    const conditional = sentValidators(attempt.validators, url);
    const response = await send(attempt, url, conditional);
    const { statusCode: status, headers } = response;
    if (status === 200) return await takeBody(attempt, url, response);
    await drop(response);
    if (status === 304 && conditional !== undefined) {
      return {
        kind: 'not-modified',
        etag: headerOf(headers, 'etag'),
        lastModified: lastModifiedOf(headers),
      };
    }
    if (!REDIRECT_STATUS.has(status)) {
      const waitMs = retryAfterMs(headerOf(headers, 'retry-after'), attempt.nowMs());
      throw statusError(shownUrl(url), status, waitMs);
    }
    url = redirectTarget(attempt, url, headerOf(headers, 'location'), seen);
  }
}

/** A URL for people and logs. */
export function shownUrl(url: URL): string {
  if (url.username === '' && url.password === '' && url.hash === '') return url.href;
  const shown = new URL(url);
  shown.username = '';
  shown.password = '';
  shown.hash = '';
  return shown.href;
}

/**
 * The validators, if the request goes to the address they came from. The query does not count, as it may be a
 * signature, new each time.
 */
function sentValidators(validators: Validators | undefined, url: URL): Validators | undefined {
  if (validators === undefined || (validators.etag ?? validators.lastModified) === undefined)
    return undefined;
  const from = new URL(validators.finalUrl);
  return from.origin === url.origin && from.pathname === url.pathname ? validators : undefined;
}

async function send(
  attempt: Attempt,
  url: URL,
  validators: Validators | undefined,
): Promise<Dispatcher.ResponseData> {
  // A name is looked at when it is looked up; through a proxy that is the proxy's to judge.
  if (!attempt.allowPrivate && isPrivateLiteral(url))
    throw privateError(shownUrl(attempt.url), shownUrl(url));
  const { dispatcher, proxied } = await attempt.dispatcherFor(url);
  const conditions: Record<string, string> = {};
  if (validators?.etag !== undefined) conditions['if-none-match'] = validators.etag;
  if (validators?.lastModified !== undefined) conditions['if-modified-since'] = validators.lastModified;
  const headers = {
    ...attempt.ownHeaders,
    ...conditions,
    ...(url.origin === attempt.url.origin ? attempt.privateHeaders : {}),
  };
  const { request } = (await import('undici')).default; // as in fetcher.ts
  try {
    const response = await request(new URL(shownUrl(url)), {
      method: 'GET',
      headers,
      dispatcher,
      signal: attempt.signal,
      headersTimeout: FETCH_LIMITS.idleMs,
      bodyTimeout: FETCH_LIMITS.idleMs,
    });
    response.body.on('error', () => undefined); // one that is dropped fails, and nobody waits for it
    return response;
  } catch (error) {
    throw transportError(shownUrl(url), error, proxied);
  }
}

/** The rest of an answer that nobody reads, so that its connection can be used again or is closed. */
async function drop(response: Dispatcher.ResponseData): Promise<void> {
  await response.body.dump({ limit: 64 * 1024 }).catch(() => undefined);
}

function redirectTarget(
  attempt: Attempt,
  from: URL,
  location: string | undefined,
  seen: ReadonlySet<string>,
): URL {
  const refuse = (why: string): never => {
    throw new FetchError(FetchErrorCode.redirect, `${shownUrl(attempt.url)} ${why}`);
  };
  if (location === undefined || !URL.canParse(location, from.href)) return refuse('redirects to no URL');
  const to = new URL(location, from);
  const shown = shownUrl(to);
  if (to.protocol !== 'https:' && to.protocol !== 'http:') {
    return refuse(`redirects to ${shown}, which is neither https nor http`);
  }
  if (from.protocol === 'https:' && to.protocol === 'http:' && !attempt.allowInsecureRedirects) {
    return refuse(`redirects from https to ${shown}, where anybody on the way can change the list`);
  }
  if (shown.length > FETCH_LIMITS.urlChars) return refuse('redirects to an address that is too long');
  if (seen.has(to.href)) return refuse(`redirects in a circle, back to ${shown}`);
  if (seen.size > FETCH_LIMITS.redirects)
    return refuse(`redirects more than ${FETCH_LIMITS.redirects} times`);
  return to;
}

async function takeBody(
  attempt: Attempt,
  url: URL,
  response: Dispatcher.ResponseData,
): Promise<AttemptResult> {
  const { headers } = response;
  const { body, sha256 } = await readBody(attempt, url, response);
  return {
    kind: 'body',
    body,
    sha256,
    end: bodyEndOf(headers),
    finalUrl: shownUrl(url),
    fileName: fileNameOf(headerOf(headers, 'content-disposition'), url, attempt.url),
    etag: headerOf(headers, 'etag'),
    lastModified: lastModifiedOf(headers),
  };
}

async function readBody(
  attempt: Attempt,
  url: URL,
  response: Dispatcher.ResponseData,
): Promise<{ readonly body: Draft; readonly sha256: string }> {
  const { maxBytes, signal, room } = attempt;
  const shown = shownUrl(url);
  const { headers, body } = response;
  const tooLarge = (): FetchError => {
    return new FetchError(FetchErrorCode.tooLarge, `${shown} is larger than ${maxBytes} bytes`);
  };
  const decoder = decoderOf(headers);
  const statedBytes = Number(headerOf(headers, 'content-length') ?? 0);
  if (decoder === undefined || statedBytes > maxBytes) {
    body.destroy();
    if (decoder !== undefined) throw tooLarge();
    const encoding = headerOf(headers, 'content-encoding');
    throw new FetchError(
      FetchErrorCode.encoding,
      `${shown} is encoded as ${encoding}, which was not requested`,
    );
  }
  let wireBytes = 0;
  const count = async function* (source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    for await (const chunk of source) {
      wireBytes += chunk.length;
      if (wireBytes > maxBytes) throw tooLarge();
      yield chunk;
    }
  };
  const digest = createHash('sha256');
  const draft = await attempt.draft();
  const expectedBytes = decoder === 'identity' && statedBytes > 0 ? statedBytes : maxBytes;
  const collect = async (source: AsyncIterable<Buffer>): Promise<void> => {
    let bodyBytes = 0;
    for await (const chunk of source) {
      bodyBytes += chunk.length;
      if (bodyBytes > maxBytes) throw tooLarge();
      room.hold(bodyBytes, expectedBytes);
      digest.update(chunk);
      await draft.add(chunk);
    }
  };
  const unwatch = watchSpeed(
    attempt.leastSpeed,
    () => wireBytes,
    (error) => body.destroy(error),
    shown,
  );
  try {
    if (decoder === 'identity') await pipeline(body, count, collect, { signal });
    else await pipeline(body, count, decoder, collect, { signal });
  } catch (error) {
    await draft.discard();
    throw bodyError(shown, error);
  } finally {
    unwatch();
  }
  return { body: draft, sha256: digest.digest('hex') };
}

/** Aborts a body that comes too slowly; returns a function that ends the watch. */
function watchSpeed(
  { bytes, windowMs }: LeastSpeed,
  received: () => number,
  end: (error: FetchError) => void,
  shown: string,
): () => void {
  let before = 0;
  const timer = setInterval(() => {
    const gained = received() - before;
    before += gained;
    if (gained >= bytes) return;
    const message = `${shown} sends less than ${bytes} bytes in ${windowMs / 1000} s`;
    end(new FetchError(FetchErrorCode.timeout, message, { temporary: true }));
  }, windowMs);
  return () => clearInterval(timer);
}

/** The decoder of the content encoding; undefined if it is unknown, or if there are several. */
function decoderOf(
  headers: ResponseHeaders,
): 'identity' | ReturnType<typeof createGunzip | typeof createBrotliDecompress> | undefined {
  const encoding = (headerOf(headers, 'content-encoding') ?? '').trim().toLowerCase();
  switch (encoding) {
    case '':
    case 'identity':
      return 'identity';
    case 'gzip':
    case 'x-gzip':
      return createGunzip();
    case 'deflate':
      return createInflate();
    case 'br':
      return createBrotliDecompress();
    default:
      return undefined;
  }
}

function bodyError(shown: string, error: unknown): Error {
  if (error instanceof FetchError || error instanceof CacheError || error instanceof RoomError) return error;
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  if (code === 'Z_BUF_ERROR') return truncatedError(shown, error); // the compressed data has no end
  if (code.startsWith('Z_') || code.startsWith('ERR__ERROR') || code.startsWith('ERR_BROTLI')) {
    return new FetchError(FetchErrorCode.encoding, `${shown} is not encoded as stated`, { cause: error });
  }
  if (code === 'UND_ERR_SOCKET' || code === 'ECONNRESET') return truncatedError(shown, error);
  return transportError(shown, error, false);
}
