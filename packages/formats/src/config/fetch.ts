/** Download sources in a configuration. */

import type { MappingNode, TextNode } from '../document/node.ts';
import { quote } from '../text/bytes.ts';
import { FORMAT_LIMITS } from '../text/limits.ts';
import {
  type Filled,
  filled,
  flag,
  type Key,
  type Keys,
  named,
  otherwise,
  scalar,
  TEXT,
  texts,
  type Values,
  withSources,
} from './key.ts';
import { ConfigFault, type ConfigReader, keyOffsetOf } from './reader.ts';
import { fault, readSize, type ValueResult } from './value.ts';

/** Our choice: more are a list each, joined by an expression. */
export const URLS_MAX = 64;

/** A key that goes with a download only. */
export function ofUrl<K extends Key<unknown, unknown>>(key: K): K {
  return withSources(['url'], key);
}

const HEADERS = named(
  TEXT,
  readHeaders,
  'headers of the request, `NAME: VALUE`; they go to the origin of the URL only',
);

export const DOWNLOAD_KEYS = {
  headers: ofUrl(otherwise({}, HEADERS)),
  sha256: ofUrl(scalar(readSha256, 'the SHA-256 that the download must have; with one URL')),
  maxBytes: ofUrl(
    scalar(
      (text) => readSize(text, FORMAT_LIMITS.inputBytes),
      'most bytes of the download; without it, `limits: bytes`',
    ),
  ),
  allowPrivate: ofUrl(flag('whether a URL of the Internet may lead to this host or a private network')),
} as const satisfies Keys;

export const FETCH_KEYS = {
  url: texts(fetchableOf, `where it is downloaded from: 1 to ${URLS_MAX} URLs, which are one list together`),
  ...DOWNLOAD_KEYS,
} as const satisfies Keys;

/** The source of a download. */
export interface FetchConfig extends Filled<typeof DOWNLOAD_KEYS> {
  readonly kind: 'url';
  /** Their contents form one list together. */
  readonly urls: readonly string[];
}

/** The download described by a mapping that has `url:`. */
export function fetchOf(
  values: Values<typeof FETCH_KEYS>,
  node: MappingNode,
  reader: ConfigReader,
): FetchConfig | undefined {
  const { url } = values;
  if (url === undefined) return undefined;
  if (url.count === 0 || url.count > URLS_MAX) {
    reader.fault(keyOffsetOf(node, 'url'), ConfigFault.limit, `url: takes 1 to ${URLS_MAX} URLs`);
  }
  const pin = node.entries.get('sha256')?.value;
  if (pin?.kind === 'text' && pin.value !== '' && url.urls.length > 1) {
    const reason = 'sha256: goes with one URL: make a list for each, and join them with union:';
    reader.fault(pin.offset, ConfigFault.misplaced, reason);
  }
  return { kind: 'url', urls: url.urls, ...filled(DOWNLOAD_KEYS, values) };
}

/** The valid URLs, and the number of all. */
function fetchableOf(
  nodes: readonly TextNode[],
  _key: string,
  reader: ConfigReader,
): { readonly urls: readonly string[]; readonly count: number } {
  const urls = nodes.filter((node) => isFetchable(node, reader)).map(({ value }) => value);
  return { urls, count: nodes.length };
}

function isFetchable(node: TextNode, reader: ConfigReader): boolean {
  const url = URL.canParse(node.value) ? new URL(node.value) : undefined;
  if (url?.protocol === 'https:' || url?.protocol === 'http:') return true;
  const reason = `${quote(node.value)} is no https: or http: URL; for a file write file: PATH`;
  reader.fault(node.offset, ConfigFault.value, reason);
  return false;
}

function readHeaders(node: MappingNode, reader: ConfigReader): Readonly<Record<string, string>> {
  const headers: Record<string, string> = {};
  for (const [name, { keyOffset, value }] of node.entries) {
    const isSound =
      /^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}$/.test(name) &&
      value.kind === 'text' &&
      /^[\t\x20-\x7e]{0,4096}$/.test(value.value);
    if (isSound && value.kind === 'text') headers[name] = value.value;
    else
      reader.fault(keyOffset, ConfigFault.value, `${quote(name)} is no header: write NAME: VALUE in ASCII`);
  }
  return headers;
}

function readSha256(text: string): ValueResult<string> {
  const digits = text.toLowerCase();
  if (/^[0-9a-f]{64}$/.test(digits)) return { kind: 'value', value: digits };
  return fault('write the 64 hex digits that sha256sum prints');
}
