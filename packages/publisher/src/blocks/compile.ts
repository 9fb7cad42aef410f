/**
 * Rows to rules, and back: what a rule set says with the rows that are active, and what of a rule set was
 * pushed. Pure.
 *
 *   for all qubes   drops, the first rules of `first`
 *   for one         the first exceptions of the policy of its address alone
 *   cut             likewise, both ways; without such a policy, one of its address alone
 *   names           a list for all that are said alike and end alike, judged by the firewall's DNS
 *
 *   base ─withRows─▶ what is released ─baseOf─▶ base
 *
 * Of rows that stand in one policy the newest decides, and a cut before all.
 */

import {
  type Address,
  bitsOf,
  columnFor,
  combineSets,
  DEFAULT_POLICY,
  type Direction,
  emptyPolicy,
  FIRST_POLICY,
  formAt,
  formatAddress,
  isForAllQubes,
  judgesIngress,
  judgingPolicy,
  memberContaining,
  nameListOf,
  namesOpenedBy,
  type Policy,
  plainRule,
  policyRuleCount,
  prefixAt,
  prefixSetOf,
  type Remote,
  type Rule,
  type RuleSet,
  RunBuilder,
  type Runs,
  subtractPrefixes,
  unionPrefixes,
} from '@rulecast/rules';
import { cutPolicyName, holderIn, isCutPolicy, isMark, isRowsList, rowsListName } from './mark.ts';
import { qubeOf, type Row, rowText, targetOf } from './rows.ts';

/** Rows that say alike, as one rule for each direction. */
interface Entry {
  readonly verb: Row['verb'];
  readonly qube: Address | undefined;
  readonly until: number | undefined;
  readonly remote: Remote;
  /** The newest first. */
  readonly rows: readonly Row[];
  /** With a list of names of its own. */
  readonly names?: readonly string[];
}

type Rules = Readonly<Record<Direction, readonly Rule[]>>;

/** A row that has no place in a rule set, and what it needs. */
export interface RowFault {
  readonly row: Row;
  readonly reason: string;
}

/** For people: what is wrong, and what to do; undefined: nothing. */
export function faultText(faults: readonly RowFault[]): string | undefined {
  const [first] = faults;
  if (first === undefined) return undefined;
  const ids = faults.slice(0, FAULTS_SHOWN).map(({ row }) => row.id);
  return `${first.reason}, which would be gone: keep that, or rulectl blocks --remove ${ids.join(',')}`;
}

const FAULTS_SHOWN = 16;

export interface RuleSetWithRows {
  readonly ruleSet: RuleSet;
  /** Rows that are not in it. */
  readonly faults: readonly RowFault[];
}

// ── Rows to rules ──────────────────────────────────────────────────────────────────────────────────────────

/** What was made of a rule set last, and of which rows: a release asks several times. */
const lastMade = new WeakMap<RuleSet, { readonly rows: readonly Row[]; readonly made: RuleSetWithRows }>();

/** What a rule set that was pushed says with some rows, all of them active. The same object without any. */
export function withRows(base: RuleSet, rows: readonly Row[]): RuleSetWithRows {
  const last = lastMade.get(base);
  if (last?.rows === rows) return last.made;
  const made = rows.length === 0 ? { ruleSet: base, faults: [] } : compiled(base, rows);
  lastMade.set(base, { rows, made });
  return made;
}

function compiled(base: RuleSet, rows: readonly Row[]): RuleSetWithRows {
  const lists = new Map(base.lists);
  const policies = new Map(base.policies);
  const faults: RowFault[] = [];
  const owners = ownPolicies(base);
  for (const entries of byPlace(entriesOf(rows), owners)) {
    const [{ verb, qube } = NO_ENTRY] = entries;
    const own = qube === undefined ? undefined : owners.get(formatAddress(qube));
    const rest = entries.filter((entry) => {
      const reason = faultOf(entry, own, base);
      if (reason !== undefined) faults.push(...entry.rows.map((row) => ({ row, reason: reason(row) })));
      return reason === undefined;
    });
    for (const { remote, names } of rest)
      if (names !== undefined && remote.kind === 'list')
        lists.set(remote.list, nameListOf(names, 'firewall'));
    if (rest.length === 0) continue;
    if (qube === undefined) putFirst(policies, rest, lists);
    else if (own !== undefined) policies.set(own.name, withExceptions(own, rest, lists));
    else if (verb === 'cut') putCut(policies, base, qube, rest);
  }
  return { ruleSet: { ...base, lists, policies }, faults };
}

const NO_ENTRY: Pick<Entry, 'verb' | 'qube'> = { verb: 'block', qube: undefined };

/** One entry for rows of names that say and end alike. Cuts first, then the newest first. */
function entriesOf(rows: readonly Row[]): readonly Entry[] {
  const entries: Entry[] = [];
  const gathered = new Map<
    string,
    { readonly entry: Entry; readonly rows: Row[]; readonly names: string[] }
  >();
  for (const row of rows.toReversed()) {
    const { verb, until } = row;
    const qube = qubeOf(row);
    const target = row.target === undefined ? undefined : targetOf(row.target);
    if (target?.kind !== 'name') {
      entries.push({ verb, qube, until, remote: target ?? { kind: 'any' }, rows: [row] });
      continue;
    }
    const list = rowsListName(verb, qube, until);
    const known = gathered.get(list);
    known?.rows.push(row);
    known?.names.push(`.${target.name}`);
    if (known !== undefined) continue;
    const [own, names] = [[row], [`.${target.name}`]];
    const entry: Entry = { verb, qube, until, remote: { kind: 'list', list }, rows: own, names };
    gathered.set(list, { entry, rows: own, names });
    entries.push(entry);
  }
  return [...entries.filter(({ verb }) => verb === 'cut'), ...entries.filter(({ verb }) => verb !== 'cut')];
}

/** How many lists of names rows take. */
export function rowsListCount(rows: readonly Row[]): number {
  return entriesOf(rows).filter(({ names }) => names !== undefined).length;
}

/** By the policy that they stand in: one may have an address of each family. */
function byPlace(
  entries: readonly Entry[],
  owners: ReadonlyMap<string, Policy>,
): readonly (readonly Entry[])[] {
  const groups = new Map<Policy | string, Entry[]>();
  for (const entry of entries) {
    const address = entry.qube === undefined ? '' : formatAddress(entry.qube);
    const place = owners.get(address) ?? address;
    const group = groups.get(place);
    if (group === undefined) groups.set(place, [entry]);
    else group.push(entry);
  }
  return [...groups.values()];
}

/** Why rows would not be in force; undefined: they would. */
function faultOf(
  { verb, qube, remote, names }: Entry,
  own: Policy | undefined,
  base: RuleSet,
): ((row: Row) => string) | undefined {
  if (qube !== undefined && own === undefined && verb !== 'cut')
    return (row) => `${rowText(row)} (row ${row.id}) stands in the policy of that address alone`;
  if (remote.kind !== 'list' || names !== undefined || base.lists.has(remote.list)) return undefined;
  return (row) => `${rowText(row)} (row ${row.id}) needs list ${remote.list}`;
}

function putFirst(policies: Map<string, Policy>, entries: readonly Entry[], lists: RuleSet['lists']): void {
  const first = policies.get(FIRST_POLICY) ?? emptyPolicy(FIRST_POLICY);
  const { egress, ingress } = rulesOf(entries, lists, true);
  const own = { egress: ahead(egress, first.egress), ingress: ahead(ingress, first.ingress) };
  policies.set(FIRST_POLICY, { ...first, ...own });
}

/** With ingress only where the policy judges that, for its default would drop the rest. */
function withExceptions(policy: Policy, entries: readonly Entry[], lists: RuleSet['lists']): Policy {
  const { egress, ingress } = rulesOf(entries, lists, judgesIngress(policy));
  const { exceptions } = policy;
  return {
    ...policy,
    exceptions: { egress: ahead(egress, exceptions.egress), ingress: ahead(ingress, exceptions.ingress) },
  };
}

/** A policy of the address alone; taken out of the one that names that very address beside others. */
function putCut(
  policies: Map<string, Policy>,
  base: RuleSet,
  qube: Address,
  entries: readonly Entry[],
): void {
  const prefixes = prefixSetOf([{ ...qube, length: bitsOf(qube.family) }]);
  const holder = holderOf(base, qube);
  const inForce = holder === undefined ? undefined : policies.get(holder.name);
  if (inForce !== undefined)
    policies.set(inForce.name, {
      ...inForce,
      prefixes: combineSets(subtractPrefixes, inForce.prefixes, prefixes),
    });
  const { egress, ingress } = rulesOf(entries, base.lists, true, holder?.name);
  const name = cutPolicyName(qube);
  const exceptions = { egress: ahead(egress), ingress: ahead(ingress) };
  policies.set(name, { ...emptyPolicy(name), prefixes, exceptions });
}

function rulesOf(
  entries: readonly Entry[],
  lists: RuleSet['lists'],
  isIngressJudged: boolean,
  holder?: string,
): Rules {
  const rules: Record<Direction, Rule[]> = { egress: [], ingress: [] };
  for (const { verb, until, remote, rows } of entries) {
    const comment = markOf(rows, holder);
    const isOfNames = remote.kind === 'list' && namesOpenedBy(lists, remote.list) !== undefined;
    const expire = verb === 'cut' ? undefined : until; // it ends by a release
    const rule = { ...plainRule(verb === 'allow' ? 'accept' : 'drop'), expire, comment, remote };
    rules.egress.push(rule);
    if (verb === 'cut' || (verb === 'block' && isIngressJudged && !isOfNames)) rules.ingress.push(rule);
  }
  return rules;
}

/** The comment of a rule: by it the rule is known, and what people read where a rule is shown. */
function markOf(rows: readonly Row[], holder: string | undefined): string {
  const [{ id, verb, comment }, ...others] = rows as readonly [Row, ...Row[]]; // an entry has one
  const of = holder === undefined ? '' : ` of ${holder}`;
  if (others.length > 0) return `rulectl ${verb} ${id}${of} and ${others.length} more`;
  return `rulectl ${verb} ${id}${of}${comment === undefined ? '' : `: ${comment}`}`;
}

function ahead(rules: readonly Rule[], runs?: Runs): Runs {
  if (rules.length === 0 && runs !== undefined) return runs;
  const builder = new RunBuilder(runs);
  for (const rule of rules) builder.push(rule);
  if (runs !== undefined) builder.pushRules(runs);
  return builder.build();
}

// ── Where the rows of a qube stand ─────────────────────────────────────────────────────────────────────────

const ownersKnown = new WeakMap<RuleSet['policies'], ReadonlyMap<string, Policy>>();

/** By address: the policy of one address, or one of each family, and of nothing else. */
export function ownPolicies({ policies }: Pick<RuleSet, 'policies'>): ReadonlyMap<string, Policy> {
  const known = ownersKnown.get(policies);
  if (known !== undefined) return known;
  const owners = new Map<string, Policy>();
  for (const policy of policies.values()) {
    if (policy.name === DEFAULT_POLICY || isForAllQubes(policy.name)) continue;
    const columns = [policy.prefixes.v4, policy.prefixes.v6];
    const isAlone = columns.every(
      ({ family, lengths }) =>
        lengths.length === 0 || (lengths.length === 1 && lengths[0] === bitsOf(family)),
    );
    if (!isAlone) continue;
    for (const column of columns)
      if (column.lengths.length === 1) owners.set(formatAddress(prefixAt(column, 0)), policy);
  }
  ownersKnown.set(policies, owners);
  return owners;
}

/** The policy that names this very address beside others: two policies cannot have it. */
function holderOf(base: RuleSet, qube: Address): Policy | undefined {
  const policy = judgingPolicy(base, qube, 'egress');
  if (policy === undefined) return undefined;
  const column = columnFor(policy.prefixes, qube.family);
  const at = memberContaining(column, qube.words);
  return column.lengths[at] === bitsOf(qube.family) ? policy : undefined;
}

// ── Rules to what was pushed ───────────────────────────────────────────────────────────────────────────────

const basesKnown = new WeakMap<RuleSet, RuleSet>();

/** A rule set without what rows made of it; the same object where that is nothing. */
export function baseOf(ruleSet: RuleSet): RuleSet {
  const known = basesKnown.get(ruleSet);
  if (known !== undefined) return known;
  const base = withoutRows(ruleSet);
  basesKnown.set(ruleSet, base);
  basesKnown.set(base, base);
  return base;
}

function withoutRows(ruleSet: RuleSet): RuleSet {
  const lists = new Map([...ruleSet.lists].filter(([name]) => !isRowsList(name)));
  const policies = new Map<string, Policy>();
  const cuts: Policy[] = [];
  let isOther = lists.size < ruleSet.lists.size;
  for (const [name, policy] of ruleSet.policies) {
    const own = isCutPolicy(name) ? undefined : pushedPart(policy);
    isOther ||= own !== policy;
    if (own === undefined) cuts.push(policy);
    else if (own === policy || name !== FIRST_POLICY || policyRuleCount(own) > 0) policies.set(name, own);
  }
  if (!isOther) return ruleSet;
  for (const { exceptions, prefixes } of cuts) {
    const holder = policies.get(holderIn(exceptions.egress.forms[0]?.match.comment) ?? '');
    if (holder !== undefined)
      policies.set(holder.name, {
        ...holder,
        prefixes: combineSets(unionPrefixes, holder.prefixes, prefixes),
      });
  }
  return { ...ruleSet, lists, policies };
}

/** By policy, so that a policy that stays is one object without rows as well. */
const partsKnown = new WeakMap<Policy, Policy>();

/** A policy without the marked rules that its first rules are. */
function pushedPart(policy: Policy): Policy {
  const part = partsKnown.get(policy) ?? newPushedPart(policy);
  partsKnown.set(policy, part);
  return part;
}

function newPushedPart(policy: Policy): Policy {
  if (policy.name === FIRST_POLICY) {
    const [egress, ingress] = [behindMarks(policy.egress), behindMarks(policy.ingress)];
    return egress === policy.egress && ingress === policy.ingress ? policy : { ...policy, egress, ingress };
  }
  const { exceptions } = policy;
  const [egress, ingress] = [behindMarks(exceptions.egress), behindMarks(exceptions.ingress)];
  if (egress === exceptions.egress && ingress === exceptions.ingress) return policy;
  return { ...policy, exceptions: { egress, ingress } };
}

function behindMarks(runs: Runs): Runs {
  let run = 0;
  while (run < runs.count && isMark(formAt(runs, run).match.comment)) run++;
  if (run === 0) return runs;
  const builder = new RunBuilder(runs);
  builder.pushRules(runs, runs.starts[run]!); // one more than runs
  return builder.build();
}
