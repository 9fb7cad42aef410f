/**
 * The proxy of a request, from the usual environment variables: `http_proxy`, `https_proxy`, `all_proxy` and
 * `no_proxy`, lower case before upper case. In Qubes a template reaches the network by the update proxy only,
 * on its port 8082; it is set like any other, or by the name `qubes`.
 */

import { isIPv6 } from 'node:net';

/** Which proxy for which URL; undefined: none. */
export type ProxyChoice = (url: URL) => URL | undefined;

/** A proxy that cannot be used as it is written. */
export class ProxyError extends Error {
  readonly code = 'bad-proxy';
}

/** Qubes' update proxy, as a template sees it (qubes-core-agent-linux, `qubes-updates-proxy-forwarder`). */
const QUBES_UPDATE_PROXY = 'http://127.0.0.1:8082/';

/**
 * No proxy, that of the environment, or one for everything: a URL, or `qubes` for Qubes' update proxy. Throws
 * ProxyError.
 */
export function proxyChoice(
  setting: string | undefined,
  environment: Readonly<Record<string, string | undefined>>,
): ProxyChoice {
  if (setting === undefined || setting === 'environment') return proxyOfEnvironment(environment);
  if (setting === 'none') return () => undefined;
  const proxy = proxyUrl('the proxy', setting);
  return () => proxy;
}

function proxyOfEnvironment(environment: Readonly<Record<string, string | undefined>>): ProxyChoice {
  const all = proxyVariable(environment, 'all_proxy');
  const http = proxyVariable(environment, 'http_proxy') ?? all;
  const https = proxyVariable(environment, 'https_proxy') ?? all;
  const exceptions = parseExceptions(variable(environment, 'no_proxy') ?? '');
  return (url) => {
    const proxy = url.protocol === 'https:' ? https : http;
    return proxy === undefined || exceptions.some((exception) => matches(exception, url)) ? undefined : proxy;
  };
}

function variable(
  environment: Readonly<Record<string, string | undefined>>,
  name: string,
): string | undefined {
  const text = environment[name] ?? environment[name.toUpperCase()];
  return text === undefined || text.trim() === '' ? undefined : text.trim();
}

function proxyVariable(
  environment: Readonly<Record<string, string | undefined>>,
  name: string,
): URL | undefined {
  const text = variable(environment, name);
  return text === undefined ? undefined : proxyUrl(name, text);
}

/** As curl reads it: without a scheme it is a plain HTTP proxy. */
function proxyUrl(what: string, text: string): URL {
  if (text === 'qubes') return new URL(QUBES_UPDATE_PROXY);
  const full = text.includes('://') ? text : `http://${text}`;
  if (!URL.canParse(full)) throw new ProxyError(`${what} is not a URL such as http://127.0.0.1:8082`);
  const url = new URL(full);
  if (url.protocol !== 'http:' && url.protocol !== 'https:') {
    throw new ProxyError(
      `${what} has the scheme ${url.protocol} and only http: and https: proxies are known`,
    );
  }
  return url;
}

interface Exception {
  /** `*` for every host; lower case, without brackets and leading dots. */
  readonly host: string;
  /** undefined: every port. */
  readonly port: string | undefined;
}

function parseExceptions(text: string): readonly Exception[] {
  const exceptions: Exception[] = [];
  for (const word of text.toLowerCase().split(/[\s,]+/)) {
    if (word === '') continue;
    const split = isIPv6(word) ? null : /^(.+):(\d+)$/.exec(word);
    const host = (split?.[1] ?? word).replace(/^\[(.*)\]$/, '$1').replace(/^\*?\./, '');
    exceptions.push({ host, port: split?.[2] });
  }
  return exceptions;
}

/** A host, its subdomains, or all. */
function matches({ host, port }: Exception, url: URL): boolean {
  const urlPort = url.port === '' ? (url.protocol === 'https:' ? '443' : '80') : url.port;
  if (port !== undefined && port !== urlPort) return false;
  const urlHost = url.hostname.replace(/^\[(.*)\]$/, '$1');
  return host === '*' || urlHost === host || urlHost.endsWith(`.${host}`);
}
