/** Values of lists in JSON: used, rejected where they stand, or passed over. */

import type { Collector } from '../collect/collector.ts';
import { EntryFilter } from '../collect/filter.ts';
import { ImportFault, type SkipCode } from '../collect/options.ts';
import { JsonCursor, JsonError, type JsonText } from './cursor.ts';

/** What a reader works with. */
export interface JsonImport {
  readonly json: JsonCursor;
  readonly collector: Collector;
  readonly filter: EntryFilter;
}

/** Runs a reader over the file; what is no JSON makes the file unusable. */
export function importJson(collector: Collector, start: number, read: (source: JsonImport) => void): void {
  const json = new JsonCursor(collector.bytes, start);
  try {
    read({ json, collector, filter: new EntryFilter(collector.options) });
    if (json.peek() !== 'end' && !collector.isFull) throw json.error('more text behind the end of the value');
  } catch (error) {
    if (!(error instanceof JsonError)) throw error;
    const { line, column } = error;
    const code = error.isTruncated ? ImportFault.truncated : ImportFault.json;
    collector.refuseFile({ line, column, code, reason: `no valid JSON: ${error.message}` });
  }
  collector.line = json.lineCount;
}

/** Says to the collector where a value stands. */
export function place(collector: Collector, value: JsonText): void {
  collector.line = value.line;
  collector.lineStart = value.lineStart;
  collector.at = value.at;
}

export function useAddress(collector: Collector, value: JsonText, other?: SkipCode): void {
  place(collector, value);
  if (other !== undefined) collector.skip(other);
  else collector.address(value.text, value.start, value.end);
}

/** Uses a value as what the list holds, which it may decide. */
export function useEntry(collector: Collector, value: JsonText): void {
  place(collector, value);
  collector.entry(value.text, value.start, value.end);
}

/** Reads an array of strings; what else stands in it is rejected. */
export function eachString({ json, collector }: JsonImport, use: (value: JsonText) => void): void {
  if (json.peek() !== 'array') {
    rejectHere(json, collector, 'an array of strings was expected');
    return;
  }
  json.array(() => {
    if (collector.isFull) json.skip();
    else if (json.peek() === 'string') use(json.string());
    else rejectHere(json, collector, 'a string was expected');
  });
}

/** Reads an array of objects; what else stands in it is rejected. */
export function eachObject({ json, collector }: JsonImport, visit: () => void): void {
  if (json.peek() !== 'array') {
    rejectHere(json, collector, 'an array of objects was expected');
    return;
  }
  json.array(() => {
    if (collector.isFull) json.skip();
    else if (json.peek() === 'object') visit();
    else rejectHere(json, collector, 'an object was expected');
  });
}

/** Rejects the value that is next, and passes over it. */
export function rejectHere(json: JsonCursor, collector: Collector, reason: string): void {
  json.peek();
  const { line, column } = json.error('');
  collector.line = line;
  collector.rejects.add({ line, column, code: 'unexpected-value', reason });
  json.skip();
}

/** Rejects an object that was read, in the line of a place in it. */
export function rejectRecord(
  collector: Collector,
  { line, lineStart }: Pick<JsonCursor, 'line' | 'lineStart'>,
  reason: string,
): void {
  collector.line = line;
  collector.lineStart = lineStart;
  collector.reject(lineStart, 'bad-record', reason);
}

/** The string that is next, or undefined, having passed over the value, if it is something else. */
export function stringOrSkip(json: JsonCursor): JsonText | undefined {
  if (json.peek() === 'string') return json.string();
  json.skip();
  return undefined;
}

/** The same as a word; empty if it is something else. */
export function wordOrSkip(json: JsonCursor): string {
  if (json.peek() === 'string') return json.word();
  json.skip();
  return '';
}

/** The words of the array that is next; none if it is something else. */
export function wordsOrSkip(json: JsonCursor): readonly string[] {
  const words: string[] = [];
  if (json.peek() !== 'array') json.skip();
  else json.array(() => words.push(wordOrSkip(json)));
  return words;
}
