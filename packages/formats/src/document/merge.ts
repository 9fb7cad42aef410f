/**
 * Merges one YAML document into another, keeping the comments of both, for `rulectl init`, which adds
 * presets. Only for documents that `parseTree` accepts: the library nests by recursion.
 */

import { type Document, isMap, isScalar, isSeq, type Node, parseDocument, YAMLMap, type YAMLSeq } from 'yaml';

/** As parseTree reads: every scalar is the text that somebody wrote. */
const READING = { schema: 'failsafe', resolveKnownTags: false, merge: false } as const;
const WRITING = { lineWidth: 0, flowCollectionPadding: false } as const;

/**
 * The text of `base` with all that `more` says, or undefined where it has that already. Mappings are joined
 * by key, sequences by item, with drops before the first accept; of two texts that of `base` stays, unless
 * the other is `drop`. Entries of the mappings `whole` of the root are taken from `more` as they are.
 */
export function mergeDocument(base: string, more: string, whole: ReadonlySet<string>): string | undefined {
  const [document, added] = [parseDocument(base, READING), parseDocument(more, READING)];
  if (!isMap(added.contents)) return undefined;
  if (document.contents === null)
    document.contents = new YAMLMap<Node, Node>() as Document.Parsed['contents'];
  if (!isMap(document.contents) || !joinMaps(document.contents, added.contents, true, whole))
    return undefined;
  return document.toString(WRITING);
}

/** Whether anything was added. Keys that `whole` names have entries that are taken as they are. */
function joinMaps(base: YAMLMap, more: YAMLMap, isRoot = false, whole?: ReadonlySet<string>): boolean {
  let changed = false;
  const [first] = more.items;
  // The library gives the comment before the first key to the mapping.
  if (isScalar(first?.key) && more.commentBefore) first.key.commentBefore = more.commentBefore;
  for (const pair of more.items) {
    const key = String(isScalar(pair.key) ? pair.key.value : pair.key);
    const before: unknown = base.get(key, true);
    if (before === undefined) {
      if (base.items.length === 0) base.flow = false; // an empty mapping is written as {}
      if (isRoot && isScalar(pair.key)) pair.key.spaceBefore = true;
      base.items.push(pair);
      changed = true;
    } else if (whole?.has(key) && isMap(before) && isMap(pair.value))
      changed = takeEntries(before, pair.value) || changed;
    else changed = joinValues(base, key, before, pair.value) || changed;
  }
  return changed;
}

function takeEntries(base: YAMLMap, more: YAMLMap): boolean {
  const differs = more.items.filter(({ key, value }) => {
    const before: unknown = base.get(key, true);
    return JSON.stringify(before) !== JSON.stringify(value);
  });
  for (const { key } of differs) base.delete(key);
  return joinMaps(base, Object.assign(more, { items: differs }));
}

function joinValues(base: YAMLMap, key: string, before: unknown, more: unknown): boolean {
  if (isMap(before) && isMap(more)) return joinMaps(before, more);
  if (isSeq(before) && isSeq(more)) return joinSequences(before, more);
  if (!isScalar(before) || !isScalar(more) || more.value !== 'drop' || before.value === 'drop') return false;
  base.set(key, more);
  return true;
}

function joinSequences(base: YAMLSeq, more: YAMLSeq): boolean {
  const texts = new Set(base.items.map((item) => JSON.stringify(item)));
  const added = more.items.filter((item) => !texts.has(JSON.stringify(item)));
  const isDrop = (item: unknown): boolean => isScalar(item) && /^drop\b/.test(String(item.value));
  const isAccept = (item: unknown): boolean => isScalar(item) && /^accept\b/.test(String(item.value));
  for (const item of added) {
    const accept = isDrop(item) ? base.items.findIndex(isAccept) : -1;
    base.items.splice(accept < 0 ? base.items.length : accept, 0, item);
  }
  return added.length > 0;
}
