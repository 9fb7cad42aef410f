/** What a request makes of the rows: one more, an end that moves, or rows that go. Pure. */

import type { IngestNote } from '@rulecast/formats';
import { isPublicSuffix } from '@rulecast/formats/public-suffix';
import { type BlockVerb, boundText, ErrorCode, ProtocolError } from '@rulecast/protocol';
import {
  evaluate,
  evaluateName,
  FIRST_POLICY,
  formatAddress,
  IpProtocol,
  judgingPolicy,
  namesStandFor,
  parseAddress,
  parseRule,
  prefixAt,
  type RuleSet,
  saysAnything,
  suggestion,
} from '@rulecast/rules';
import { ownPolicies, rowsListCount } from './compile.ts';
import {
  canonicalAddress,
  isActive,
  ROWS_LISTS_MAX,
  ROWS_MAX,
  type Row,
  type Rows,
  rowText,
  type Target,
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

/** What a request is made with: the rule set that was pushed, seconds since 1970, and who asks. */
export interface Asking {
  readonly base: RuleSet;
  readonly now: number;
  readonly by: string;
}

/**
 * Rows with one more. If there is one of the same verb, target and qube, the new one takes its place, with
 * the later of both ends. Throws ProtocolError `bad-input`, `no-such-part` and `over-limit`.
 */
export function rowsWith(
  { next, rows: all }: Rows,
  request: RowRequest,
  { base, now, by }: Asking,
): RowsChange {
  const { verb, seconds } = request;
  const target = request.target === undefined ? undefined : targetFor(request.target, base);
  const qube = request.qube === undefined ? undefined : qubeFor(request.qube, { verb, target }, base);
  const comment = commentOf(request.comment);
  const until = seconds === undefined ? undefined : now + seconds;
  const rows = all.filter((row) => isActive(row, now));
  const same = rows.find((row) => row.verb === verb && row.target === target && row.qube === qube);
  const end = same === undefined ? until : later(same.until, until);
  const row: Row = {
    id: next,
    verb,
    target,
    qube,
    at: now,
    until: end,
    by,
    comment: comment ?? same?.comment,
  };
  const detail = `${rowText(row)}${end === undefined ? '' : ` until ${timeText(end)}`}${row.comment === undefined ? '' : `: ${row.comment}`}`;
  const notes = [...sameNotes(same, row), ...cutNotes(row, base)];
  const isThere = same !== undefined && same.until === end && same.comment === row.comment;
  const place = (address = ''): unknown => ownPolicies(base).get(address) ?? address;
  if (isThere && !rows.some((other) => other.id > same.id && place(other.qube) === place(qube)))
    return { rows: { next, rows: all }, detail, notes: sameNotes(same, { ...row, id: same.id }) };
  const changed = [...rows.filter((each) => each !== same), row];
  if (changed.length > ROWS_MAX)
    throw overLimit(
      `there are ${ROWS_MAX} rows already: push a list, and block @LIST; rulectl blocks shows them`,
    );
  if (rowsListCount(changed) > ROWS_LISTS_MAX)
    throw overLimit(
      `names that end at ${ROWS_LISTS_MAX} different times are the most: push a list of names, leave --for out, or rulectl blocks --remove some`,
    );
  return { rows: { next: next + 1, rows: changed }, detail, notes };
}

/** Rows without some. Throws ProtocolError `no-such-part`. */
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

/** Whether `first` drops for a qube what its newest row accepts: that comes before. */
export function firstNotes(row: Row | undefined, ruleSet: RuleSet, now: number): readonly IngestNote[] {
  const qube = parseAddress(row?.qube ?? '');
  if (row?.verb !== 'allow' || row.target === undefined || qube === undefined) return [];
  const dst = parseAddress(row.target);
  const target = targetOf(row.target);
  const judge =
    target?.kind === 'name'
      ? evaluateName(ruleSet, { now }, { asker: qube, name: target.name, aliases: [] }, namesStandFor).rule
          ?.policy
      : dst && evaluate(ruleSet, { now, dns: [] }, packetTo(qube, dst)).by?.policy;
  if (judge !== FIRST_POLICY) return [];
  const reason = `${row.target} stays dropped: policy first drops it for all qubes before anything is accepted; rulectl blocks and rulectl get all show by what`;
  return [{ code: 'dropped-first', part: `policy ${FIRST_POLICY}`, reason }];
}

function packetTo(
  src: ReturnType<typeof parseAddress>,
  dst: NonNullable<typeof src>,
): Parameters<typeof evaluate>[2] {
  return { direction: 'egress', src, dst, proto: IpProtocol.tcp, port: 443, icmpType: undefined };
}

// ── Arguments ──────────────────────────────────────────────────────────────────────────────────────────────

function targetFor(text: string, { lists }: RuleSet): string {
  const target = targetOf(text);
  if (target === undefined) throw badInput(noTarget(text));
  const fault = targetFault(target);
  if (fault !== undefined) throw badInput(fault);
  if (target.kind === 'list' && !lists.has(target.list)) {
    const near = suggestion(target.list, lists.keys()) || ': rulectl lists shows them';
    throw new ProtocolError(ErrorCode.noSuchPart, boundText(`there is no list ${target.list}${near}`));
  }
  return targetText(target);
}

function noTarget(text: string): string {
  const name = text.replace(/^\*?\./, '');
  const hint =
    name !== text && targetOf(name)?.kind === 'name' ? `: write ${name}, which means all below it, too` : '';
  return `${JSON.stringify(text)} is no address, prefix, host name or @LIST${hint}`;
}

function targetFault(target: Target): string | undefined {
  if (target.kind !== 'name' || !isPublicSuffix(target.name)) return undefined;
  return `${target.name} is a public suffix, and this would be every name below it: push a list that says allow-public-suffixes, if that is meant`;
}

/** The address of a qube; of `block` and `allow` one that has a policy of its own. */
function qubeFor(text: string, { verb, target }: Pick<Row, 'verb' | 'target'>, base: RuleSet): string {
  const address = canonicalAddress(text) ?? addressOfPolicy(text, base);
  if (verb === 'cut' && !saysAnything(base))
    throw badInput(
      'nothing that is released says what passes, so the boot mode of each firewall does: push policies, or unmatched:, first',
    );
  if (verb === 'cut' || ownPolicies(base).has(address)) return address;
  throw badInput(noOwnPolicy(`${verb === 'allow' ? 'accept' : 'drop'} ${remoteText(target)}`, address, base));
}

function addressOfPolicy(text: string, base: RuleSet): string {
  const policy = base.policies.get(text);
  if (policy === undefined) {
    const near = suggestion(text, base.policies.keys());
    throw badInput(`${JSON.stringify(text)} is no address of a qube, and no policy${near}`);
  }
  for (const column of [policy.prefixes.v4, policy.prefixes.v6]) {
    const address = column.lengths.length === 0 ? undefined : formatAddress(prefixAt(column, 0));
    if (address !== undefined && ownPolicies(base).get(address) === policy) return address;
  }
  throw badInput(`policy ${text} is not for one address alone: write the address of the qube`);
}

function noOwnPolicy(rule: string, address: string, base: RuleSet): string {
  const policy = judgingPolicy(base, parseAddress(address), 'egress');
  const judge = policy === undefined ? 'no policy judges it' : `policy ${policy.name} judges it, and others`;
  const shared =
    policy === undefined ? 'in common, for all qubes' : `in ${policy.name}, for all of its qubes`;
  return `${address} has no policy of its own: ${judge}. Push one, as in policies: { NAME: { prefixes: ["${address}"], egress: ["${rule}"] } }, with all that the qube is to have; or write that rule ${shared}`;
}

/** As a rule has it. */
function remoteText(target = ''): string {
  const found = targetOf(target);
  if (found?.kind === 'prefix') return `dst${found.prefix.family}=${target}`;
  return found?.kind === 'name' ? `dsthost=${target}` : `dst=${target}`;
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

function sameNotes(same: Row | undefined, row: Row): readonly IngestNote[] {
  if (same === undefined) return [];
  const end = row.until === undefined ? 'until it is removed' : `until ${timeText(row.until)}`;
  const place = row.id === same.id ? `is row ${row.id} already` : `was row ${same.id}, and is row ${row.id}`;
  return [{ code: 'same', part: '', reason: `${rowText(row)} ${place}: the later end holds, ${end}` }];
}

function cutNotes({ verb, until, qube = '' }: Row, base: RuleSet): readonly IngestNote[] {
  if (verb !== 'cut') return [];
  const own = ownPolicies(base).get(qube);
  const hasBoth = own !== undefined && own.prefixes.v4.lengths.length === own.prefixes.v6.lengths.length;
  const others = 'what it sends from other addresses, as of the other family, is not cut: cut those, too';
  const notes = hasBoth ? [] : [{ code: 'one-address', part: '', reason: others }];
  if (until === undefined) return notes;
  const reason = `it ends by a release: while the publisher does not run, the qube stays cut off after ${timeText(until)}`;
  return [...notes, { code: 'ends-by-release', part: '', reason }];
}

export function timeText(seconds: number): string {
  return new Date(seconds * 1000).toISOString().replace('.000Z', 'Z');
}

function badInput(text: string): ProtocolError {
  return new ProtocolError(ErrorCode.badInput, boundText(text));
}

function overLimit(text: string): ProtocolError {
  return new ProtocolError(ErrorCode.overLimit, text);
}
