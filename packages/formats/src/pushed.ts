/**
 * The files of a push, read into parts. Pure: bytes in, parts and rejects out, all of it plain data that crosses to
 * and from a worker thread. What the parts do to the rule set is ingest.ts.
 */

import { basename, extname } from 'node:path';
import {
  type Action,
  combineSets,
  DEFAULT_POLICY,
  emptyPolicy,
  isPartName,
  type List,
  nameListOf,
  type Policy,
  prefixListOf,
  subtractPrefixes,
  unionPrefixes,
} from '@rulecast/rules';
import { detectFormat } from './detect.ts';
import { parseDocument } from './document.ts';
import { importList } from './import.ts';
import type { DocumentReject } from './reject.ts';
import { parseRuleLines } from './rule-lines.ts';

export type PushAction = 'replace' | 'merge' | 'withdraw';

/** One file of a push, as `rulectl` read it. */
export interface PushedFile {
  /** As the user named it; for a referenced file, as the document names it. */
  readonly name: string;
  readonly role: 'pushed' | 'referenced';
  readonly bytes: Uint8Array;
}

export interface PushInput {
  readonly action: PushAction;
  /** The list that pushed list files are about; else each is about the list of its file name. */
  readonly list: string | undefined;
  /** The policy that pushed files of bare rules are about; else `default`. */
  readonly policy: string | undefined;
  /** Parts that the files do not name are removed. */
  readonly replaceAll: boolean;
  readonly files: readonly PushedFile[];
}

/** What the files of one push say. */
export interface PushedParts {
  readonly lists: Map<string, List>;
  readonly policies: Map<string, Policy>;
  unmatched: Action | undefined;
  /** Of the policies, those of which only the egress was given, by a file of bare rules. */
  readonly bare: Set<string>;
  /** The first of them. */
  readonly rejects: DocumentReject[];
  rejectCount: number;
}

/** Reads the files of a push. `now` is in seconds since 1970. One bad line makes a reject; who uses the parts looks. */
export function readPushed(input: PushInput, now: number): PushedParts {
  const pushed: PushedParts = {
    lists: new Map(),
    policies: new Map(),
    unmatched: undefined,
    bare: new Set(),
    rejects: [],
    rejectCount: 0,
  };
  for (const file of input.files) {
    if (file.role === 'pushed') readFile(file, input, now, pushed);
  }
  return pushed;
}

function readFile(file: PushedFile, input: PushInput, now: number, pushed: PushedParts): void {
  switch (detectFormat(file.name, file.bytes)) {
    case 'document':
      return readDocument(file, input, now, pushed);
    case 'rules':
      return readRules(file, input, now, pushed);
    case 'list':
      return readList(file, input, pushed);
  }
}

function readDocument(file: PushedFile, input: PushInput, now: number, pushed: PushedParts): void {
  const document = parseDocument(file.name, file.bytes, now, (name) => {
    return input.files.find((other) => other.role === 'referenced' && other.name === name)?.bytes;
  });
  addRejects(pushed, document.rejects, document.rejectCount);
  for (const [name, list] of document.lists) addPart(pushed, pushed.lists, file, name, list);
  for (const [name, policy] of document.policies) addPart(pushed, pushed.policies, file, name, policy);
  if (document.unmatched === undefined) return;
  if (pushed.unmatched !== undefined)
    refuse(pushed, file, 'duplicate-part', 'unmatched: is in this push twice');
  pushed.unmatched = document.unmatched;
}

/** Bare rules are the egress of one policy. */
function readRules(file: PushedFile, input: PushInput, now: number, pushed: PushedParts): void {
  const read = parseRuleLines(file.bytes, 'egress', now);
  addRejects(
    pushed,
    read.rejects.map((reject) => ({ ...reject, file: file.name })),
    read.rejectCount,
  );
  const name = input.policy ?? DEFAULT_POLICY;
  addPart(pushed, pushed.policies, file, name, { ...emptyPolicy(name), egress: read.runs });
  pushed.bare.add(name);
}

/**
 * A list in any format. One reject refuses the push; what an importer knowingly skips does not, nor does a header that states more
 * than the file holds: people edit what they push.
 */
function readList(file: PushedFile, input: PushInput, pushed: PushedParts): void {
  const read = importList(file.name, file.bytes);
  addRejects(
    pushed,
    read.rejects.map((reject) => ({ ...reject, file: file.name })),
    read.rejectCount,
  );
  const name = input.list ?? basename(file.name, extname(file.name));
  if (!isPartName(name)) {
    refuse(pushed, file, 'bad-part-name', `"${name}" cannot name a list: give a name with --list NAME`);
    return;
  }
  const sibling = input.list === undefined ? undefined : pushed.lists.get(name);
  if (sibling === undefined) addPart(pushed, pushed.lists, file, name, read.list);
  else {
    const both = joinLists(sibling, read.list, 'merge');
    if (both === undefined)
      refuse(pushed, file, 'mixed-list', `list ${name} cannot hold both addresses and names`);
    else pushed.lists.set(name, both);
  }
}

function addRejects(pushed: PushedParts, rejects: readonly DocumentReject[], count: number): void {
  pushed.rejects.push(...rejects);
  pushed.rejectCount += count;
}

function refuse(pushed: PushedParts, file: PushedFile, code: string, reason: string): void {
  addRejects(pushed, [{ file: file.name, line: 1, column: 1, code, reason }], 1);
}

function addPart<T>(
  pushed: PushedParts,
  parts: Map<string, T>,
  file: PushedFile,
  name: string,
  part: T,
): void {
  if (!isPartName(name)) refuse(pushed, file, 'bad-part-name', `"${name}" cannot name a list or policy`);
  else if (parts.has(name)) refuse(pushed, file, 'duplicate-part', `"${name}" is in this push twice`);
  else parts.set(name, part);
}

/** The union or difference of two lists of one kind; undefined across kinds. */
export function joinLists(a: List, b: List, action: 'merge' | 'withdraw'): List | undefined {
  if (a.kind === 'prefixes' && b.kind === 'prefixes') {
    return prefixListOf(combineSets(action === 'merge' ? unionPrefixes : subtractPrefixes, a, b));
  }
  if (a.kind !== 'names' || b.kind !== 'names') return undefined;
  if (action === 'merge') return nameListOf([...a.names, ...b.names], a.resolve || b.resolve);
  const withdrawn = new Set(b.names);
  return nameListOf(
    a.names.filter((name) => !withdrawn.has(name)),
    a.resolve,
  );
}
