/**
 * The lines that a change removes from a part and adds to it, as canonical text for people. Lines are made
 * one at a time: a million of them are never in memory at once.
 */

import { type EditAspect, type Part, type PartChange, PartKind, type Resolutions } from '@rulecast/protocol';
import {
  compareHostNames,
  type Direction,
  diffPrefixes,
  EMPTY_PREFIX_SET,
  FIRST_POLICY,
  formatPrefixAt,
  formatRule,
  type NameList,
  type Names,
  type NamesDelta,
  namesAt,
  nameTexts,
  type Policy,
  type Prefixes,
  type PrefixSet,
  type Runs,
  ruleCount,
  rulesIn,
} from '@rulecast/rules';

/** Consecutive lines of one release that the other lacks. */
export interface EditBlock {
  readonly op: 'added' | 'removed';
  readonly aspect: EditAspect;
  /** For rules: the number of the first, from 0, in the release that has it. */
  readonly index?: number;
  readonly lines: Iterable<string>;
}

type Edits = Extract<PartChange, { op: 'patch' }>['edits'];
type EditsOf<K extends Edits['kind']> = Extract<Edits, { kind: K }>;
type Splices = EditsOf<'policy'>['egress'];

const DIRECTIONS = ['egress', 'ingress'] as const;

/** The blocks of one change, in the order of the part. A block may have no lines. */
export function* editBlocks(change: PartChange): Generator<EditBlock> {
  switch (change.op) {
    case 'put':
      return yield* wholeBlocks('added', change.after);
    case 'remove':
      return yield* wholeBlocks('removed', change.before);
    case 'patch':
      return yield* patchBlocks(change.before, change.after, change.edits);
  }
}

function* wholeBlocks(op: EditBlock['op'], part: Part): Generator<EditBlock> {
  switch (part.kind) {
    case PartKind.prefixList:
    case PartKind.nameList: {
      const { list } = part;
      if (list.kind === 'names') {
        if (list.resolve !== false) yield resolveBlock(op, list.resolve);
        yield { op, aspect: 'entries', lines: nameTexts(list.names) };
        yield { op, aspect: 'exceptions', lines: nameTexts(list.exceptions) };
        return;
      }
      yield { op, aspect: 'entries', lines: setLines(list) };
      return;
    }
    case PartKind.policy: {
      const { policy } = part;
      yield { op, aspect: 'default', lines: baseLines(policy) };
      yield { op, aspect: 'prefixes', lines: setLines(policy.prefixes) };
      for (const direction of DIRECTIONS) {
        const lines = ruleLines(policy.exceptions[direction], direction);
        yield { op, aspect: `${direction}-exceptions`, index: 0, lines };
      }
      for (const direction of DIRECTIONS)
        yield { op, aspect: direction, index: 0, lines: ruleLines(policy[direction], direction) };
      return;
    }
    case PartKind.resolutions:
      yield { op, aspect: 'addresses', lines: resolutionLines(part.resolutions) };
      return;
    case PartKind.unmatched:
      yield { op, aspect: 'unmatched', lines: [part.unmatched] };
  }
}

function* patchBlocks(before: Part, after: Part, edits: Edits): Generator<EditBlock> {
  switch (edits.kind) {
    case 'prefixes':
      if ('list' in before && before.list.kind === 'prefixes') yield* prefixBlocks(before.list, edits);
      return;
    case 'names': {
      if (!('list' in before) || before.list.kind !== 'names') return;
      if (!('list' in after) || after.list.kind !== 'names') return;
      if (before.list.resolve !== after.list.resolve) {
        yield resolveBlock('removed', before.list.resolve);
        yield resolveBlock('added', after.list.resolve);
      }
      yield* nameBlocks('entries', before.list.names, edits.names);
      yield* nameBlocks('exceptions', before.list.exceptions, edits.exceptions);
      return;
    }
    case 'policy':
      if (before.kind !== PartKind.policy || after.kind !== PartKind.policy) return;
      yield* headerBlocks(before.policy, after.policy);
      for (const direction of DIRECTIONS) {
        const { exceptions } = before.policy;
        const aspect = `${direction}-exceptions` as const;
        yield* spliceBlocks(exceptions[direction], edits.exceptions[direction], direction, aspect);
      }
      for (const direction of DIRECTIONS)
        yield* spliceBlocks(before.policy[direction], edits[direction], direction, direction);
      return;
    case 'resolutions':
      if (before.kind === PartKind.resolutions) yield* resolutionBlocks(before.resolutions, edits);
      return;
    case 'unmatched':
      yield* wholeBlocks('removed', before);
      yield* wholeBlocks('added', after);
  }
}

function* nameBlocks(
  aspect: 'entries' | 'exceptions',
  before: Names,
  { removed, added }: NamesDelta,
): Generator<EditBlock> {
  yield { op: 'removed', aspect, lines: nameTexts(namesAt(before, removed)) };
  yield { op: 'added', aspect, lines: nameTexts(added) };
}

function* prefixBlocks(before: PrefixSet, { v4, v6 }: EditsOf<'prefixes'>): Generator<EditBlock> {
  for (const [column, delta] of [
    [before.v4, v4],
    [before.v6, v6],
  ] as const) {
    yield {
      op: 'removed',
      aspect: 'entries',
      lines: chosen(delta.removed, (i) => formatPrefixAt(column, i)),
    };
  }
  for (const { added } of [v4, v6]) yield { op: 'added', aspect: 'entries', lines: columnLines(added) };
}

function resolveBlock(op: EditBlock['op'], resolve: NameList['resolve']): EditBlock {
  const isPrivate = resolve === 'firewall-private';
  const said = isPrivate ? 'firewall, private: true' : resolve;
  return { op, aspect: 'resolve', lines: [`resolve: ${said}`] };
}

/** The settings of a policy besides its prefixes and rules. */
function baseLines({ name, defaultAction, blocked, unlisted }: Policy): readonly string[] {
  return [
    ...(name === FIRST_POLICY ? [] : [defaultAction]),
    ...(blocked === undefined ? [] : [`blocked: ${blocked}`]),
    ...(unlisted === undefined ? [] : [`unlisted: ${unlisted}`]),
  ];
}

/** All of a policy but its rules. */
function* headerBlocks(before: Policy, after: Policy): Generator<EditBlock> {
  const [old, next] = [baseLines(before), baseLines(after)];
  const other = (lines: readonly string[], than: readonly string[]): readonly string[] =>
    lines.filter((line) => !than.includes(line));
  yield { op: 'removed', aspect: 'default', lines: other(old, next) };
  yield { op: 'added', aspect: 'default', lines: other(next, old) };
  yield* setBlocks('prefixes', before.prefixes, after.prefixes, '');
}

/** The difference of two sets as lines, each after `lead`. */
function* setBlocks(
  aspect: EditAspect,
  before: PrefixSet,
  after: PrefixSet,
  lead: string,
): Generator<EditBlock> {
  const pairs = [
    [before.v4, diffPrefixes(before.v4, after.v4)],
    [before.v6, diffPrefixes(before.v6, after.v6)],
  ] as const;
  for (const [column, { removed }] of pairs) {
    yield { op: 'removed', aspect, lines: chosen(removed, (i) => lead + formatPrefixAt(column, i)) };
  }
  for (const [, { added }] of pairs) yield { op: 'added', aspect, lines: columnLines(added, lead) };
}

function* spliceBlocks(
  before: Runs,
  splices: Splices,
  direction: Direction,
  aspect: EditAspect,
): Generator<EditBlock> {
  let old = 0; // rules of the old policy that were passed
  let next = 0; // rules of the new one
  for (const { keep, drop, insert } of splices) {
    old += keep;
    next += keep;
    if (drop > 0)
      yield { op: 'removed', aspect, index: old, lines: ruleLines(before, direction, old, old + drop) };
    yield { op: 'added', aspect, index: next, lines: ruleLines(insert, direction) };
    old += drop;
    next += ruleCount(insert);
  }
}

function* resolutionBlocks(before: Resolutions, { changes }: EditsOf<'resolutions'>): Generator<EditBlock> {
  for (const [name, after] of changes) {
    yield* setBlocks(
      'addresses',
      before.get(name) ?? EMPTY_PREFIX_SET,
      after ?? EMPTY_PREFIX_SET,
      `${name} `,
    );
  }
}

function* chosen(indices: Uint32Array, lineAt: (index: number) => string): Generator<string> {
  for (const index of indices) yield lineAt(index);
}

function* columnLines(column: Prefixes, lead = ''): Generator<string> {
  for (let i = 0; i < column.lengths.length; i++) yield lead + formatPrefixAt(column, i);
}

function* setLines(set: PrefixSet, lead = ''): Generator<string> {
  yield* columnLines(set.v4, lead);
  yield* columnLines(set.v6, lead);
}

function* resolutionLines(resolutions: Resolutions): Generator<string> {
  for (const [name, set] of [...resolutions].sort(([a], [b]) => compareHostNames(a, b))) {
    yield* setLines(set, `${name} `);
  }
}

function* ruleLines(runs: Runs, direction: Direction, from?: number, to?: number): Generator<string> {
  for (const rule of rulesIn(runs, from, to)) yield formatRule(rule, direction);
}
