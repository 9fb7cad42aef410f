/**
 * The files of a push, read into parts. Pure: bytes in, parts and rejects out, all of it plain data that
 * crosses to and from a worker thread. ingest.ts applies the parts to the rule set.
 */

import { basename, extname } from 'node:path';
import {
  type Action,
  combineSets,
  DEFAULT_POLICY,
  type Direction,
  emptyPolicy,
  FIRST_POLICY,
  isPartName,
  joinedResolve,
  type List,
  type Policy,
  prefixListOf,
  unionNames,
  unionPrefixes,
} from '@rulecast/rules';
import type { ListFormatName } from './collect/format.ts';
import { type DocumentEntrySink, parseDocument, type RuleSetDocument } from './document/document.ts';
import { parseRuleLines, type RuleLines } from './document/rule-lines.ts';
import { detectFormat } from './list/detect-file.ts';
import { type ImportedList, importList } from './list/import.ts';
import type { EntrySink, NameReading } from './text/entry.ts';
import type { DocumentReject, Reject } from './text/reject.ts';

export type PushAction = 'replace' | 'merge' | 'withdraw';

/** One file of a push, as `rulectl` read it. */
export interface PushedFile {
  /** As the user named it; for a referenced file, as the document names it. */
  readonly name: string;
  readonly role: 'pushed' | 'referenced';
  readonly bytes: Uint8Array;
}

export interface PushInput extends NameReading {
  readonly action: PushAction;
  /** The list that pushed list files are about; else each is about the list of its file name. */
  readonly list: string | undefined;
  /** The policy that pushed files of bare rules are about; else `default`. */
  readonly policy: string | undefined;
  /** Parts that the files do not name are removed. */
  readonly replaceAll: boolean;
  readonly files: readonly PushedFile[];
  /** The format of the pushed files, each of which then is a list; without it the content of each decides. */
  readonly format?: ListFormatName | undefined;
  /** The resolver of pushed lists' names; without it as before, or none. */
  readonly resolve?: 'publisher' | 'firewall' | undefined;
  /** The direction of bare rules; default `egress`, the only one of a push. */
  readonly direction?: Direction | undefined;
}

/** The result of reading a pushed file. */
export type ReadFile =
  | { readonly kind: 'list'; readonly name: string; readonly list: ImportedList }
  | { readonly kind: 'rules'; readonly direction: Direction; readonly rules: RuleLines }
  | { readonly kind: 'document'; readonly document: RuleSetDocument };

/** A listener for the content, while it is read. */
export interface PushObserver {
  /** Receives each rule and entry; reading is slower then. */
  readonly onEntry?: DocumentEntrySink | undefined;
  /** Receives every reject of the files, even those not kept. */
  readonly onReject?: (reject: DocumentReject) => void;
  /** With how many rejects there are in it, or for it as a whole. */
  readonly onFile?: (file: PushedFile, read: ReadFile, rejectCount: number) => void;
}

/** The parts in the files of one push. */
export interface PushedParts {
  readonly lists: Map<string, List>;
  readonly policies: Map<string, Policy>;
  unmatched: Action | undefined;
  /** The policies of which only the egress was given, by a file of bare rules. */
  readonly bare: Set<string>;
  /** The first rejects. */
  readonly rejects: DocumentReject[];
  rejectCount: number;
}

/**
 * Reads the files of a push. `now` is in seconds since 1970. A bad line makes a reject, which the caller must
 * check before it uses the parts.
 */
export function readPushed(input: PushInput, now: number, observer: PushObserver = {}): PushedParts {
  const gathered: Gathered = {
    onReject: observer.onReject,
    lists: new Map(),
    policies: new Map(),
    unmatched: undefined,
    bare: new Set(),
    rejects: [],
    rejectCount: 0,
  };
  for (const file of input.files) {
    if (file.role !== 'pushed') continue;
    const before = gathered.rejectCount;
    const read = readFile(file, input, now, gathered, observer);
    observer.onFile?.(file, read, gathered.rejectCount - before);
  }
  const { onReject: _told, ...pushed } = gathered;
  return pushed;
}

/** The parts so far, and the listener for rejects. */
interface Gathered extends PushedParts {
  readonly onReject: PushObserver['onReject'];
}

function readFile(
  file: PushedFile,
  input: PushInput,
  now: number,
  pushed: Gathered,
  observer: PushObserver,
): ReadFile {
  switch (input.format === undefined ? detectFormat(file.name, file.bytes) : 'list') {
    case 'document':
      return { kind: 'document', document: readDocument(file, input, now, pushed, observer) };
    case 'rules':
      return readRules(file, input, now, pushed, observer);
    case 'list':
      return readList(file, input, pushed, observer);
  }
}

function readDocument(
  file: PushedFile,
  input: PushInput,
  now: number,
  pushed: Gathered,
  { onEntry, onReject }: PushObserver,
): RuleSetDocument {
  const readReferenced = (name: string): Uint8Array | undefined => {
    return input.files.find((other) => other.role === 'referenced' && other.name === name)?.bytes;
  };
  const options = onEntry === undefined ? {} : { onEntry };
  const document = parseDocument(file.name, file.bytes, now, readReferenced, options);
  for (const reject of document.rejects) onReject?.(reject);
  addRejects(pushed, file, document);
  for (const [name, list] of document.lists) addPart(pushed, pushed.lists, file, name, list);
  for (const [name, policy] of document.policies) addPart(pushed, pushed.policies, file, name, policy);
  if (document.unmatched !== undefined) {
    if (pushed.unmatched !== undefined)
      refuse(pushed, file, 'duplicate-part', 'unmatched: is in this push twice');
    pushed.unmatched = document.unmatched;
  }
  return document;
}

/** The observer's sinks for a file that is no document. */
function sinksFor(
  { name }: PushedFile,
  kind: 'rule' | 'entry',
  { onEntry, onReject }: PushObserver,
): { readonly onEntry?: EntrySink; readonly onReject?: (reject: Reject) => void } {
  return {
    ...(onEntry && { onEntry: (line, column, canonical) => onEntry(kind, name, line, column, canonical) }),
    ...(onReject && { onReject: (reject) => onReject({ ...reject, file: name }) }),
  };
}

/** Bare rules are the egress of one policy. */
function readRules(
  file: PushedFile,
  input: PushInput,
  now: number,
  pushed: Gathered,
  observer: PushObserver,
): ReadFile {
  const { direction = 'egress' } = input;
  const name = input.policy ?? DEFAULT_POLICY;
  const sinks = sinksFor(file, 'rule', observer);
  const read = parseRuleLines(file.bytes, direction, now, { ...sinks, dropsOnly: name === FIRST_POLICY });
  addRejects(pushed, file, read);
  addPart(pushed, pushed.policies, file, name, { ...emptyPolicy(name), [direction]: read.runs });
  pushed.bare.add(name);
  return { kind: 'rules', direction, rules: read };
}

/**
 * A list in any format. One reject refuses the push; what an importer knowingly skips does not, nor does a
 * header that states more than the file holds: people edit what they push.
 */
function readList(file: PushedFile, input: PushInput, pushed: Gathered, observer: PushObserver): ReadFile {
  const { format, resolve, subdomains, allowPublicSuffixes } = input;
  const options = {
    ...sinksFor(file, 'entry', observer),
    ...(format !== undefined && { format }),
    resolve: resolve === 'firewall' ? resolve : resolve === 'publisher',
    subdomains,
    allowPublicSuffixes,
  };
  const read = importList(file.name, file.bytes, options);
  addRejects(pushed, file, read);
  if (read.unread !== undefined) refuse(pushed, file, 'nothing-read', read.unread);
  const name = input.list ?? basename(file.name, extname(file.name));
  const found: ReadFile = { kind: 'list', name, list: read };
  if (!isPartName(name)) {
    refuse(pushed, file, 'bad-part-name', `"${name}" cannot name a list: give a name with --list NAME`);
    return found;
  }
  const sibling = input.list === undefined ? undefined : pushed.lists.get(name);
  if (sibling === undefined) addPart(pushed, pushed.lists, file, name, read.list);
  else {
    const both = joinLists(sibling, read.list);
    if (both === undefined)
      refuse(pushed, file, 'mixed-list', `list ${name} cannot hold both addresses and names`);
    else pushed.lists.set(name, both);
  }
  return found;
}

/** Adds the rejects of a file; those of a document say themselves which file they are in. */
function addRejects(
  pushed: Gathered,
  { name }: PushedFile,
  { rejects, rejectCount }: { readonly rejects: readonly Reject[]; readonly rejectCount: number },
): void {
  pushed.rejects.push(...rejects.map((reject) => ({ file: name, ...reject })));
  pushed.rejectCount += rejectCount;
}

function refuse(pushed: Gathered, file: PushedFile, code: string, reason: string): void {
  const reject = { file: file.name, line: 1, column: 1, code, reason };
  addRejects(pushed, file, { rejects: [reject], rejectCount: 1 });
  pushed.onReject?.(reject);
}

function addPart<T>(pushed: Gathered, parts: Map<string, T>, file: PushedFile, name: string, part: T): void {
  if (!isPartName(name)) refuse(pushed, file, 'bad-part-name', `"${name}" cannot name a list or policy`);
  else if (parts.has(name)) refuse(pushed, file, 'duplicate-part', `"${name}" is in this push twice`);
  else parts.set(name, part);
}

/** The union of two lists of one kind; undefined across kinds. */
export function joinLists(a: List, b: List): List | undefined {
  if (a.kind === 'prefixes' && b.kind === 'prefixes') return prefixListOf(combineSets(unionPrefixes, a, b));
  if (a.kind !== 'names' || b.kind !== 'names') return undefined;
  return { ...a, ...unionNames(a, b), resolve: joinedResolve(a, b) };
}
