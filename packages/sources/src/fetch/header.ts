/**
 * The headers of HTTP that need a reader: Retry-After, Content-Disposition, ETag; and the name of a download.
 */

import type { BodyEnd } from './cache.ts';

/** Headers as undici gives them: names in lower case. */
export type ResponseHeaders = Readonly<Record<string, string | string[] | undefined>>;

/** One value of a header, the first if it was sent twice. */
export function headerOf(headers: ResponseHeaders, name: string): string | undefined {
  const value = headers[name];
  return Array.isArray(value) ? value[0] : value;
}

/**
 * The wait in Retry-After: seconds or a date (RFC 9110 §10.2.3), in milliseconds from `nowMs`, never below 0.
 * Undefined if it cannot be read.
 */
export function retryAfterMs(text: string | undefined, nowMs: number): number | undefined {
  if (text === undefined) return undefined;
  const word = text.trim();
  if (/^\d{1,9}$/.test(word)) return Number(word) * 1000;
  // Only the three forms of HTTP dates begin with the name of a day; Date.parse alone would read almost
  // anything.
  const dateMs = /^[A-Z][a-z]{2}/.test(word) ? Date.parse(word) : Number.NaN;
  return Number.isNaN(dateMs) ? undefined : Math.max(0, dateMs - nowMs);
}

/**
 * How the end of a body is marked (RFC 9112 §6.3). A content encoding has an end of its own, and its decoder
 * notices if that is missing; so do readers of bodies with a length or in chunks.
 */
export function bodyEndOf(headers: ResponseHeaders): BodyEnd {
  const encoding = (headerOf(headers, 'content-encoding') ?? '').trim().toLowerCase();
  const isEncoded = encoding !== '' && encoding !== 'identity';
  const isChunked = /(?:^|,)\s*chunked\s*$/i.test(headerOf(headers, 'transfer-encoding') ?? '');
  return isEncoded || isChunked || headerOf(headers, 'content-length') !== undefined
    ? 'proven'
    : 'connection';
}

const SECOND_MS = 1000;

/**
 * Last-Modified, where it tells one state of a file from another: it counts seconds, so that a file which was
 * changed in the second of the answer may change once more and keep it (RFC 9110 §8.8.2.2).
 */
export function lastModifiedOf(headers: ResponseHeaders): string | undefined {
  const modified = headerOf(headers, 'last-modified');
  const sinceMs = Date.parse(headerOf(headers, 'date') ?? '') - Date.parse(modified ?? '');
  return sinceMs < SECOND_MS ? undefined : modified;
}

/** A weak validator promises a body that means the same, a strong one the same bytes; RFC 9110 §8.8.1. */
export function isStrongEtag(etag: string): boolean {
  return etag.startsWith('"');
}

const NAME_MAX_CHARS = 200;

/**
 * The name of a download: of Content-Disposition (RFC 6266), else the last part of the address that was
 * reached at last, else of the one asked for. It never holds a slash, and serves to tell and to name: nothing
 * is decided or stored by it.
 */
export function fileNameOf(disposition: string | undefined, finalUrl: URL, url: URL): string {
  const candidates = [dispositionName(disposition), lastSegment(finalUrl), lastSegment(url)];
  for (const candidate of candidates) {
    const name = plainName(candidate ?? '');
    if (name !== '') return name;
  }
  return url.hostname;
}

function dispositionName(disposition: string | undefined): string | undefined {
  if (disposition === undefined) return undefined;
  const extended = /;\s*filename\*\s*=\s*UTF-8''([^;\s]+)/i.exec(disposition)?.[1];
  if (extended !== undefined) return decoded(extended);
  const quoted = /;\s*filename\s*=\s*"((?:[^"\\]|\\.)*)"/i.exec(disposition)?.[1];
  if (quoted !== undefined) return quoted.replace(/\\(.)/g, '$1');
  return /;\s*filename\s*=\s*([^;\s"]+)/i.exec(disposition)?.[1];
}

function lastSegment(url: URL): string {
  return decoded(url.pathname.slice(url.pathname.lastIndexOf('/') + 1));
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/**
 * The part after the last slash of either kind, without control characters; empty for the name of a
 * directory.
 */
function plainName(text: string): string {
  const base = text.slice(Math.max(text.lastIndexOf('/'), text.lastIndexOf('\\')) + 1);
  const clean = base.replace(/\p{C}/gu, '').trim().slice(0, NAME_MAX_CHARS);
  return clean === '.' || clean === '..' ? '' : clean;
}
