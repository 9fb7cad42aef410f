/** Where a configuration says that downloads come from. */

import type { MappingNode, TextNode } from '../document/tree.ts';
import { quote } from '../text/bytes.ts';
import { FORMAT_LIMITS } from '../text/limits.ts';
import { ConfigFault, type ConfigNodeReader } from './node.ts';
import { fault, readSize, type ValueResult } from './value.ts';

/** Where downloads come from. */
export interface FetchConfig {
  readonly kind: 'url';
  /** What they hold is one list together. */
  readonly urls: readonly string[];
  readonly headers: Readonly<Record<string, string>>;
  /** 64 lower-case hex digits: what the download must hash to. With one URL only. */
  readonly sha256: string | undefined;
  readonly maxBytes: number | undefined;
  /** Whether it may come from a private address though its URL is of the Internet. */
  readonly allowPrivate: boolean;
}

/** Our choice: more are a list each, joined by an expression. */
const URLS_MAX = 64;

/** Reads `url:` and what goes with it. */
export function readFetch(node: MappingNode, reader: ConfigNodeReader): FetchConfig | undefined {
  const nodes = reader.texts(node, 'url');
  if (nodes === undefined) return undefined;
  const urls = nodes.filter((url) => isFetchable(url, reader)).map(({ value }) => value);
  if (nodes.length === 0 || nodes.length > URLS_MAX) {
    const offset = node.entries.get('url')?.keyOffset ?? node.offset;
    reader.fault(offset, ConfigFault.limit, `url: takes 1 to ${URLS_MAX} URLs`);
  }
  const pin = reader.text(node, 'sha256');
  if (pin !== undefined && urls.length > 1) {
    reader.fault(
      pin.offset,
      ConfigFault.misplaced,
      'sha256: goes with one URL: make a list for each, and join them with union:',
    );
  }
  return {
    kind: 'url',
    urls,
    headers: readHeaders(node, reader),
    sha256: reader.value(node, 'sha256', readSha256),
    allowPrivate: reader.flag(node, 'allow-private') ?? false,
    maxBytes: reader.value(node, 'max-bytes', (text) => readSize(text, FORMAT_LIMITS.inputBytes)),
  };
}

function isFetchable(node: TextNode, reader: ConfigNodeReader): boolean {
  const url = URL.canParse(node.value) ? new URL(node.value) : undefined;
  if (url?.protocol === 'https:' || url?.protocol === 'http:') return true;
  const reason = `${quote(node.value)} is no https: or http: URL; for a file write file: PATH`;
  reader.fault(node.offset, ConfigFault.value, reason);
  return false;
}

function readHeaders(node: MappingNode, reader: ConfigNodeReader): Readonly<Record<string, string>> {
  const headers: Record<string, string> = {};
  for (const [name, { keyOffset, value }] of reader.entries(reader.mapping(node, 'headers'))) {
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
