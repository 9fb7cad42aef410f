/** Applies a request to the rows: adds one, moves an expiry, or removes some. Pure. */

import type { IngestNote } from '@rulecast/formats';
import { isPublicSuffix } from '@rulecast/formats/public-suffix';
import { type BlockVerb, boundText, ErrorCode, ProtocolError } from '@rulecast/protocol';
import {
  formatRule,
  judgingPolicy,
  parseAddress,
  parseRule,
  plainRule,
  type RuleSet,
  saysAnything,
  suggestion,
} from '@rulecast/rules';
import { namesLists, ownPolicies } from './compile.ts';
import {
  canonicalAddress,
  ROWS_LISTS_MAX,
  ROWS_MAX,
  type Row,
  type Rows,
  rowText,
  targetOf,
  targetText,
} from './rows.ts';

/** As BLOCK has it. */
export interface RowRequest {
  readonly verb: BlockVerb;
  readonly target?: string | undefined;
  readonly qube?: string | undefined;
  readonly seconds?: number | undefined;
  readonly comment?: string | undefined;
}

export interface RowsChange {
  readonly rows: Rows;
  /** For the history and the audit log. */
  readonly detail: string;
  readonly notes: readonly IngestNote[];
}

/** The context of a request: the pushed rule set, the time in seconds since 1970, and the caller. */
export interface Asking {
  readonly base: RuleSet;
  readonly now: number;
  readonly by: string;
}

/**
 * Rows with one more, of those that have not ended. If there is one of the same verb, target and qube, the
 * new one takes its place, with the later of both ends. Throws ProtocolError `bad-input`, `no-such-part` and
 * `over-limit`.
 */
export function rowsWith({ next, rows }: Rows, request: RowRequest, { base, now, by }: Asking): RowsChange {
  const { verb, seconds } = request;
  const target = request.target === undefined ? undefined : targetFor(request.target, base);
  const qube = request.qube === undefined ? undefined : qubeFor(request.qube, { verb, target }, base);
  const comment = commentOf(request.comment);
  const until = seconds === undefined ? undefined : now + seconds;
  const same = rows.find((row) => row.verb === verb && row.target === target && row.qube === qube);
  const kept = {
    until: same === undefined ? until : later(same.until, until),
    comment: comment ?? same?.comment,
  };
  // A new number is a change that the audit log has, also of a cut, whose rules do not say when it ends.
  const isKnown = same?.until === kept.until && same?.comment === kept.comment;
  const id = (isKnown ? same?.id : undefined) ?? next;
  const row: Row = { id, verb, target, qube, at: now, by, ...kept };
  const end = row.until === undefined ? '' : ` until ${timeText(row.until)}`;
  const detail = `${rowText(row)}${end}${row.comment === undefined ? '' : `: ${row.comment}`}`;
  const changed = [...rows.filter((each) => each !== same), row];
  if (changed.length > ROWS_MAX)
    throw overLimit(
      `there are ${ROWS_MAX} rows already: push a list, and block @LIST; rulectl blocks shows them`,
    );
  if (namesLists(changed).size > ROWS_LISTS_MAX)
    throw overLimit(
      `names that end at ${ROWS_LISTS_MAX} different times are the most: push a list of names, leave --for out, or rulectl blocks --remove some`,
    );
  const notes = [...(same === undefined ? [] : [sameNote(same, row)]), ...cutNotes(row, base)];
  return { rows: { next: Math.max(next, id + 1), rows: changed }, detail, notes };
}

/** The rows without some. Throws ProtocolError `no-such-part`. */
export function rowsWithout(rows: Rows, ids: readonly number[] | 'all'): RowsChange {
  const going = new Set(ids === 'all' ? rows.rows.map(({ id }) => id) : ids);
  for (const id of going) {
    if (rows.rows.some((row) => row.id === id)) continue;
    throw new ProtocolError(ErrorCode.noSuchPart, `there is no row ${id}: rulectl blocks lists them`);
  }
  const gone = rows.rows.filter(({ id }) => going.has(id));
  const detail = `removed: ${gone.map((row) => rowText(row)).join(', ')}`;
  return { rows: { ...rows, rows: rows.rows.filter((row) => !going.has(row.id)) }, detail, notes: [] };
}

// ── Arguments ──────────────────────────────────────────────────────────────────────────────────────────────

function targetFor(text: string, { lists }: RuleSet): string {
  const target = targetOf(text);
  if (target === undefined)
    throw badInput(
      `${JSON.stringify(text)} is no address, prefix, host name or @LIST; a name means all below it, too`,
    );
  if (target.kind === 'name' && isPublicSuffix(target.name))
    throw badInput(
      `${target.name} is a public suffix, and this would be every name below it: push a list that says allow-public-suffixes, if that is meant`,
    );
  if (target.kind === 'list' && !lists.has(target.list)) {
    const near = suggestion(target.list, lists.keys()) || ': rulectl lists shows them';
    throw new ProtocolError(ErrorCode.noSuchPart, boundText(`there is no list ${target.list}${near}`));
  }
  return targetText(target);
}

/** The address of a qube; of `block` and `allow` one that has a policy of its own. */
function qubeFor(text: string, { verb, target }: Pick<Row, 'verb' | 'target'>, base: RuleSet): string {
  const address = canonicalAddress(text) ?? addressOfPolicy(text, base);
  if (verb === 'cut' && !saysAnything(base))
    throw badInput(
      'no policy is released, so the boot mode of each firewall decides: first push policies, or unmatched:',
    );
  if (verb === 'cut' || ownPolicies(base).has(address)) return address;
  throw badInput(noOwnPolicy(verb, target, address, base));
}

function addressOfPolicy(text: string, base: RuleSet): string {
  const policy = base.policies.get(text);
  if (policy === undefined) {
    const near = suggestion(text, base.policies.keys());
    throw badInput(`${JSON.stringify(text)} is no address of a qube, and no policy${near}`);
  }
  const [address] = [...ownPolicies(base)].find(([, own]) => own === policy) ?? [];
  if (address !== undefined) return address;
  throw badInput(`policy ${text} is not for one address alone: write the address of the qube`);
}

function noOwnPolicy(verb: BlockVerb, target = '', address: string, base: RuleSet): string {
  const policy = judgingPolicy(base, parseAddress(address), 'egress');
  const judge = policy === undefined ? 'no policy judges it' : `policy ${policy.name} judges it, and others`;
  const shared =
    policy === undefined ? 'in common, for all qubes' : `in ${policy.name}, for all of its qubes`;
  const remote = targetOf(target) ?? { kind: 'any' };
  const rule = formatRule({ ...plainRule(verb === 'allow' ? 'accept' : 'drop'), remote }, 'egress');
  return `${address} has no policy of its own: ${judge}. Push one, as in policies: { NAME: { prefixes: ["${address}"], egress: ["${rule}"] } }, with all that the qube is to have; or write that rule ${shared}`;
}

function commentOf(text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  const result = parseRule(`action=drop comment=${text}`, 'egress', 0);
  if (result.kind === 'fault') throw badInput(result.reason);
  return result.rule.comment;
}

// ── Ends ───────────────────────────────────────────────────────────────────────────────────────────────────

function later(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined || b === undefined ? undefined : Math.max(a, b);
}

function sameNote(same: Row, row: Row): IngestNote {
  const end = row.until === undefined ? 'until it is removed' : `until ${timeText(row.until)}`;
  const place = row.id === same.id ? `is row ${row.id} already` : `was row ${same.id}, and is row ${row.id}`;
  return { code: 'same', part: '', reason: `${rowText(row)} ${place}: the later end holds, ${end}` };
}

function cutNotes({ verb, until, qube = '' }: Row, base: RuleSet): readonly IngestNote[] {
  if (verb !== 'cut') return [];
  const own = ownPolicies(base).get(qube);
  const hasBoth = own !== undefined && own.prefixes.v4.lengths.length === own.prefixes.v6.lengths.length;
  const others =
    'traffic from its other addresses, such as those of the other IP version, is not cut: cut those, too';
  const notes = hasBoth ? [] : [{ code: 'one-address', part: '', reason: others }];
  if (until === undefined) return notes;
  const reason = `it ends by a release: while the publisher does not run, the qube stays cut off after ${timeText(until)}`;
  return [...notes, { code: 'ends-by-release', part: '', reason }];
}

function timeText(seconds: number): string {
  return new Date(seconds * 1000).toISOString().replace('.000Z', 'Z');
}

function badInput(text: string): ProtocolError {
  return new ProtocolError(ErrorCode.badInput, boundText(text));
}

function overLimit(text: string): ProtocolError {
  return new ProtocolError(ErrorCode.overLimit, text);
}
