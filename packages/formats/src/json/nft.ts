/**
 * nftables JSON (libnftables-json(5)), as `nft -j list ruleset` prints it: the elements of sets, also those
 * of `add` commands. Elements are addresses, `{prefix: {addr, len}}`, `{range: [first, last]}`, or any of
 * them within `{elem: {val, …}}`.
 */

import { ImportFault, type SkipCode } from '../collect/options.ts';
import { type JsonImport, place, rejectRecord, rejectValue, useAddress } from './values.ts';

const ADDRESS_TYPES: ReadonlySet<string> = new Set(['ipv4_addr', 'ipv6_addr']);

export function readNftJson(source: JsonImport, root: number): void {
  const { tape, collector } = source;
  let found = false;
  tape.members(root, (key, value) => {
    if (key !== 'nftables' || tape.kind(value) !== 'array') return;
    found = true;
    tape.items(value, (item) => readCommand(source, item));
  });
  if (found) return;
  const reason = 'no array under the key nftables: this is no output of nft -j';
  collector.refuseFile({ line: 1, column: 1, code: ImportFault.jsonShape, reason });
}

/** One object of the ruleset, or a command with one in it. */
function readCommand(source: JsonImport, command: number): void {
  const { tape } = source;
  if (tape.kind(command) !== 'object') rejectValue(source, command, 'an object of a ruleset was expected');
  tape.members(command, (key, value) => {
    const isObject = tape.kind(value) === 'object';
    if (isObject && (key === 'add' || key === 'create')) readCommand(source, value);
    else if (isObject && (key === 'set' || key === 'element')) readSet(source, value);
    else skip(source, value, 'metadata');
  });
}

function readSet(source: JsonImport, set: number): void {
  const { tape, filter } = source;
  let name = '';
  let isAddresses = true; // the type may also be an expression; then the elements tell
  tape.members(set, (key, value) => {
    const isString = tape.kind(value) === 'string';
    if (key === 'name') name = isString ? tape.string(value) : '';
    else if (key === 'type' && isString) isAddresses = ADDRESS_TYPES.has(tape.string(value));
  });
  const other: SkipCode | undefined = isAddresses ? filter.set(name) : 'other-kind';
  tape.members(set, (key, value) => {
    if (key === 'elem') tape.items(value, (element) => readElement(source, element, other));
  });
}

function readElement(source: JsonImport, element: number, other: SkipCode | undefined): void {
  const { tape, collector } = source;
  const kind = tape.kind(element);
  if (collector.isFull) return;
  if (kind === 'string') useAddress(source, element, other);
  else if (kind !== 'object') skip(source, element, 'other-kind');
  tape.members(element, (key, value) => {
    const of = tape.kind(value);
    if (key === 'prefix' && of === 'object') readPrefix(source, value, other);
    else if (key === 'range' && of === 'array') readRange(source, value, other);
    else if (key === 'elem' && of === 'object') {
      tape.members(value, (inner, val) => {
        if (inner === 'val') readElement(source, val, other);
      });
    } else skip(source, value, other ?? 'partial');
  });
}

function readPrefix(source: JsonImport, prefix: number, other: SkipCode | undefined): void {
  const { tape } = source;
  let address = -1;
  let length = '-1';
  tape.members(prefix, (key, value) => {
    const kind = tape.kind(value);
    if (key === 'addr' && kind === 'string') address = value;
    else if (key === 'len' && kind === 'word') length = tape.string(value);
  });
  if (address >= 0) useText(source, address, `${tape.string(address)}/${length}`, other);
  else rejectRecord(source, prefix, 'a prefix without addr');
}

function readRange(source: JsonImport, range: number, other: SkipCode | undefined): void {
  const { tape } = source;
  const ends: number[] = [];
  tape.items(range, (end) => {
    if (tape.kind(end) === 'string' && ends.length < 2) ends.push(end);
  });
  const [first, last] = ends;
  if (first === undefined || last === undefined) rejectRecord(source, range, 'a range without its two ends');
  else useText(source, first, `${tape.string(first)}-${tape.string(last)}`, other);
}

/** Uses an address that is written in pieces, in the place of the first. */
function useText(source: JsonImport, value: number, written: string, other: SkipCode | undefined): void {
  place(source, value);
  const text = Buffer.from(written, 'utf8');
  if (other !== undefined) source.collector.skip(other);
  else source.collector.address(text, 0, text.length);
}

function skip(source: JsonImport, value: number, code: SkipCode): void {
  place(source, value);
  source.collector.skip(code);
}
