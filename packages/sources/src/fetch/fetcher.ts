/**
 * Downloads by https and http: conditional on a change, retried if that may help, and kept for good. The
 * caller gets the bytes, or a FetchError that says whether waiting helps; the cache always holds the last
 * good body.
 */

import { lookup as systemLookup } from 'node:dns';
import { readFileSync } from 'node:fs';
import type { LookupFunction } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { rootCertificates } from 'node:tls';
import type { Dispatcher } from 'undici';
import {
  type Attempt,
  type AttemptResult,
  attemptFetch,
  type LeastSpeed,
  shownUrl,
  type Validators,
} from './attempt.ts';
import { type BodyEnd, type Download, DownloadCache, type DownloadInfo } from './cache.ts';
import { CacheError, FetchError, FetchErrorCode } from './error.ts';
import { isStrongEtag } from './header.ts';
import { FETCH_LIMITS } from './limits.ts';
import { isPrivateHost, publicLookup } from './private-address.ts';
import { type ProxyChoice, proxyChoice } from './proxy.ts';
import { BodyBudget, type Room, RoomError, SMALL_BODY_BYTES } from './room.ts';

export interface FetchRequest {
  /** https or http. Credentials in it go by Basic authentication to its origin, and nowhere else. */
  readonly url: string;
  /** The limit for a body, both as sent and after its content encoding. */
  readonly maxBytes: number;
  /** The limit for all bodies under way, this one included; a single one may be larger. */
  readonly allMaxBytes: number;
  /**
   * The time for each attempt, from connecting to the last byte; 1 or more. Waiting for room does not count.
   */
  readonly timeoutMs: number;
  /** Hex: the only body that is wanted. Once it is in the cache, nobody is asked again. */
  readonly sha256?: string;
  /** Sent to the origin of `url` only. Names in any case. */
  readonly headers?: Readonly<Record<string, string>>;
  /**
   * Only true has it come from a private address, where `url` itself does not say so: of this host, or of a
   * network beside it.
   */
  readonly allowPrivate?: boolean;
  readonly signal?: AbortSignal;
}

export type FetchOutcome = {
  /** `not-modified`: the body of the cache is current. */
  readonly kind: 'fresh' | 'not-modified';
  /** Size of the body, in bytes. */
  readonly size: number;
  /**
   * Reads the body from the cache; the caller owns it. Throws FetchError `cache` if another body replaced it.
   */
  readonly read: () => Promise<Uint8Array<ArrayBuffer>>;
  /** Digest of the body, hex. */
  readonly sha256: string;
  readonly end: BodyEnd;
  /** When the server last said that these are current; milliseconds since 1970. */
  readonly fetchedAtMs: number;
  /** After redirects, without credentials. */
  readonly finalUrl: string;
  /** For people, and for archives that hold one nameless file; never empty, without slashes. */
  readonly fileName: string;
};

export interface FetcherOptions {
  readonly cacheDirectory: string;
  /** Milliseconds since 1970; default Date.now. */
  readonly nowMs?: () => number;
  /** 0 to 1, for jitter; default Math.random. */
  readonly random?: () => number;
  /** Default: a timer. Rejects when the signal aborts. */
  readonly sleep?: (ms: number, signal: AbortSignal) => Promise<void>;
  /** `environment` (default), `none`, `qubes`, or the URL of a proxy for everything. */
  readonly proxy?: string | undefined;
  /** Default: process.env. */
  readonly environment?: Readonly<Record<string, string | undefined>>;
  /** Certificates in PEM to trust besides those that Node trusts. */
  readonly trustedCertificates?: readonly string[];
  /** Follow redirects from https to http, which are refused otherwise. */
  readonly allowInsecureRedirects?: boolean;
  /** The lookup of names; default: the system's. */
  readonly lookup?: LookupFunction;
  /** Default: as in FETCH_LIMITS. */
  readonly leastSpeed?: LeastSpeed;
  /** Default: `rulecast/VERSION`. */
  readonly userAgent?: string;
}

/** Plain text compresses to a third; zstd is not in every Node that we run on. */
const ACCEPT_ENCODING = 'gzip, br';
const SHA256_HEX = /^[0-9a-f]{64}$/i;

export class Fetcher {
  readonly #cache: DownloadCache;
  readonly #budget = new BodyBudget();
  readonly #nowMs: () => number;
  readonly #random: () => number;
  readonly #sleep: (ms: number, signal: AbortSignal) => Promise<void>;
  readonly #proxyFor: ProxyChoice;
  readonly #allowInsecureRedirects: boolean;
  readonly #leastSpeed: LeastSpeed;
  readonly #ownHeaders: Readonly<Record<string, string>>;
  readonly #tls: { readonly timeout: number; readonly ca?: string[] };
  readonly #lookup: LookupFunction;
  /** By proxy; '' goes directly, 'private' to private addresses too. */
  readonly #dispatchers = new Map<string, Dispatcher>();
  /** The work on each URL that is under way: two at a time would take turns at its cache. */
  readonly #turns = new Map<string, Promise<unknown>>();
  readonly #closing = new AbortController();

  /** Touches neither disk nor network. Throws ProxyError. */
  constructor(options: FetcherOptions) {
    const environment = options.environment ?? process.env;
    this.#cache = new DownloadCache(options.cacheDirectory);
    this.#nowMs = options.nowMs ?? Date.now;
    this.#random = options.random ?? Math.random;
    this.#sleep = options.sleep ?? ((ms, signal) => sleep(ms, undefined, { signal }));
    this.#proxyFor = proxyChoice(options.proxy, environment);
    this.#allowInsecureRedirects = options.allowInsecureRedirects === true;
    this.#lookup = endedBy(this.#closing.signal, options.lookup ?? systemLookup);
    this.#leastSpeed = options.leastSpeed ?? FETCH_LIMITS.leastSpeed;
    this.#ownHeaders = {
      'user-agent': options.userAgent ?? `rulecast/${ownVersion()}`,
      accept: '*/*',
      'accept-encoding': ACCEPT_ENCODING,
    };
    const extra = options.trustedCertificates ?? [];
    const ca = extra.length === 0 ? {} : { ca: [...rootCertificates, ...extraRoots(environment), ...extra] };
    this.#tls = { timeout: FETCH_LIMITS.connectMs, ...ca };
  }

  /** The current body of a URL, and the cache holds it. Throws FetchError. */
  fetch(request: FetchRequest): Promise<FetchOutcome> {
    return this.#inTurn(request.url, () => this.#fetchNow(request));
  }

  /**
   * The download in the cache, without a request; undefined if there is none, or it is damaged. Throws
   * FetchError `cache`.
   */
  cached(url: string): Promise<FetchOutcome | undefined> {
    return this.#inTurn(url, async () => {
      const download = await this.#findKept(url);
      return download === undefined ? undefined : this.#outcomeOf(url, download);
    });
  }

  /** Aborts all fetches, with FetchError `aborted`, and closes all connections. */
  async close(): Promise<void> {
    this.#closing.abort();
    await Promise.allSettled(this.#turns.values());
    await Promise.all([...this.#dispatchers.values()].map((dispatcher) => dispatcher.destroy()));
    this.#dispatchers.clear();
  }

  #inTurn<T>(url: string, work: () => Promise<T>): Promise<T> {
    const before = this.#turns.get(url) ?? Promise.resolve();
    const next = before.then(work, work);
    this.#turns.set(url, next);
    const leave = (): void => {
      if (this.#turns.get(url) === next) this.#turns.delete(url);
    };
    next.then(leave, leave);
    return next;
  }

  async #fetchNow(request: FetchRequest): Promise<FetchOutcome> {
    const url = parseUrl(request.url);
    const pin = checkPin(request.sha256);
    const kept = await this.#findKept(request.url);
    const current = kept !== undefined && (pin === undefined || kept.sha256 === pin) ? kept : undefined;
    if (pin !== undefined && current !== undefined)
      return this.#outcomeOf(request.url, { ...current, end: 'proven' });
    const room = this.#budget.room(request.allMaxBytes);
    try {
      // A server must not confirm a body that may be incomplete.
      const proven = current?.end === 'proven' ? current : undefined;
      const result = await this.#guardCache(() => this.#persist(request, url, proven, room));
      if (result.kind === 'body') return await this.#keep(request.url, url, result, pin);
      if (current === undefined) throw new Error('a server confirms what it was not told');
      return await this.#confirm(request.url, current, result);
    } finally {
      room.leave();
    }
  }

  async #keep(
    key: string,
    url: URL,
    result: Extract<AttemptResult, { kind: 'body' }>,
    pin: string | undefined,
  ): Promise<FetchOutcome> {
    if (pin !== undefined && result.sha256 !== pin) {
      await result.body.discard();
      const message = `${shownUrl(url)} has the SHA-256 ${result.sha256}, and the configuration wants ${pin}`;
      throw new FetchError(FetchErrorCode.pin, message);
    }
    const { body, sha256, finalUrl, fileName, etag, lastModified } = result;
    const end = pin === undefined ? result.end : 'proven';
    const info: DownloadInfo = {
      url: shownUrl(url),
      finalUrl,
      fileName,
      sha256,
      end,
      etag,
      lastModified,
      fetchedAtMs: this.#nowMs(),
    };
    await this.#guardCache(() => this.#cache.write(key, info, body));
    return { ...this.#outcomeOf(key, { ...info, size: body.size }), kind: 'fresh' };
  }

  /** Attempts until one succeeds, cannot succeed, or was the last; none while it waits for room. */
  async #persist(
    request: FetchRequest,
    url: URL,
    kept: Download | undefined,
    room: Room,
  ): Promise<AttemptResult> {
    let validators: Validators | undefined = kept;
    let roomBytes = SMALL_BODY_BYTES;
    for (let attempt = 1; ; ) {
      await this.#enter(room, roomBytes, request, url);
      try {
        const result = await this.#attempt(request, url, validators, room);
        if (result.kind === 'body' || !isAnotherBody(result.etag, kept)) return result;
        validators = undefined; // it confirms a body that we do not have: ask for that one
      } catch (error) {
        room.leave();
        if (error instanceof RoomError) {
          roomBytes = error.bytes;
          continue;
        }
        const mayHelp =
          error instanceof FetchError && error.temporary && error.code !== FetchErrorCode.timeout;
        if (!mayHelp || attempt === FETCH_LIMITS.attempts) throw error;
        const waitMs = this.#waitMs(attempt, error.retryAfterMs);
        if (waitMs === undefined) throw error;
        await this.#pause(waitMs, request, url);
        attempt++;
      }
    }
  }

  /**
   * The wait before the next attempt: twice as long each time, half of it random; undefined if the server
   * asks for more than we wait.
   */
  #waitMs(attempt: number, retryAfterMs: number | undefined): number | undefined {
    const backoffMs = Math.min(FETCH_LIMITS.backoffMs * 2 ** (attempt - 1), FETCH_LIMITS.backoffMaxMs);
    const jitteredMs = backoffMs * (0.5 + 0.5 * this.#random());
    if (retryAfterMs === undefined) return jitteredMs;
    return retryAfterMs > FETCH_LIMITS.backoffMaxMs ? undefined : retryAfterMs + jitteredMs;
  }

  async #enter(room: Room, bytes: number, request: FetchRequest, url: URL): Promise<void> {
    const signal = anySignal(this.#closing.signal, request.signal);
    await room.enter(bytes, signal).catch(() => {
      throw abortedError(url);
    });
  }

  async #pause(ms: number, request: FetchRequest, url: URL): Promise<void> {
    const signal = anySignal(this.#closing.signal, request.signal);
    try {
      await this.#sleep(ms, signal);
    } catch (error) {
      if (signal.aborted) throw abortedError(url);
      throw error;
    }
  }

  async #attempt(
    request: FetchRequest,
    url: URL,
    validators: Validators | undefined,
    room: Room,
  ): Promise<AttemptResult> {
    const stop = anySignal(this.#closing.signal, request.signal);
    const late = AbortSignal.timeout(request.timeoutMs);
    const allowPrivate = request.allowPrivate === true || isPrivateHost(url);
    const attempt: Attempt = {
      url,
      allowPrivate,
      ownHeaders: this.#ownHeaders,
      privateHeaders: privateHeadersOf(url, request.headers),
      validators,
      maxBytes: request.maxBytes,
      room,
      draft: () => this.#cache.draft(request.url),
      signal: AbortSignal.any([stop, late]),
      allowInsecureRedirects: this.#allowInsecureRedirects,
      leastSpeed: this.#leastSpeed,
      nowMs: this.#nowMs,
      dispatcherFor: (to) => this.#dispatcherFor(to, allowPrivate),
    };
    if (stop.aborted) throw abortedError(url);
    try {
      return await attemptFetch(attempt);
    } catch (error) {
      if (stop.aborted) throw abortedError(url);
      if (!late.aborted) throw error;
      const message = `${shownUrl(url)} took longer than ${request.timeoutMs} ms`;
      throw new FetchError(FetchErrorCode.timeout, message, { temporary: true, cause: error });
    }
  }

  async #dispatcherFor(
    url: URL,
    allowPrivate: boolean,
  ): Promise<{ readonly dispatcher: Dispatcher; readonly proxied: boolean }> {
    // Imported on demand, as it takes a fifth of a start without downloads. A CommonJS library has no named
    // exports in the bundle.
    const { Agent, ProxyAgent } = (await import('undici')).default;
    const proxy = this.#proxyFor(url);
    const key = proxy?.href ?? (allowPrivate ? 'private' : '');
    const lookup = allowPrivate ? this.#lookup : publicLookup(this.#lookup);
    let dispatcher = this.#dispatchers.get(key);
    if (dispatcher === undefined) {
      dispatcher =
        proxy === undefined
          ? new Agent({ connect: { ...this.#tls, lookup }, maxHeaderSize: FETCH_LIMITS.headerBytes })
          : new ProxyAgent({
              uri: proxy.href,
              proxyTunnel: false, // plain http in absolute form: what proxies for updates expect
              requestTls: this.#tls,
              proxyTls: this.#tls,
              maxHeaderSize: FETCH_LIMITS.headerBytes,
            });
      this.#dispatchers.set(key, dispatcher);
    }
    return { dispatcher, proxied: proxy !== undefined };
  }

  /** The body of the cache is current. A server may have new validators for it. */
  async #confirm(
    url: string,
    kept: Download,
    answer: Extract<AttemptResult, { kind: 'not-modified' }>,
  ): Promise<FetchOutcome> {
    const { size, ...info } = kept;
    const confirmed: DownloadInfo = {
      ...info,
      etag: answer.etag ?? info.etag,
      lastModified: answer.lastModified ?? info.lastModified,
      fetchedAtMs: this.#nowMs(),
    };
    await this.#guardCache(() => this.#cache.update(url, confirmed));
    return this.#outcomeOf(url, { ...confirmed, size });
  }

  #findKept(url: string): Promise<Download | undefined> {
    return this.#guardCache(() => this.#cache.find(url));
  }

  #outcomeOf(url: string, download: Download): FetchOutcome {
    const { size, sha256, end, fetchedAtMs, finalUrl, fileName } = download;
    const read = () => this.#guardCache(() => this.#cache.read(url, download));
    return { kind: 'not-modified', size, read, sha256, end, fetchedAtMs, finalUrl, fileName };
  }

  async #guardCache<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof CacheError)) throw error;
      const reason = error.cause instanceof Error ? ` (${error.cause.message})` : '';
      throw new FetchError(FetchErrorCode.cache, `${error.message}${reason}`, {
        cause: error,
        temporary: true,
      });
    }
  }
}

/** Throws FetchError `bad-url`. */
function parseUrl(text: string): URL {
  const refuse = (why: string): never => {
    throw new FetchError(FetchErrorCode.badUrl, why);
  };
  if (text.length > FETCH_LIMITS.urlChars)
    return refuse(`a URL has at most ${FETCH_LIMITS.urlChars} characters`);
  if (!URL.canParse(text)) return refuse(`"${text}" is no URL: write it as https://host/path`);
  const url = new URL(text);
  if (/%(?![0-9a-f]{2})/i.test(url.username + url.password)) {
    return refuse('a % in the credentials of a URL is written %25');
  }
  if (url.protocol === 'https:' || url.protocol === 'http:') return url;
  return refuse(`"${text}" has the scheme ${url.protocol} and only https: and http: are fetched`);
}

function checkPin(sha256: string | undefined): string | undefined {
  if (sha256 === undefined || SHA256_HEX.test(sha256)) return sha256?.toLowerCase();
  throw new TypeError(`sha256: "${sha256}" is not 64 hexadecimal digits`);
}

function privateHeadersOf(
  url: URL,
  headers: Readonly<Record<string, string>> | undefined,
): Readonly<Record<string, string>> {
  const own: Record<string, string> = {};
  if (url.username !== '' || url.password !== '') {
    const pair = `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`;
    own['authorization'] = `Basic ${Buffer.from(pair).toString('base64')}`;
  }
  for (const [name, value] of Object.entries(headers ?? {})) own[name.toLowerCase()] = value;
  return own;
}

/** Whether a strong validator differs from ours, so that the server has another body; RFC 9111 §4.3.4. */
function isAnotherBody(etag: string | undefined, kept: Download | undefined): boolean {
  if (etag === undefined || kept?.etag === undefined) return false;
  return isStrongEtag(etag) && isStrongEtag(kept.etag) && etag !== kept.etag;
}

function anySignal(closing: AbortSignal, asked: AbortSignal | undefined): AbortSignal {
  return asked === undefined ? closing : AbortSignal.any([closing, asked]);
}

function abortedError(url: URL): FetchError {
  return new FetchError(FetchErrorCode.aborted, `the fetch of ${shownUrl(url)} was cancelled`);
}

/** Certificates of our own replace those that Node read from NODE_EXTRA_CA_CERTS, so these are read again. */
function extraRoots(environment: Readonly<Record<string, string | undefined>>): readonly string[] {
  const path = environment['NODE_EXTRA_CA_CERTS'];
  if (path === undefined || path === '') return [];
  try {
    return [readFileSync(path, 'utf8')];
  } catch {
    return []; // Node has warned about it
  }
}

function ownVersion(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  const manifest: unknown = JSON.parse(text);
  const isRead = typeof manifest === 'object' && manifest !== null && 'version' in manifest;
  return isRead && typeof manifest.version === 'string' ? manifest.version : 'unknown';
}

/**
 * The same, but nobody waits for an answer once `signal` is aborted: a resolver may take ten seconds for
 * none.
 */
function endedBy(signal: AbortSignal, lookup: LookupFunction): LookupFunction {
  return (hostname, options, callback) => {
    const end = (): void => tell(new Error('the lookup is not waited for'), '');
    const tell: typeof callback = (error, address, family) => {
      if (isTold) return;
      isTold = true;
      signal.removeEventListener('abort', end);
      callback(error, address, family);
    };
    let isTold = false;
    signal.addEventListener('abort', end);
    lookup(hostname, options, tell);
  };
}
