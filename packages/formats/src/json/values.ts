/** Values of lists in JSON: used, rejected with their place, or ignored. */

import type { Collector } from '../collect/collector.ts';
import { EntryFilter } from '../collect/filter.ts';
import { ImportFault, type SkipCode } from '../collect/options.ts';
import { type JsonFault, JsonTape } from './tape.ts';

/** The context of a reader. */
export interface JsonImport {
  readonly tape: JsonTape;
  readonly collector: Collector;
  readonly filter: EntryFilter;
}

/** Reads the value at an index of the tape. */
export type JsonReader = (source: JsonImport, root: number) => void;

/** The top level of a format's file: one object, any one value, or a sequence of values. */
export type JsonRoot = 'object' | 'any' | 'sequence';

/** Runs a reader over the file; a file that is no JSON is refused whole. */
export function importJson(collector: Collector, start: number, root: JsonRoot, read: JsonReader): void {
  const tape = new JsonTape(collector.bytes, start);
  const source = { tape, collector, filter: new EntryFilter(collector.options) };
  let fault = tape.fault ?? rootFault(tape, root);
  if (fault === undefined) {
    read(source, 0);
    if (root !== 'sequence' && tape.next(0) < tape.count)
      fault = tape.faultAt(tape.startOf(tape.next(0)), 'more text behind the end of the value');
  }
  if (fault !== undefined) {
    const { line, column } = fault;
    const code = fault.isTruncated ? ImportFault.truncated : ImportFault.json;
    collector.refuseFile({ line, column, code, reason: `no valid JSON: ${fault.message}` });
  }
  collector.line = tape.lineCount;
}

function rootFault(tape: JsonTape, root: JsonRoot): JsonFault | undefined {
  if (root === 'sequence') return undefined;
  if (tape.count === 0) return tape.faultAt(tape.bytes.length, 'a value is missing');
  if (root === 'any' || tape.kind(0) === 'object') return undefined;
  return tape.faultAt(tape.startOf(0), 'another kind of value was expected');
}

/** Makes a value the collector's place at hand. */
export function place({ tape, collector }: JsonImport, value: number): void {
  const start = tape.startOf(value);
  const { line, lineStart } = tape.placeAt(start);
  collector.line = line;
  collector.lineStart = lineStart;
  collector.at = tape.kind(value) === 'string' ? start + 1 : start;
}

export function useAddress(source: JsonImport, value: number, other?: SkipCode): void {
  place(source, value);
  const { text, start, end } = source.tape.text(value);
  if (other !== undefined) source.collector.skip(other);
  else source.collector.address(text, start, end);
}

/** Uses a value as an address or a name; the first decides which the list holds. */
export function useEntry(source: JsonImport, value: number, other?: SkipCode): void {
  place(source, value);
  const { text, start, end } = source.tape.text(value);
  if (other !== undefined) source.collector.skip(other);
  else source.collector.entry(text, start, end);
}

/** Visits the strings of an array, or its objects, and rejects all else in it. */
export function eachOf(
  kind: 'string' | 'object',
  source: JsonImport,
  array: number,
  visit: (value: number) => void,
): void {
  const { tape, collector } = source;
  if (tape.kind(array) !== 'array') rejectValue(source, array, `an array of ${kind}s was expected`);
  tape.items(array, (item) => {
    if (collector.isFull) return;
    if (tape.kind(item) === kind) visit(item);
    else rejectValue(source, item, `${kind === 'object' ? 'an' : 'a'} ${kind} was expected`);
  });
}

export function rejectValue(
  source: JsonImport,
  value: number,
  reason: string,
  code = 'unexpected-value',
): void {
  place(source, value);
  source.collector.reject(source.tape.startOf(value), code, reason);
}

/** Rejects an object that lacks what it should hold. */
export function rejectRecord(source: JsonImport, record: number, reason: string): void {
  rejectValue(source, record, reason, 'bad-record');
}
