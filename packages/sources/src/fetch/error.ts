/** Why a download failed, with the data that a schedule needs to decide. */

import { PRIVATE_ADDRESS_CODE } from './private-address.ts';

export const FetchErrorCode = {
  badUrl: 'bad-url',
  /** Aborted by the caller, or by closing. */
  aborted: 'aborted',
  /** The attempt took longer than its timeout, or than one of our own limits. */
  timeout: 'timeout',
  /** No connection, or one that broke. */
  connection: 'connection',
  /** The server's identity cannot be verified. */
  tls: 'tls',
  proxy: 'proxy',
  /** The server answered with an error; see `status`. */
  status: 'status',
  /** A loop, too many, one without a place, or one to where we do not go. */
  redirect: 'bad-redirect',
  /** A server of the Internet leads to this host or to a network beside it. */
  private: 'private-address',
  tooLarge: 'too-large',
  /** The body is shorter than the server said, or its compression has no end. */
  truncated: 'truncated',
  /** A content encoding that was not requested, or that is malformed. */
  encoding: 'bad-encoding',
  /** The body is not the one that the configuration pins. */
  pin: 'pin-mismatch',
  /** The download cannot be stored. */
  cache: 'cache',
} as const;
export type FetchErrorCode = (typeof FetchErrorCode)[keyof typeof FetchErrorCode];

/** The cache cannot be read or written. Its content is still there. */
export class CacheError extends Error {
  readonly code = 'cache';
}

export interface FetchErrorOptions extends ErrorOptions {
  /** Status of the HTTP answer. */
  readonly status?: number;
  /** The wait that the server requests, from now. */
  readonly retryAfterMs?: number | undefined;
  /** Whether another try may succeed without any change. */
  readonly temporary?: boolean;
}

/** The download failed, and the cache is unchanged. The message names the URL without its credentials. */
export class FetchError extends Error {
  readonly code: FetchErrorCode;
  readonly status?: number;
  readonly retryAfterMs?: number;
  readonly temporary: boolean;

  constructor(code: FetchErrorCode, message: string, options: FetchErrorOptions = {}) {
    super(message, options);
    this.code = code;
    this.temporary = options.temporary ?? false;
    if (options.status !== undefined) this.status = options.status;
    if (options.retryAfterMs !== undefined) this.retryAfterMs = options.retryAfterMs;
  }
}

/** Another server may answer these, or the same one later. */
const TEMPORARY_STATUS: ReadonlySet<number> = new Set([
  408, 421, 425, 429, 500, 502, 503, 504, 507, 522, 524,
]);

/** The error of an HTTP status. */
export function statusError(url: string, status: number, retryAfterMs: number | undefined): FetchError {
  const hint =
    status === 401 || status === 403
      ? ': it needs credentials, or it blocks this address or client'
      : status === 404 || status === 410
        ? ': the feed is gone or its address has changed'
        : status === 429
          ? ': too many requests: raise interval:'
          : '';
  return new FetchError(FetchErrorCode.status, `${url} answers with HTTP status ${status}${hint}`, {
    status,
    retryAfterMs,
    temporary: TEMPORARY_STATUS.has(status),
  });
}

/**
 * The codes of Node and OpenSSL that mean that a certificate does not do;
 * https://nodejs.org/api/tls.html#x509-certificate-error-codes
 */
const CERTIFICATE_CODE =
  /^(CERT_|UNABLE_TO_|DEPTH_ZERO_|SELF_SIGNED_|ERR_TLS_CERT|HOSTNAME_MISMATCH|INVALID_CA|ERR_SSL_)/;
const TIMEOUT_CODES: ReadonlySet<string> = new Set([
  'ETIMEDOUT',
  'UND_ERR_CONNECT_TIMEOUT',
  'UND_ERR_HEADERS_TIMEOUT',
  'UND_ERR_BODY_TIMEOUT',
]);
/** The message of undici's ProxyAgent for a refused tunnel. */
const TUNNEL_REFUSED = /^Proxy response \((\d{3})\)/;

/** The error of a failure below HTTP, by the codes of undici, Node and OpenSSL. */
export function transportError(url: string, cause: unknown, proxied: boolean): FetchError {
  const error = firstCause(cause);
  const tunnel = TUNNEL_REFUSED.exec(error.message);
  if (tunnel !== null) {
    const status = Number(tunnel[1]);
    const temporary = status >= 500;
    const message = `the proxy refuses to connect to ${url}: HTTP status ${status}`;
    return new FetchError(FetchErrorCode.proxy, message, { status, temporary, cause });
  }
  const { code = '' } = error;
  if (code === PRIVATE_ADDRESS_CODE) return privateError(url, url, cause);
  if (TIMEOUT_CODES.has(code)) {
    return new FetchError(FetchErrorCode.timeout, `${url} does not answer in time (${error.message})`, {
      temporary: true,
      cause,
    });
  }
  if (CERTIFICATE_CODE.test(code)) {
    const message = `${url} does not show a certificate that can be trusted (${error.message})`;
    return new FetchError(FetchErrorCode.tls, message, { cause });
  }
  if (code === 'UND_ERR_RES_CONTENT_LENGTH_MISMATCH') {
    return truncatedError(url, cause);
  }
  const through = proxied ? ' through the proxy' : '';
  const message = `no connection to ${url}${through} (${error.message === '' ? code : error.message})`;
  return new FetchError(FetchErrorCode.connection, message, { temporary: true, cause });
}

/** A download of `url` would come from a private address, `to`. */
export function privateError(url: string, to: string, cause?: unknown): FetchError {
  const what = url === to ? 'leads to a private address' : `leads to ${to}, a private address`;
  const message = `${url} ${what}: write allow-private: true if that is meant`;
  return new FetchError(FetchErrorCode.private, message, { cause });
}

export function truncatedError(url: string, cause?: unknown): FetchError {
  const message = `${url} broke off: the body is shorter than the server said`;
  return new FetchError(FetchErrorCode.truncated, message, { temporary: true, cause });
}

/** The first failure if several addresses were tried; the inner one of a wrapped error. */
function firstCause(cause: unknown): { readonly message: string; readonly code?: string } {
  if (cause instanceof AggregateError && cause.errors.length > 0) return firstCause(cause.errors[0]);
  if (!(cause instanceof Error)) return { message: String(cause) };
  if (cause.cause instanceof Error && !('code' in cause)) return firstCause(cause.cause);
  return cause;
}
