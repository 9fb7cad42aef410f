/**
 * Rule set documents: lists, common rules and policies in one YAML or JSON file, and the files it names
 * beside it. All faults are reported in one pass, each with its file and place.
 *
 *     lists:    NAME: { entries: […] } | { names: […], exceptions: […], NAMES } | { file, NAMES }
 *     NAMES:    resolve, suffixes, subdomains, allow-public-suffixes
 *     first:    { egress: RULES, ingress: RULES }
 *     common:   { egress: RULES, ingress: RULES, blocked, unlisted }
 *     policies: NAME: { prefixes: […], default: drop | accept, exceptions: { egress: RULES, ingress: RULES }, egress: RULES, ingress: RULES, blocked, unlisted }
 *     unmatched: drop | accept
 *     RULES:    a sequence of rule lines | { file }
 */

import { posix } from 'node:path';
import {
  type Action,
  COMMON_POLICY,
  DEFAULT_POLICY,
  type DirectedRuns,
  type Direction,
  EMPTY_PREFIX_SET,
  emptyPolicy,
  FIRST_ACCEPTS,
  FIRST_POLICY,
  formatPrefix,
  formatPrefixAt,
  formatRule,
  isForAllQubes,
  isPartName,
  type List,
  type NameList,
  type NameSet,
  NO_RULES,
  NO_RUNS,
  nameListOf,
  nameSetOf,
  namesOf,
  namesStandFor,
  newPrefixScratch,
  type Policy,
  type Prefix,
  type PrefixSet,
  parseHostName,
  parsePrefixBytes,
  parseRule,
  plainNames,
  prefixListOf,
  prefixOf,
  prefixSetOf,
  RESOLVED_LIST,
  RuleSetProblemCode,
  RunBuilder,
  type Runs,
} from '@rulecast/rules';
import { type ImportedList, importList } from '../list/import.ts';
import { columnAt, quote } from '../text/bytes.ts';
import {
  type EntryFault,
  EntryFaultCode,
  type EntrySink,
  type HostBits,
  hostBitsFault,
  type NameReading,
  partNameReason,
  prefixFault,
} from '../text/entry.ts';
import { type FormatLimits, withLimits } from '../text/limits.ts';
import { type DocumentReject, type Reject, RejectLog } from '../text/reject.ts';
import { type ItemSinks, namesOfItems, prefixesOfItems } from './items.ts';
import {
  childOf,
  type MappingEntry,
  type MappingNode,
  type SequenceNode,
  type TextNode,
  type TreeNode,
} from './node.ts';
import { parseRuleLines } from './rule-lines.ts';
import { DOCUMENT_SCHEMA, OF_NAMES, PRIVATE_MISPLACED } from './schema.ts';
import { checkShape } from './shape.ts';
import { type PlaceOf, parseTree } from './tree.ts';

export const DocumentFault = {
  notDocument: 'not-a-document',
  name: 'bad-name',
  source: 'list-without-source',
  sources: 'list-with-two-sources',
  resolve: 'resolve-without-names',
  hostBits: 'host-bits-without-addresses',
  misplaced: 'misplaced-key',
  exception: 'useless-exception',
  reference: 'bad-reference',
  missingFile: 'missing-file',
  coveredPrefix: 'covered-prefix',
  duplicatePrefix: RuleSetProblemCode.duplicatePrefix,
  reserved: RuleSetProblemCode.reservedPolicy,
  reservedList: RuleSetProblemCode.reservedList,
} as const;

export interface RuleSetDocument {
  readonly lists: ReadonlyMap<string, List>;
  /** `first` and `common` are among them if the document has them. */
  readonly policies: ReadonlyMap<string, Policy>;
  /** Undefined if the document does not set it. */
  readonly unmatched: Action | undefined;
  /** The files it names, as `documentReferences` returns them. */
  readonly references: readonly string[];
  /** The lists among those files, by their names. */
  readonly imported: ReadonlyMap<string, ImportedList>;
  /** The first rejects. Lists and policies hold what could be read; use them only without any. */
  readonly rejects: readonly DocumentReject[];
  readonly rejectCount: number;
}

/**
 * Gives the content of a file that the document names, or undefined if it is not there. The name is
 * normalised.
 */
export type ReadReferenced = (name: string) => Uint8Array | undefined;

/**
 * Takes each rule and entry that was read, from the document or a file that it names, with its place;
 * `canonical` makes its text and is only good during the call.
 */
export type DocumentEntrySink = (
  kind: 'rule' | 'entry',
  file: string,
  line: number,
  column: number,
  canonical: () => string,
) => void;

export interface DocumentOptions {
  readonly limits?: Partial<FormatLimits>;
  readonly onEntry?: DocumentEntrySink;
}

/**
 * Reads a rule set document. `fileName` appears in rejects; `now` is in seconds since 1970, and
 * `expire=+SECONDS` counts from it. Never throws on account of the bytes; what `readReferenced` throws passes
 * through.
 */
export function parseDocument(
  fileName: string,
  bytes: Uint8Array,
  now: number,
  readReferenced: ReadReferenced,
  options: DocumentOptions = {},
): RuleSetDocument {
  return new DocumentReader(fileName, now, readReferenced, options).read(bytes);
}

class DocumentReader {
  readonly #fileName: string;
  readonly #now: number;
  readonly #readReferenced: ReadReferenced;
  readonly #limits: FormatLimits;
  readonly #onEntry: DocumentEntrySink | undefined;
  readonly #rejects: RejectLog<DocumentReject>;
  readonly #references = new Set<string>();
  readonly #imported = new Map<string, ImportedList>();
  readonly #lists = new Map<string, List>();
  readonly #policies = new Map<string, Policy>();
  #unmatched: Action | undefined;
  readonly #encoder = new TextEncoder();
  readonly #scratch = newPrefixScratch();
  #place: PlaceOf = () => ({ line: 1, column: 1 });

  constructor(fileName: string, now: number, readReferenced: ReadReferenced, options: DocumentOptions) {
    this.#fileName = fileName;
    this.#now = now;
    this.#readReferenced = readReferenced;
    this.#limits = withLimits(options.limits);
    this.#onEntry = options.onEntry;
    this.#rejects = new RejectLog(this.#limits.rejectsKept);
  }

  read(bytes: Uint8Array): RuleSetDocument {
    const tree = parseTree(bytes, this.#limits);
    this.#place = tree.place;
    this.#addRejects(this.#fileName, tree.rejects, tree.rejectCount);
    if (tree.rejectCount === 0) this.#readRoot(tree.root);
    return {
      lists: this.#lists,
      policies: this.#policies,
      unmatched: this.#unmatched,
      references: [...this.#references],
      imported: this.#imported,
      rejects: this.#rejects.kept,
      rejectCount: this.#rejects.count,
    };
  }

  #readRoot(root: TreeNode | undefined): void {
    if (root?.kind !== 'mapping') {
      const found =
        root === undefined ? 'it is empty' : root.kind === 'text' ? 'it is one text' : 'it is a sequence';
      const reason = `a rule set document is a mapping with lists, first, common, policies and unmatched; ${found}`;
      this.#reject(root?.offset ?? 0, DocumentFault.notDocument, reason);
      return;
    }
    const shape = checkShape(root, DOCUMENT_SCHEMA, this.#limits.rejectsKept);
    const faults = shape.faults.map(({ offset, code, reason }) => ({ ...this.#place(offset), code, reason }));
    this.#addRejects(this.#fileName, faults, shape.count);
    // Values that the schema refused are skipped below, so that the rest is checked too.
    for (const [name, entry] of entriesOf(childOf(root, 'lists'))) this.#readList(name, entry);
    for (const name of [FIRST_POLICY, COMMON_POLICY]) {
      const node = childOf(root, name);
      if (node?.kind === 'mapping') this.#policies.set(name, this.#policyOf(name, node));
    }
    for (const [name, entry] of entriesOf(childOf(root, 'policies'))) this.#readPolicy(name, entry);
    const unmatched = childOf(root, 'unmatched');
    if (unmatched !== undefined) this.#unmatched = actionOf(unmatched);
  }

  #reject(offset: number, code: string, reason: string): void {
    this.#rejects.add({ file: this.#fileName, ...this.#place(offset), code, reason });
  }

  #tell(kind: 'rule' | 'entry', node: TextNode, canonical: () => string): void {
    if (this.#onEntry === undefined) return;
    const { line, column } = this.#place(node.offset);
    this.#onEntry(kind, this.#fileName, line, column, canonical);
  }

  /** A listener for the entries or rules of a referenced file; none without a caller's listener. */
  #sinkFor(kind: 'rule' | 'entry', file: string): { readonly onEntry?: EntrySink } {
    const onEntry = this.#onEntry;
    if (onEntry === undefined) return {};
    return { onEntry: (line, column, canonical) => onEntry(kind, file, line, column, canonical) };
  }

  /** Listeners for inline entries; `told` may replace the fault of one. */
  #itemSinks(told: (text: string, fault: EntryFault) => EntryFault = (_, fault) => fault): ItemSinks {
    return {
      onFault: (node, index, found) => {
        const fault = told(node.value, found);
        this.#rejectIn(node, fault === found ? index : 0, fault.code, fault.reason);
      },
      onEntry:
        this.#onEntry === undefined ? undefined : (node, canonical) => this.#tell('entry', node, canonical),
    };
  }

  /** Rejects at the character `index`, from 0, of a text. */
  #rejectIn(node: TextNode, index: number, code: string, reason: string): void {
    this.#reject(node.exact ? node.offset + index : node.offset, code, reason);
  }

  #addRejects(file: string, rejects: readonly Reject[], count: number): void {
    this.#rejects.addAll(
      rejects.map((reject) => ({ file, ...reject })),
      count,
    );
  }

  #checkName(name: string, keyOffset: number, what: string): boolean {
    if (isPartName(name)) return true;
    this.#reject(keyOffset, DocumentFault.name, partNameReason(name, what));
    return false;
  }

  #readList(name: string, { keyOffset, value }: MappingEntry): void {
    const named = this.#checkName(name, keyOffset, 'list');
    if (name === RESOLVED_LIST) this.#reject(keyOffset, DocumentFault.reservedList, reservedListReason);
    if (value.kind !== 'mapping') return;
    const sources = ['entries', 'names', 'file'].filter((key) => value.entries.has(key));
    if (sources.length !== 1) {
      const [code, reason] =
        sources.length === 0
          ? [DocumentFault.source, `list ${name} has no content: give it entries:, names: or file:`]
          : [
              DocumentFault.sources,
              `list ${name} has ${sources.join(' and ')}: keep one, and make two lists`,
            ];
      this.#reject(keyOffset, code, reason);
      return;
    }
    const resolveNode = childOf(value, 'resolve');
    const resolve = this.#resolveOf(resolveNode, value.entries.get('private'));
    const hostBitsNode = childOf(value, 'host-bits');
    const hostBits = hostBitsNode?.kind === 'text' && hostBitsNode.value === 'mask' ? 'mask' : 'reject';
    const suffixes = childOf(value, 'suffixes'); // the schema allows one value
    const read = this.#listOf(value, resolve, hostBits, suffixes !== undefined);
    const isPlain = suffixes !== undefined && read?.kind === 'names';
    const list = isPlain ? { ...read, ...nameSetOf(plainNames(read).names) } : read;
    if (list?.kind === 'prefixes') this.#refuseKeysOfNames(value);
    if (list !== undefined && named) this.#lists.set(name, list);
    if (hostBitsNode !== undefined && list?.kind === 'names') {
      const reason = 'host-bits: is for lists of addresses: leave it out';
      this.#reject(hostBitsNode.offset, DocumentFault.hostBits, reason);
    }
    const exceptions = childOf(value, 'exceptions');
    if (exceptions !== undefined && !value.entries.has('names') && list?.kind !== 'prefixes') {
      const reason = 'exceptions: is for lists that say their names: here: write them into the file';
      this.#reject(exceptions.offset, DocumentFault.misplaced, reason);
    }
  }

  #refuseKeysOfNames(node: MappingNode): void {
    for (const key of ['exceptions', 'resolve', 'suffixes', 'subdomains', 'allow-public-suffixes']) {
      const value = childOf(node, key);
      const reason = `${key}: is for lists of names: leave it out`;
      if (value !== undefined) this.#reject(value.offset, DocumentFault.resolve, reason);
    }
  }

  /** The schema refuses other values. */
  #resolveOf(node: TreeNode | undefined, ofPrivate: MappingEntry | undefined): NameList['resolve'] {
    const resolve = node?.kind === 'text' ? node.value : 'false';
    const isPrivate = ofPrivate?.value.kind === 'text' && ofPrivate.value.value === 'true';
    if (resolve === 'firewall') return isPrivate ? 'firewall-private' : 'firewall';
    if (isPrivate) this.#reject(ofPrivate.keyOffset, DocumentFault.misplaced, PRIVATE_MISPLACED);
    return resolve === 'true' || resolve === 'publisher';
  }

  #listOf(
    node: MappingNode,
    resolve: NameList['resolve'],
    hostBits: HostBits,
    takesSuffixes: boolean,
  ): List | undefined {
    const entries = childOf(node, 'entries');
    if (entries?.kind === 'sequence') {
      return prefixListOf(prefixesOfItems(textsOf(entries), this.#itemSinks(entryFault), hostBits));
    }
    const names = childOf(node, 'names');
    if (names?.kind === 'sequence') {
      const reading = nameReadingIn(node);
      const takesMarks = takesSuffixes || isOfFirewall(resolve);
      const entries = namesOfItems(textsOf(names), this.#itemSinks(), reading, takesMarks);
      return nameListOf(entries, resolve, this.#exceptionsOf(node, entries));
    }
    const file = childOf(node, 'file');
    if (file?.kind !== 'text') return undefined;
    const referenced = this.#referenced(file);
    if (referenced === undefined) return undefined;
    const limits = this.#limits;
    const kind = resolve !== false ? { kind: 'names' as const } : {};
    const sink = this.#sinkFor('entry', referenced.name);
    const text = importList(referenced.name, referenced.bytes, {
      ...kind,
      ...sink,
      ...nameReadingIn(node),
      resolve,
      hostBits,
      limits,
    });
    this.#imported.set(referenced.name, text);
    this.#addRejects(referenced.name, text.rejects, text.rejectCount);
    return text.list;
  }

  /** The exceptions of a list; each must remove something from the entries. */
  #exceptionsOf(node: MappingNode, entries: readonly string[]): readonly string[] {
    const exceptions = childOf(node, 'exceptions');
    if (exceptions?.kind !== 'sequence') return [];
    const reading = { allowPublicSuffixes: true }; // removing a whole suffix opens nothing
    const { onFault } = this.#itemSinks();
    const set = nameSetOf(namesOf(entries));
    return textsOf(exceptions).flatMap((item) => {
      const texts = namesOfItems([item], { onFault }, reading, true);
      const isIdle = texts.some((text) => !takesFrom(set, text));
      const reason = `no entry of names: holds all of ${quote(item.value)}: leave it out of exceptions:, or out of names:`;
      if (isIdle) this.#rejectIn(item, 0, DocumentFault.exception, reason);
      return isIdle ? [] : texts;
    });
  }

  #referenced(node: TextNode): { readonly name: string; readonly bytes: Uint8Array } | undefined {
    if (node.value === '') {
      this.#reject(node.offset, DocumentFault.reference, 'file: names no file');
      return undefined;
    }
    const name = posix.normalize(node.value);
    this.#references.add(name);
    const bytes = this.#readReferenced(name);
    if (bytes !== undefined) return { name, bytes };
    const reason = `${quote(name)} is not there, or was not sent along; relative names start at the document's folder`;
    this.#reject(node.offset, DocumentFault.missingFile, reason);
    return undefined;
  }

  #readPolicy(name: string, { keyOffset, value }: MappingEntry): void {
    const named = this.#checkName(name, keyOffset, 'policy');
    const reason = RESERVED_REASONS.get(name);
    if (reason !== undefined) this.#reject(keyOffset, DocumentFault.reserved, reason);
    else if (value.kind === 'mapping') {
      const policy = this.#policyOf(name, value);
      if (named) this.#policies.set(name, policy);
    }
  }

  #policyOf(name: string, node: MappingNode): Policy {
    if (name === DEFAULT_POLICY) this.#checkDefaultPolicy(node);
    const exceptions = childOf(node, 'exceptions');
    return {
      ...emptyPolicy(name),
      ...nameTermsIn(node),
      prefixes: this.#prefixesOf(childOf(node, 'prefixes')),
      defaultAction: actionOf(childOf(node, 'default')),
      exceptions: isForAllQubes(name) ? NO_RUNS : this.#directedRuns(exceptions),
      ...this.#directedRuns(node, name === FIRST_POLICY),
    };
  }

  #directedRuns(node: TreeNode | undefined, dropsOnly = false): DirectedRuns {
    return {
      egress: this.#runsOf(childOf(node, 'egress'), 'egress', dropsOnly),
      ingress: this.#runsOf(childOf(node, 'ingress'), 'ingress', dropsOnly),
    };
  }

  #checkDefaultPolicy(node: MappingNode): void {
    const exceptions = childOf(node, 'exceptions');
    const keys = [
      ['prefixes', node.entries.get('prefixes')],
      ['ingress', node.entries.get('ingress')],
      ['ingress exceptions', exceptions?.kind === 'mapping' ? exceptions.entries.get('ingress') : undefined],
    ] as const;
    for (const [what, entry] of keys) {
      if (entry === undefined || (entry.value.kind === 'sequence' && entry.value.items.length === 0))
        continue;
      const reason = `policy default takes no ${what}: it judges egress of qubes that no policy has; give the policy another name`;
      this.#reject(entry.keyOffset, DocumentFault.reserved, reason);
    }
  }

  #prefixesOf(node: TreeNode | undefined): PrefixSet {
    if (node?.kind !== 'sequence') return EMPTY_PREFIX_SET;
    const found: { readonly node: TextNode; readonly prefix: Prefix }[] = [];
    for (const text of textsOf(node)) {
      const prefix = this.#prefixOf(text);
      if (prefix !== undefined) found.push({ node: text, prefix });
    }
    const set = prefixSetOf(found.map(({ prefix }) => prefix));
    // A canonical set would drop a prefix within another, yet a policy with a prefix between the two would
    // then take its qubes.
    const left = new Set(
      [set.v4, set.v6].flatMap((column) => Array.from(column.lengths, (_, i) => formatPrefixAt(column, i))),
    );
    const seen = new Set<string>();
    for (const { node: text, prefix } of found) {
      const shown = formatPrefix(prefix);
      if (seen.has(shown))
        this.#reject(text.offset, DocumentFault.duplicatePrefix, `${shown} is given twice: remove one`);
      else if (!left.has(shown)) {
        const reason = `${shown} lies within another prefix of this policy: remove it`;
        this.#reject(text.offset, DocumentFault.coveredPrefix, reason);
      }
      seen.add(shown);
    }
    return set;
  }

  /** The address or CIDR of a text, which may be no range. */
  #prefixOf(node: TextNode): Prefix | undefined {
    const bytes = this.#encoder.encode(node.value);
    const scratch = this.#scratch;
    const found = parsePrefixBytes(bytes, 0, bytes.length, scratch);
    const { family, words, length, hasHostBits } = scratch;
    if (found === undefined && !hasHostBits) return prefixOf(family, words, length);
    const fault =
      found === undefined
        ? hostBitsFault(bytes, 0, bytes.length)
        : prefixFault(bytes, 0, bytes.length, found);
    this.#rejectIn(node, columnAt(bytes, 0, fault.at) - 1, fault.code, fault.reason);
    return undefined;
  }

  #runsOf(node: TreeNode | undefined, direction: Direction, dropsOnly: boolean): Runs {
    if (node?.kind === 'sequence') return this.#inlineRuns(node, direction, dropsOnly);
    const file = childOf(node, 'file');
    if (file?.kind !== 'text') return NO_RULES;
    const referenced = this.#referenced(file);
    if (referenced === undefined) return NO_RULES;
    const sink = this.#sinkFor('rule', referenced.name);
    const options = { ...sink, limits: this.#limits, dropsOnly };
    const lines = parseRuleLines(referenced.bytes, direction, this.#now, options);
    this.#addRejects(referenced.name, lines.rejects, lines.rejectCount);
    return lines.runs;
  }

  #inlineRuns(sequence: SequenceNode, direction: Direction, dropsOnly: boolean): Runs {
    const runs = new RunBuilder();
    for (const node of textsOf(sequence)) {
      const result = parseRule(node.value, direction, this.#now);
      if (result.kind === 'fault') this.#rejectIn(node, result.column - 1, result.code, result.reason);
      else if (dropsOnly && result.rule.action !== 'drop')
        this.#rejectIn(node, 0, DocumentFault.reserved, FIRST_ACCEPTS);
      else {
        runs.push(result.rule);
        this.#tell('rule', node, () => formatRule(result.rule, direction));
      }
    }
    return runs.build();
  }
}

/** Why a reserved name is no policy's, and where to write its rules. */
const RESERVED_REASONS: ReadonlyMap<string, string> = new Map([
  [
    COMMON_POLICY,
    'a policy cannot be called common: write rules before every policy under common: at the top level',
  ],
  [
    FIRST_POLICY,
    'a policy cannot be called first: first: stands at the top level, for drops before all else; give this one another name, as in "first-policy:"',
  ],
]);

const reservedListReason = `no list may be called ${RESOLVED_LIST}: give it another name`;

/** Any other word than the accepting one drops; the schema refuses other words. */
function actionOf(node: TreeNode | undefined): Action {
  return node?.kind === 'text' && node.value === 'accept' ? 'accept' : 'drop';
}

/** A policy's settings for names; the schema refuses other words. */
function nameTermsIn(node: MappingNode): Pick<Policy, 'blocked' | 'unlisted'> {
  const said = <T extends string>(key: string, words: readonly T[]): T | undefined => {
    const value = childOf(node, key);
    return words.find((word) => value?.kind === 'text' && value.value === word);
  };
  const blocked = said('blocked', OF_NAMES.blocked.enum);
  const unlisted = said('unlisted', OF_NAMES.unlisted.enum);
  return { ...(blocked && { blocked }), ...(unlisted && { unlisted }) };
}

/** How a list's names are read; the schema refuses other words. */
function nameReadingIn(node: MappingNode): NameReading {
  const isSaid = (key: string): boolean => {
    const value = childOf(node, key);
    return value?.kind === 'text' && value.value === 'true';
  };
  return { subdomains: isSaid('subdomains'), allowPublicSuffixes: isSaid('allow-public-suffixes') };
}

function isOfFirewall(resolve: NameList['resolve']): boolean {
  return resolve === 'firewall' || resolve === 'firewall-private';
}

function entriesOf(node: TreeNode | undefined): Iterable<[string, MappingEntry]> {
  return node?.kind === 'mapping' ? node.entries : [];
}

function textsOf(sequence: SequenceNode): readonly TextNode[] {
  return sequence.items.filter((item) => item.kind === 'text');
}

/** The fault of an inline entry, which is told otherwise if the entry is a host name. */
function entryFault(text: string, fault: EntryFault): EntryFault {
  if (parseHostName(text).kind === 'fault') return fault;
  const reason = `${quote(text)} is a host name: make it a list of its own, with names: in place of entries:`;
  return { code: EntryFaultCode.name, at: 0, reason };
}

/** Whether a set contains the name of an exception, or the names below it. */
function takesFrom(set: NameSet, exception: string): boolean {
  const name = exception.replace(/^\*?\./, '');
  const isOfName = !exception.startsWith('*') && namesStandFor(set, name);
  return isOfName || (exception !== name && namesStandFor(set, `.${name}`));
}
