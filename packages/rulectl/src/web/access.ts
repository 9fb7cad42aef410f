/**
 * Access to the page: a link that `rulectl web` prints works once, for the browser that opens it.
 *
 *   http://127.0.0.1:PORT/#SECRET ─POST /enter─▶ cookie of /PLACE/ alone ─▶ http://127.0.0.1:PORT/PLACE/
 *
 * A fragment is in no request and in no log. A browser sends a cookie to every port of an address, other
 * people's servers included: so it is bound to one secret path. Pure.
 */

import { timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';

/** Our choice: 128 bits are not guessed. */
const SECRET_BYTES = 16;
const COOKIE = 'rulecast';

export class Access {
  /** Everything below this path needs the cookie. */
  readonly base: string;
  readonly #host: string;
  readonly #random: (bytes: number) => Buffer;
  #secret: string | undefined;
  readonly #cookies: string[] = [];

  /** `host`: with the port. */
  constructor(host: string, random: (bytes: number) => Buffer) {
    this.#host = new URL(`http://${host}`).host; // as a browser writes it: without port 80
    this.#random = random;
    this.base = `/${this.#newSecret()}/`;
  }

  /** A link that opens the page once. The one before opens nothing any more. */
  newLink(): string {
    this.#secret = this.#newSecret();
    return `http://${this.#host}/#${this.#secret}`;
  }

  /** The value of Set-Cookie for the secret of the link, which is used up; undefined for any other text. */
  enter(secret: string): string | undefined {
    if (this.#secret === undefined || !isSame(secret, this.#secret)) return undefined;
    this.#secret = undefined;
    const cookie = this.#newSecret();
    this.#cookies.push(cookie);
    return `${COOKIE}=${cookie}; Path=${this.base}; HttpOnly; SameSite=Strict`;
  }

  /** Whether a request is of a browser that was let in, for something below `base`. */
  isIn(path: string, { cookie = '' }: IncomingHttpHeaders): boolean {
    if (!isSame(path.slice(0, this.base.length), this.base)) return false;
    const values = cookie.split('; ').map((pair) => pair.slice(`${COOKIE}=`.length));
    return this.#cookies.some((own) => values.some((value) => isSame(value, own)));
  }

  /**
   * Why a request is no business of ours: it is for another host, as after DNS rebinding; or another site
   * made it. Only the first page may be linked to from elsewhere: there is nothing on it.
   */
  refusal(
    method: string,
    path: string,
    headers: IncomingHttpHeaders,
  ): { readonly status: 403 | 421; readonly text: string } | undefined {
    const { host, origin, 'sec-fetch-site': site } = headers;
    if (host !== this.#host) return { status: 421, text: `this is http://${this.#host}/` };
    const isOwn = origin === `http://${this.#host}` || (origin === undefined && method !== 'POST');
    const isLinked = method === 'GET' && path === '/';
    if (isOwn && (isLinked || site === undefined || site === 'same-origin' || site === 'none'))
      return undefined;
    return { status: 403, text: 'another site asked for this' };
  }

  #newSecret(): string {
    return this.#random(SECRET_BYTES).toString('hex');
  }
}

/** Compares in constant time. */
function isSame(text: string, secret: string): boolean {
  const [a, b] = [Buffer.from(text), Buffer.from(secret)];
  return a.length === b.length && timingSafeEqual(a, b);
}
