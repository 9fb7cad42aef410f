/**
 * The rules file, as pushes and releases see it: which parts it owns, whether a push equals its content, and
 * the rule set it makes. The daemon reads it (daemon/watched-rules.ts).
 */

import { createHash } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import {
  type DocumentReject,
  type IngestNote,
  type IngestResult,
  ingest,
  NO_OWNED_PARTS,
  type OwnedParts,
  type PushedFile,
  type PushedParts,
  type PushInput,
} from '@rulecast/formats';
import { diffPieces, PARTS_MAX, type PartChange, PartKind } from '@rulecast/protocol';
import { EMPTY_RULE_SET, type List, type Pieces, type RuleSet, usedLists } from '@rulecast/rules';
import type { Store } from '../store/store.ts';
import type { TakenRules } from '../store/taken-rules.ts';

/** The code of a reject of parts that belong to the rules file. */
const OWNED_FAULT = 'rules-of-a-file';
/** The code of a note of a list that left the file and stays. */
const IN_USE = 'in-use';

/** The content of the file, and of those that it names. */
export interface RulesContent {
  readonly digest: string;
  readonly bytes: number;
}

export class RulesFile {
  readonly #store: Store;
  /** Undefined: the configuration names no file, and parts of a former one have no owner. */
  #path: string | undefined;
  #content: RulesContent | undefined;

  /** Whether this list has a source. */
  readonly isOfSource: (list: string) => boolean;

  constructor(store: Store, isOfSource: (list: string) => boolean) {
    this.#store = store;
    this.isOfSource = isOfSource;
  }

  /** The configuration names this file from now on; undefined: none, its parts stay. Throws StoreError. */
  name(path: string | undefined): void {
    this.#path = path;
    this.#content = undefined;
    if (path === undefined) this.#store.noteRules(undefined);
  }

  /**
   * The file has this content now, taken or not: a push of the same is a push of the file. Undefined: it
   * cannot be read. Lists that a source keeps now are the file's no more: then its content counts as not
   * taken, so that it is refused, and released once the source has gone.
   * Throws StoreError, but for undefined.
   */
  read(content: RulesContent | undefined): void {
    this.#content = content;
    const taken = this.#taken;
    if (content === undefined || taken === undefined) return;
    const lists = new Set([...taken.parts.lists].filter((list) => !this.isOfSource(list)));
    if (lists.size === taken.parts.lists.size) return;
    this.#store.noteRules({ ...taken, digest: '', parts: { ...taken.parts, lists } });
  }

  /** Whether this content was released last; without a digest, the file's present content. */
  isTaken(digest = this.#content?.digest): boolean {
    return digest !== undefined && this.#taken?.digest === digest;
  }

  /** Whether a rollback undid its content. */
  get isLeft(): boolean {
    return this.#path !== undefined && !this.#store.hasTakenParts;
  }

  /** The parts of its content released last, which only the file may change. */
  get parts(): OwnedParts {
    return this.#taken?.parts ?? NO_OWNED_PARTS;
  }

  get #taken(): TakenRules | undefined {
    return this.#path === undefined ? undefined : this.#store.takenRules;
  }

  /** The note to store when its content is released. */
  takenWith(digest: string, { lists, policies, unmatched }: PushedParts): TakenRules {
    const before = this.#taken;
    const parts: OwnedParts = {
      lists: new Set(lists.keys()),
      policies: new Set(policies.keys()),
      unmatched: unmatched !== undefined,
    };
    const ever = before === undefined ? NO_OWNED_PARTS : joined(before.former, before.parts);
    return { digest, parts, former: without(ever, parts) };
  }

  /** The note to store when a push has parts that the file owned before; undefined if none. */
  takenDespite({ lists, policies, unmatched }: PushedParts): TakenRules | undefined {
    const taken = this.#taken;
    if (taken === undefined) return undefined;
    const former = without(taken.former, { lists, policies, unmatched: unmatched !== undefined });
    return isDeepStrictEqual(former, taken.former) ? undefined : { ...taken, former };
  }

  /** The digest of a push that is the very content of the file; undefined for any other. */
  digestOf(input: PushInput): string | undefined {
    if (this.#path === undefined || this.#content === undefined) return undefined;
    const { action, replaceAll, list, policy, format, resolve, subdomains, allowPublicSuffixes } = input;
    const isPlain =
      action === 'replace' &&
      ![list, policy, format, resolve].some((option) => option !== undefined) &&
      ![replaceAll, subdomains, allowPublicSuffixes].includes(true);
    const { digest, bytes } = this.#content;
    if (!isPlain || bytesOf(input.files) !== bytes) return undefined;
    return digestOf(input.files) === digest ? digest : undefined;
  }

  /** Why a push may not be: it would change parts of the file. In pieces. */
  *rejectsOf(before: RuleSet, after: RuleSet): Pieces<readonly DocumentReject[]> {
    const { parts } = this;
    if (parts === NO_OWNED_PARTS) return [];
    const { changes } = yield* diffPieces(ownedOf(before, parts), ownedOf(after, parts));
    return changes.map((change) => {
      const part = partOf(change);
      const reason = `${part} is what ${this.#path ?? ''} says (rules: of the configuration): change that file`;
      return { file: change.name || part, line: 1, column: 1, code: OWNED_FAULT, reason };
    });
  }

  /**
   * Applies the file's content to the rule set: its parts are replaced, and parts that it no longer has are
   * withdrawn, except lists that rules use.
   */
  ingested(current: RuleSet, pushed: PushedParts): IngestResult {
    const { parts, former } = this.#taken ?? { parts: NO_OWNED_PARTS, former: NO_OWNED_PARTS };
    const { lists, policies, unmatched } = joined(parts, former);
    const isGone = (list: string): boolean =>
      !this.isOfSource(list) && (lists.has(list) || pushed.lists.has(list));
    const others: RuleSet = {
      ...current,
      lists: new Map([...current.lists].filter(([name]) => !isGone(name))),
      policies: new Map([...current.policies].filter(([name]) => !policies.has(name))),
      unmatched: unmatched ? undefined : current.unmatched,
    };
    const result = ingest(others, pushed, { action: 'replace', replaceAll: false }, this.isOfSource);
    if (result.kind === 'rejects') return result;
    const used = usedLists(result.ruleSet.policies.values());
    const kept = [...current.lists].filter(([name]) => used.has(name) && !result.ruleSet.lists.has(name));
    return {
      ...result,
      ruleSet: { ...result.ruleSet, lists: new Map<string, List>([...result.ruleSet.lists, ...kept]) },
      notes: [...result.notes, ...kept.map(([name]) => keptNote(name))],
    };
  }
}

function joined(a: OwnedParts, b: OwnedParts): OwnedParts {
  return {
    lists: new Set([...a.lists, ...b.lists]),
    policies: new Set([...a.policies, ...b.policies]),
    unmatched: a.unmatched || b.unmatched,
  };
}

/** As many as a release has parts: what left the file longest ago is forgotten first. */
function without(
  parts: OwnedParts,
  others: Pick<PushedParts | OwnedParts, 'lists' | 'policies'> & Pick<OwnedParts, 'unmatched'>,
): OwnedParts {
  return {
    lists: new Set([...parts.lists].filter((name) => !others.lists.has(name)).slice(-PARTS_MAX)),
    policies: new Set([...parts.policies].filter((name) => !others.policies.has(name)).slice(-PARTS_MAX)),
    unmatched: parts.unmatched && !others.unmatched,
  };
}

/** The content of a document and the files that it names. */
export function contentOf(files: readonly PushedFile[]): RulesContent {
  return { digest: digestOf(files), bytes: bytesOf(files) };
}

/** The digest of a document's bytes, whatever its name, and of the files it names, with their names. */
function digestOf(files: readonly PushedFile[]): string {
  const rows = files.map(({ name, role, bytes }) => {
    const digest = createHash('sha256').update(bytes).digest('hex');
    return JSON.stringify([role, role === 'pushed' ? '' : name, digest]);
  });
  return createHash('sha256').update(rows.sort().join('\n')).digest('hex');
}

function bytesOf(files: readonly PushedFile[]): number {
  return files.reduce((sum, { bytes }) => sum + bytes.length, 0);
}

function ownedOf({ lists, policies, unmatched }: RuleSet, owned: OwnedParts): RuleSet {
  return {
    ...EMPTY_RULE_SET,
    lists: new Map([...lists].filter(([name]) => owned.lists.has(name))),
    policies: new Map([...policies].filter(([name]) => owned.policies.has(name))),
    unmatched: owned.unmatched ? unmatched : undefined,
  };
}

function partOf({ kind, name }: PartChange): string {
  if (kind === PartKind.unmatched) return 'unmatched:';
  return `${kind === PartKind.policy ? 'policy' : 'list'} ${name}`;
}

function keptNote(list: string): IngestNote {
  const reason = `list ${list} is in the rules file no more and stays as it is, for rules use it: push it, or withdraw what uses it`;
  return { code: IN_USE, part: list, reason };
}
