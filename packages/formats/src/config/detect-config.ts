/** Tells a configuration of the publisher from files of a rule set. */

import type { MappingNode } from '../document/node.ts';
import { DOCUMENT_SCHEMA } from '../document/schema.ts';
import { parseTree } from '../document/tree.ts';
import { isJsonList } from '../list/detect-list.ts';
import { FORMAT_LIMITS } from '../text/limits.ts';
import { contentStart, SAMPLE_BYTES, sampleLines } from '../text/sample.ts';
import { CONFIG_KEYS } from './config.ts';
import { declaredIn } from './key.ts';

/** First lines that documents and configurations have; no list of names or addresses has one. */
const HEAD = /^(?:---|%YAML\b|\{|["']?[a-z][\w-]*["']?\s*:(?:\s|$))/;
const NAME = /(?:^|\/)publisher\.(?:ya?ml|json)$/i;

const CONFIG_NAMES: ReadonlyMap<string, unknown> = declaredIn(CONFIG_KEYS);
/** Both have lists; a list of a rule set document has these keys only. */
const { lists: listsOfDocument, ...ofDocument } = DOCUMENT_SCHEMA.properties;
const listOfDocument = listsOfDocument.additionalProperties.properties;

/** By a key that only one of both has; else by the name of the file. */
export function isConfig(fileName: string, bytes: Uint8Array): boolean {
  const [head = ''] = [...sampleLines(bytes, contentStart(bytes))].filter((line) => !line.startsWith('#'));
  const isFeed = bytes.length > SAMPLE_BYTES && isJsonList(bytes); // megabytes of JSON are no configuration
  if (!HEAD.test(head) || isFeed) return NAME.test(fileName);
  const { root } = parseTree(bytes, FORMAT_LIMITS);
  if (root?.kind !== 'mapping') return NAME.test(fileName);
  const keys = [...root.entries.keys()];
  if (keys.some((key) => key !== 'lists' && CONFIG_NAMES.has(key))) return true;
  if (keys.some((key) => Object.hasOwn(ofDocument, key))) return false;
  const lists = root.entries.get('lists')?.value;
  return (lists?.kind === 'mapping' && hasSource(lists)) || NAME.test(fileName);
}

/** Whether one of the lists has a key that only the publisher understands, such as `url:`. */
function hasSource(lists: MappingNode): boolean {
  return [...lists.entries.values()].some(
    ({ value }) =>
      value.kind === 'mapping' &&
      [...value.entries.keys()].some((key) => !Object.hasOwn(listOfDocument, key)),
  );
}
