/**
 * A printer of rule set documents, for tests. What it prints is YAML that parses back to the same lists and
 * policies; resolutions are not part of a document.
 */

import {
  COMMON_POLICY,
  type DirectedRuns,
  type Direction,
  FIRST_POLICY,
  formatPrefixAt,
  formatRule,
  isForAllQubes,
  type List,
  nameTexts,
  type Policy,
  type PrefixSet,
  type RuleSet,
  type Runs,
  rulesIn,
} from '@rulecast/rules';

/** Texts that YAML reads as themselves without quotes, in block sequences. */
const PLAIN = /^[A-Za-z0-9](?:[A-Za-z0-9 .,;_@=+/-]|:(?=[A-Za-z0-9/:]))*$/;

/** The document of a rule set, with lists inline, parts sorted by name. Ends with a line end. */
export function formatDocument(ruleSet: Omit<RuleSet, 'resolutions'>): string {
  const lines: string[] = [];
  section(lines, 'lists', ruleSet.lists, printList);
  for (const name of [FIRST_POLICY, COMMON_POLICY]) {
    const policy = ruleSet.policies.get(name);
    if (policy === undefined) continue;
    lines.push(`${name}:`);
    printTerms(lines, '  ', policy);
    printRules(lines, '  ', policy);
  }
  const own = new Map([...ruleSet.policies].filter(([name]) => !isForAllQubes(name)));
  section(lines, 'policies', own, printPolicy);
  if (ruleSet.unmatched !== undefined) lines.push(`unmatched: ${ruleSet.unmatched}`);
  return lines.length === 0 ? '{}\n' : `${lines.join('\n')}\n`;
}

function section<T>(
  lines: string[],
  title: string,
  parts: ReadonlyMap<string, T>,
  print: (lines: string[], part: T) => void,
): void {
  if (parts.size === 0) return;
  lines.push(`${title}:`);
  for (const name of [...parts.keys()].sort()) {
    const part = parts.get(name);
    if (part === undefined) continue;
    lines.push(`  ${name}:`);
    print(lines, part);
  }
}

function printList(lines: string[], list: List): void {
  if (list.kind === 'prefixes') {
    printSequence(lines, '    ', 'entries', prefixTexts(list));
    return;
  }
  printSequence(lines, '    ', 'names', [...nameTexts(list.names)]);
  lines.push(`    resolve: ${list.resolve}`);
}

function printPolicy(lines: string[], policy: Policy): void {
  const prefixes = prefixTexts(policy.prefixes);
  if (prefixes.length > 0) printSequence(lines, '    ', 'prefixes', prefixes);
  lines.push(`    default: ${policy.defaultAction}`);
  printTerms(lines, '    ', policy);
  const { exceptions } = policy;
  if (exceptions.egress.count + exceptions.ingress.count > 0) {
    lines.push('    exceptions:');
    printRules(lines, '      ', exceptions);
  }
  printRules(lines, '    ', policy);
}

function printTerms(lines: string[], indent: string, { blocked, unlisted }: Policy): void {
  if (blocked !== undefined) lines.push(`${indent}blocked: ${blocked}`);
  if (unlisted !== undefined) lines.push(`${indent}unlisted: ${unlisted}`);
}

function printRules(lines: string[], indent: string, { egress, ingress }: DirectedRuns): void {
  printSequence(lines, indent, 'egress', ruleTexts(egress, 'egress'));
  if (ingress.count > 0) printSequence(lines, indent, 'ingress', ruleTexts(ingress, 'ingress'));
}

function printSequence(lines: string[], indent: string, key: string, texts: readonly string[]): void {
  if (texts.length === 0) lines.push(`${indent}${key}: []`);
  else lines.push(`${indent}${key}:`);
  for (const text of texts)
    lines.push(`${indent}  - ${PLAIN.test(text) && !text.endsWith(' ') ? text : JSON.stringify(text)}`);
}

function prefixTexts(set: PrefixSet): readonly string[] {
  return [set.v4, set.v6].flatMap((column) =>
    Array.from(column.lengths, (_, i) => formatPrefixAt(column, i)),
  );
}

function ruleTexts(runs: Runs, direction: Direction): readonly string[] {
  return Array.from(rulesIn(runs), (rule) => formatRule(rule, direction));
}
