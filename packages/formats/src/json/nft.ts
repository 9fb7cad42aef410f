/**
 * nftables JSON (libnftables-json(5)), as `nft -j list ruleset` prints it: the elements of sets, also those
 * of `add` commands. Elements are addresses, `{prefix: {addr, len}}`, `{range: [first, last]}`, or any of
 * them within `{elem: {val, …}}`.
 */

import type { Collector } from '../collect/collector.ts';
import { ImportFault, type SkipCode } from '../collect/options.ts';
import type { JsonCursor, JsonText } from './cursor.ts';
import { type JsonImport, rejectHere, rejectRecord, stringOrSkip, useAddress, wordOrSkip } from './values.ts';

const ADDRESS_TYPES: ReadonlySet<string> = new Set(['ipv4_addr', 'ipv6_addr']);

export function readNftJson(source: JsonImport): void {
  const { json, collector } = source;
  let found = false;
  json.object((key) => {
    if (key !== 'nftables' || json.peek() !== 'array') return;
    found = true;
    json.array(() => readObject(source));
  });
  if (found) return;
  const reason = 'no array under the key nftables: this is no output of nft -j';
  collector.refuseFile({ line: 1, column: 1, code: ImportFault.jsonShape, reason });
}

/** One object of the ruleset, or a command with one in it. */
function readObject(source: JsonImport): void {
  const { json, collector } = source;
  if (json.peek() !== 'object') {
    rejectHere(json, collector, 'an object of a ruleset was expected');
    return;
  }
  json.object((key) => {
    if ((key === 'add' || key === 'create') && json.peek() === 'object') readObject(source);
    else if ((key === 'set' || key === 'element') && json.peek() === 'object') readSet(source);
    else {
      collector.line = json.line;
      collector.skip('metadata');
    }
  });
}

function readSet({ json, collector, filter }: JsonImport): void {
  let name = '';
  let isAddresses = true;
  json.object((key) => {
    if (key === 'name') name = wordOrSkip(json);
    else if (key === 'type') {
      if (json.peek() === 'string') isAddresses = ADDRESS_TYPES.has(json.word());
      else if (json.peek() === 'object') isAddresses = true; // a typeof expression: the elements tell
    } else if (key === 'elem' && json.peek() === 'array') {
      const other: SkipCode | undefined = isAddresses ? filter.set(name) : 'other-kind';
      json.array(() => readElement(json, collector, other));
    }
  });
}

function readElement(json: JsonCursor, collector: Collector, other: SkipCode | undefined): void {
  const kind = json.peek();
  if (collector.isFull) json.skip();
  else if (kind === 'string') useAddress(collector, json.string(), other);
  else if (kind !== 'object') {
    collector.line = json.line;
    collector.skip('other-kind');
    json.skip();
  } else {
    json.object((key) => {
      if (key === 'prefix' && json.peek() === 'object') readPrefix(json, collector, other);
      else if (key === 'range' && json.peek() === 'array') readRange(json, collector, other);
      else if (key === 'elem' && json.peek() === 'object') {
        json.object((inner) => {
          if (inner === 'val') readElement(json, collector, other);
        });
      } else {
        collector.line = json.line;
        collector.skip(other ?? 'partial');
      }
    });
  }
}

function readPrefix(json: JsonCursor, collector: Collector, other: SkipCode | undefined): void {
  let address: JsonText | undefined;
  let length = -1;
  json.object((key) => {
    if (key === 'addr') address = stringOrSkip(json);
    else if (key === 'len' && json.peek() === 'number') length = json.number();
  });
  if (address !== undefined) useText(collector, address, `/${length}`, other);
  else rejectRecord(collector, json, 'a prefix without addr');
}

function readRange(json: JsonCursor, collector: Collector, other: SkipCode | undefined): void {
  const ends: JsonText[] = [];
  json.array(() => {
    const end = stringOrSkip(json);
    if (end !== undefined && ends.length < 2) ends.push(end);
  });
  const [first, last] = ends;
  if (first === undefined || last === undefined)
    rejectRecord(collector, json, 'a range without its two ends');
  else useText(collector, first, `-${textOf(last)}`, other);
}

/** Uses an address with something behind it. */
function useText(collector: Collector, value: JsonText, behind: string, other: SkipCode | undefined): void {
  const text = Buffer.from(textOf(value) + behind, 'utf8');
  useAddress(collector, { ...value, text, start: 0, end: text.length }, other);
}

function textOf({ text, start, end }: JsonText): string {
  return Buffer.from(text.buffer, text.byteOffset + start, end - start).toString('utf8');
}
