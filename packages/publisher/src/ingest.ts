/**
 * What a push makes of the rule set: pushed files are read into parts, and the parts replace, join or leave what is
 * there. Pure: bytes and a rule set in, a rule set or rejects out. One bad line refuses the whole push.
 */

import { basename, extname } from 'node:path';
import {
  type DocumentReject,
  detectFormat,
  parseDocument,
  parseListText,
  parseRuleLines,
} from '@rulecast/formats';
import {
  combineSets,
  DEFAULT_POLICY,
  type Direction,
  emptyPolicy,
  entryCount,
  formatRule,
  isPartName,
  type List,
  nameListOf,
  type Policy,
  prefixListOf,
  type RuleSet,
  type Run,
  RunBuilder,
  ruleOfRun,
  runRuleCount,
  subtractPrefixes,
  unionPrefixes,
  usedLists,
} from '@rulecast/rules';

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

/** A new rule set, or why there is none. Resolutions are the old ones. */
export type IngestResult =
  | { readonly kind: 'rule-set'; readonly ruleSet: RuleSet; readonly notes: readonly IngestNote[] }
  | { readonly kind: 'rejects'; readonly rejects: readonly DocumentReject[]; readonly rejectCount: number };

/** Something odd that refuses nothing. */
export interface IngestNote {
  readonly code: string;
  readonly part: string;
  readonly reason: string;
}

/** What the files of one push say. */
interface PushedParts {
  readonly lists: Map<string, List>;
  readonly policies: Map<string, Policy>;
  readonly rejects: DocumentReject[];
  rejectCount: number;
}

/** Reads the files of a push and applies them to `current`. `now` is in seconds since 1970. */
export function ingest(current: RuleSet, input: PushInput, now: number): IngestResult {
  const pushed: PushedParts = { lists: new Map(), policies: new Map(), rejects: [], rejectCount: 0 };
  for (const file of input.files) {
    if (file.role === 'pushed') readFile(current, file, input, now, pushed);
  }
  if (pushed.rejectCount > 0)
    return { kind: 'rejects', rejects: pushed.rejects, rejectCount: pushed.rejectCount };
  const notes: IngestNote[] = [];
  const base: RuleSet = input.replaceAll
    ? { lists: new Map(), policies: new Map(), resolutions: current.resolutions }
    : current;
  const lists = new Map(base.lists);
  for (const [name, list] of pushed.lists) {
    const fault = combineList(lists, name, list, input.action, notes);
    if (fault !== undefined) return { kind: 'rejects', rejects: [fault], rejectCount: 1 };
  }
  const policies = new Map(base.policies);
  for (const [name, policy] of pushed.policies) combinePolicy(policies, name, policy, input.action, notes);
  dropEmptied(lists, policies, pushed, input.action);
  return { kind: 'rule-set', ruleSet: { lists, policies, resolutions: current.resolutions }, notes };
}

function readFile(
  current: RuleSet,
  file: PushedFile,
  input: PushInput,
  now: number,
  pushed: PushedParts,
): void {
  switch (detectFormat(file.name, file.bytes)) {
    case 'document':
      return readDocument(file, input, now, pushed);
    case 'rules':
      return readRules(current, file, input, now, pushed);
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
}

/** Bare rules are the egress of one policy, whose prefixes, default action and ingress they leave alone. */
function readRules(
  current: RuleSet,
  file: PushedFile,
  input: PushInput,
  now: number,
  pushed: PushedParts,
): void {
  const read = parseRuleLines(file.bytes, 'egress', now);
  addRejects(
    pushed,
    read.rejects.map((reject) => ({ ...reject, file: file.name })),
    read.rejectCount,
  );
  const name = input.policy ?? DEFAULT_POLICY;
  const existing = input.action === 'withdraw' ? undefined : current.policies.get(name);
  addPart(pushed, pushed.policies, file, name, { ...(existing ?? emptyPolicy(name)), egress: read.runs });
}

function readList(file: PushedFile, input: PushInput, pushed: PushedParts): void {
  const read = parseListText(file.bytes);
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

function combineList(
  lists: Map<string, List>,
  name: string,
  pushed: List,
  action: PushAction,
  notes: IngestNote[],
): DocumentReject | undefined {
  const existing = lists.get(name);
  if (existing === undefined || action === 'replace') {
    if (action === 'withdraw') notes.push(nothingToWithdraw(name));
    else lists.set(name, keepResolve(existing, pushed));
    return undefined;
  }
  const joined = joinLists(existing, pushed, action);
  if (joined === undefined) {
    const reason = `list ${name} holds ${existing.kind}; ${pushed.kind} cannot be merged into it or withdrawn from it`;
    return { file: name, line: 1, column: 1, code: 'mixed-list', reason };
  }
  lists.set(name, joined);
  return undefined;
}

/** A plain file of names does not say whether rules may use them: what was said before holds. */
function keepResolve(existing: List | undefined, pushed: List): List {
  if (existing?.kind !== 'names' || pushed.kind !== 'names' || pushed.resolve) return pushed;
  return { ...pushed, resolve: existing.resolve };
}

/** The union or difference of two lists of one kind; undefined across kinds. */
function joinLists(a: List, b: List, action: 'merge' | 'withdraw'): List | undefined {
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

function combinePolicy(
  policies: Map<string, Policy>,
  name: string,
  pushed: Policy,
  action: PushAction,
  notes: IngestNote[],
): void {
  const existing = policies.get(name);
  if (existing === undefined) {
    if (action === 'withdraw') notes.push(nothingToWithdraw(name));
    else policies.set(name, pushed);
    return;
  }
  switch (action) {
    case 'replace':
      policies.set(name, pushed);
      return;
    case 'merge':
      policies.set(name, {
        ...pushed,
        prefixes: combineSets(unionPrefixes, existing.prefixes, pushed.prefixes),
        egress: joinRules(existing.egress, pushed.egress, 'egress', action),
        ingress: joinRules(existing.ingress, pushed.ingress, 'ingress', action),
      });
      return;
    case 'withdraw':
      policies.set(name, {
        ...existing,
        prefixes: combineSets(subtractPrefixes, existing.prefixes, pushed.prefixes),
        egress: joinRules(existing.egress, pushed.egress, 'egress', action),
        ingress: joinRules(existing.ingress, pushed.ingress, 'ingress', action),
      });
  }
}

/** Merge: rules not there yet go to the end, in their order. Withdraw: equal rules leave. */
function joinRules(
  existing: readonly Run[],
  pushed: readonly Run[],
  direction: Direction,
  action: 'merge' | 'withdraw',
): readonly Run[] {
  const joined = new RunBuilder();
  pushRules(joined, existing, action === 'merge' ? new Set() : linesOf(pushed, direction), direction);
  if (action === 'merge') pushRules(joined, pushed, linesOf(existing, direction), direction);
  return joined.build();
}

/** Appends rules whose lines are not among `unwanted`. */
function pushRules(
  joined: RunBuilder,
  runs: readonly Run[],
  unwanted: ReadonlySet<string>,
  direction: Direction,
): void {
  for (const run of runs) {
    for (let offset = 0; offset < runRuleCount(run); offset++) {
      const rule = ruleOfRun(run, offset);
      if (unwanted.size === 0 || !unwanted.has(formatRule(rule, direction))) joined.push(rule);
    }
  }
}

function linesOf(runs: readonly Run[], direction: Direction): ReadonlySet<string> {
  const lines = new Set<string>();
  for (const run of runs) {
    for (let offset = 0; offset < runRuleCount(run); offset++)
      lines.add(formatRule(ruleOfRun(run, offset), direction));
  }
  return lines;
}

/** After a withdrawal, what is left of a part may be nothing; then the part goes, unless a rule still uses it. */
function dropEmptied(
  lists: Map<string, List>,
  policies: Map<string, Policy>,
  pushed: PushedParts,
  action: PushAction,
): void {
  if (action !== 'withdraw') return;
  for (const name of pushed.policies.keys()) {
    const policy = policies.get(name);
    if (policy !== undefined && policy.egress.length + policy.ingress.length === 0) policies.delete(name);
  }
  const used = usedLists(policies.values());
  for (const name of pushed.lists.keys()) {
    const list = lists.get(name);
    if (list !== undefined && entryCount(list) === 0 && !used.has(name)) lists.delete(name);
  }
}

function nothingToWithdraw(part: string): IngestNote {
  return { code: 'nothing-to-withdraw', part, reason: `there is no ${part} to withdraw from` };
}
