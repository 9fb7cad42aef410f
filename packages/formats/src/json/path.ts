/**
 * Lists in JSON of any shape: each value found by a path of RFC 9535 is an entry. The library returns the way
 * to a value, which is followed again on the tape to get its place. Addresses that the path misses are
 * counted.
 */

import type { Collector } from '../collect/collector.ts';
import { ImportFault, type JsonQuery } from '../collect/options.ts';
import { isAddress } from '../text/within.ts';
import type { JsonTape } from './tape.ts';
import { importJson, type JsonImport, rejectValue, useEntry } from './values.ts';

/** Our choice: the library holds each value and its way as objects, some 500 bytes. */
const VALUES_MAX = 2 ** 21;

/** Uses the values that a path finds in each value of a file; a JSON file has one. */
export function importJsonPath(collector: Collector, start: number, query: JsonQuery): void {
  importJson(collector, start, 'sequence', (source) => readPath(source, query));
}

function readPath(source: JsonImport, query: JsonQuery): void {
  const { tape, collector } = source;
  if (tape.count > VALUES_MAX) {
    const reason = `json: takes at most ${VALUES_MAX} keys and values, and the file has ${tape.count}`;
    collector.refuseFile({ line: 1, column: 1, code: ImportFault.json, reason });
    return;
  }
  const isFound = new Uint8Array(tape.count);
  for (let root = 0; root < tape.count; root = tape.next(root)) {
    const children = new Children(tape);
    const next = tape.next(root);
    const end = next < tape.count ? tape.startOf(next) : tape.bytes.length;
    query(JSON.parse(tape.bytes.toString('utf8', tape.startOf(root), end)), (way) => {
      const value = way.reduce<number>((at, key, depth) => children.of(depth, at, key), root);
      if (value < 0)
        rejectValue(source, root, 'a key with quotes, or with more than 128 characters, is not read');
      else isFound[value] = 1;
    });
  }
  for (let value = 0; value < tape.count && !collector.isFull; value++) {
    const isString = tape.kind(value) === 'string';
    if (isFound[value] === 1 && isString) useEntry(source, value);
    else if (isFound[value] === 1) rejectValue(source, value, 'the path leads to no string');
    else if (isString && isAddress(tape.text(value))) useEntry(source, value, 'other-column');
  }
}

/** The values in objects and arrays, by key; caches those of the last one at each depth. */
class Children {
  readonly #tape: JsonTape;
  readonly #kept: { readonly of: number; readonly values: ReadonlyMap<string | number, number> }[] = [];

  constructor(tape: JsonTape) {
    this.#tape = tape;
  }

  /** The value under a key, of a repeated one the last, as JSON.parse has it; -1 if there is none. */
  of(depth: number, container: number, key: string | number): number {
    if (container < 0) return -1;
    let kept = this.#kept[depth];
    if (kept?.of !== container) {
      const values = new Map<string | number, number>();
      this.#tape.members(container, (name, value) => values.set(name, value));
      this.#tape.items(container, (value) => values.set(values.size, value));
      kept = { of: container, values };
      this.#kept[depth] = kept;
    }
    return kept.values.get(key) ?? -1;
  }
}
