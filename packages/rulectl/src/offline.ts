/** Without a publisher: a rule set from a file, its environment from options, and verdicts by the reference evaluator. */

import {
  type DocumentReject,
  detectFormat,
  FORMAT_LIMITS,
  parseDocument,
  parseRuleLines,
  type ReadReferenced,
} from '@rulecast/formats';
import {
  type Address,
  checkRuleSet,
  DEFAULT_POLICY,
  type Environment,
  emptyPolicy,
  evaluate,
  formatPrefix,
  formatRule,
  type Packet,
  type PrefixSet,
  parseAddress,
  parseHostName,
  prefixOf,
  prefixSetOf,
  type RuleSet,
  type RuleSetProblem,
  ruleAt,
  runsOf,
  usedNames,
} from '@rulecast/rules';
import { CliError, ExitCode, usageError } from './exit.ts';
import { besideDocument, readIfThere, shownName } from './input.ts';

/** A rule set, or why it is none. */
export type LoadedRuleSet =
  | { readonly kind: 'rule-set'; readonly ruleSet: RuleSet; readonly warnings: readonly RuleSetProblem[] }
  | {
      readonly kind: 'rejects';
      readonly rejects: readonly RuleSetReject[];
      /** Those beyond the first thousand included. */
      readonly rejectCount: number;
    };

/** A line that is refused, or a fault of the rule set as a whole, which has a part. */
export interface RuleSetReject extends DocumentReject {
  readonly part?: string;
}

/** Reads what a document names from the files beside it. */
export function referencesOf(document: string): ReadReferenced {
  return (name) => readIfThere(besideDocument(document, name), FORMAT_LIMITS.inputBytes);
}

/**
 * A rule set from a document, or from bare rule lines as the policy `default`. `now`: seconds since 1970.
 * @throws CliError `refused` for a list, which is no rule set.
 */
export function loadRuleSet(
  fileName: string,
  bytes: Uint8Array,
  now: number,
  resolutions: ReadonlyMap<string, PrefixSet>,
): LoadedRuleSet {
  switch (detectFormat(fileName, bytes)) {
    case 'document': {
      const read = parseDocument(fileName, bytes, now, referencesOf(fileName));
      if (read.rejectCount > 0) {
        const rejects = read.rejects.map((reject) => ({ ...reject, file: placeOf(fileName, reject.file) }));
        return { kind: 'rejects', rejects, rejectCount: read.rejectCount };
      }
      return checked(fileName, {
        lists: read.lists,
        policies: read.policies,
        resolutions,
        unmatched: read.unmatched,
      });
    }
    case 'rules': {
      const read = parseRuleLines(bytes, 'egress', now);
      if (read.rejectCount > 0) {
        const rejects = read.rejects.map((reject) => ({ ...reject, file: fileName }));
        return { kind: 'rejects', rejects, rejectCount: read.rejectCount };
      }
      const policy = { ...emptyPolicy(DEFAULT_POLICY), egress: read.runs };
      return checked(fileName, {
        lists: new Map(),
        policies: new Map([[DEFAULT_POLICY, policy]]),
        resolutions,
        unmatched: undefined,
      });
    }
    case 'list': {
      const text = `${shownName(fileName)} is a list, and a list decides nothing alone: give a rule set document (YAML or JSON) with the list and a rule that uses it, or a file of rule lines`;
      throw new CliError(ExitCode.refused, 'not-a-rule-set', text);
    }
  }
}

/** The path of the file that a reject of a document is about. */
export function placeOf(document: string, rejectFile: string): string {
  return rejectFile === document ? document : besideDocument(document, rejectFile);
}

/** Faults of a rule set as a whole stand at the beginning of its document. */
export function faultReject(file: string, problem: RuleSetProblem): RuleSetReject {
  return { file, line: 1, column: 1, code: problem.code, part: problem.part, reason: problem.reason };
}

function checked(fileName: string, ruleSet: RuleSet): LoadedRuleSet {
  const problems = checkRuleSet(ruleSet);
  const faults = problems.filter(({ severity }) => severity === 'fault');
  if (faults.length > 0) {
    const rejects = faults.map((fault) => faultReject(fileName, fault));
    return { kind: 'rejects', rejects, rejectCount: rejects.length };
  }
  return { kind: 'rule-set', ruleSet, warnings: problems };
}

/** Names that rules use and nobody gave addresses for: they stand for nothing. */
export function unresolvedNames(ruleSet: RuleSet): readonly string[] {
  return usedNames(ruleSet).filter((name) => !ruleSet.resolutions.has(name));
}

// ── Environment ──────────────────────────────────────────────────────────────────────────────────────────────────────

/** Reads `NAME=ADDRESS[,ADDRESS]…`; nothing after `=`: the name stands for nothing. Throws CliError `usage`. */
export function parseResolutions(options: readonly string[]): ReadonlyMap<string, PrefixSet> {
  const resolutions = new Map<string, PrefixSet>();
  for (const option of options) {
    const equals = option.indexOf('=');
    const host = parseHostName(equals < 0 ? '' : option.slice(0, equals));
    if (host.kind === 'fault') {
      throw usageError(
        `--resolve ${option}: write NAME=ADDRESS[,ADDRESS], as in --resolve example.com=192.0.2.7`,
      );
    }
    if (resolutions.has(host.name)) {
      throw usageError(
        `--resolve ${option}: ${host.name} is given twice; write its addresses after one =, with commas`,
      );
    }
    const addresses = parseAddresses('--resolve', option.slice(equals + 1));
    const prefixes = addresses.map(({ family, words }) => prefixOf(family, words, family === 4 ? 32 : 128));
    resolutions.set(host.name, prefixSetOf(prefixes));
  }
  return resolutions;
}

/** Addresses with commas between them. Throws CliError `usage`. */
export function parseAddresses(option: string, text: string): readonly Address[] {
  if (text === '') return [];
  return text.split(',').map((part) => {
    const address = parseAddress(part.trim());
    if (address !== undefined) return address;
    throw usageError(
      `${option}: ${JSON.stringify(part)} is no address: write IPv4 or IPv6 addresses with commas between them`,
    );
  });
}

const ISO_8601 = /^\d{4}-\d{2}-\d{2}(?:T\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(Z|[+-]\d{2}:\d{2})?)?$/;

/** Seconds since 1970 from unix seconds or ISO 8601, which is UTC unless it says otherwise. Throws CliError `usage`. */
export function parseTime(option: string, text: string): number {
  if (/^\d{1,12}$/.test(text)) return Number(text);
  const iso = ISO_8601.exec(text);
  const isLocal = text.includes('T') && iso?.[1] === undefined;
  const ms = iso === null ? Number.NaN : Date.parse(isLocal ? `${text}Z` : text);
  if (Number.isNaN(ms)) {
    throw usageError(`${option} ${text}: write seconds since 1970 or ISO 8601, as in 2026-07-01T12:00:00Z`);
  }
  return Math.floor(ms / 1000);
}

// ── Verdicts ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/** A verdict as `test --offline --json` prints it. */
export interface OfflineAnswer {
  readonly action: 'accept' | 'drop' | 'none';
  /** The policy that judged. */
  readonly policy: string | null;
  /** The canonical line of the rule that decided; null: none did. */
  readonly rule: string | null;
  readonly list: string | null;
  readonly prefix: string | null;
}

/** What else people are shown. */
export interface OfflineVerdict {
  readonly answer: OfflineAnswer;
  readonly direction: string | undefined;
  readonly rulePolicy: string | undefined;
  readonly ruleIndex: number | undefined;
}

/** What a packet gets, with the exact rule. */
export function judge(ruleSet: RuleSet, environment: Environment, packet: Packet): OfflineVerdict {
  const { action, by } = evaluate(ruleSet, environment, packet);
  const origin = by?.rule;
  const owner = origin === undefined ? undefined : ruleSet.policies.get(origin.policy);
  const rule =
    by === undefined || origin === undefined || owner === undefined
      ? null
      : formatRule(ruleAt(runsOf(owner, by.direction), origin.index), by.direction);
  const answer = {
    action,
    policy: by?.policy ?? null,
    rule,
    list: origin?.list ?? null,
    prefix: origin?.prefix === undefined ? null : formatPrefix(origin.prefix),
  };
  return { answer, direction: by?.direction, rulePolicy: origin?.policy, ruleIndex: origin?.index };
}
