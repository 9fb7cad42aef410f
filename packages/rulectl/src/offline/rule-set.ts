/** Builds a rule set from files without a publisher, or reports their faults. */

import {
  type DocumentReject,
  ingest,
  listUse,
  type PushObserver,
  type ReadFile,
  readPushed,
} from '@rulecast/formats';
import type { pushRefusals } from '@rulecast/publisher/guards';
import {
  atOnce,
  checkRuleSet,
  DEFAULT_POLICY,
  type Direction,
  EMPTY_PREFIX_SET,
  EMPTY_RULE_SET,
  type PrefixSet,
  prefixListOf,
  type RuleSet,
  type RuleSetProblem,
  RuleSetProblemCode,
  type RuleSetUse,
  usedNames,
} from '@rulecast/rules';
import { type FileArgs, nameArgsOf, type PushFile, readPushFiles } from '../release/files.ts';
import { CliError, ExitCode } from '../terminal/exit.ts';
import { shownName } from '../terminal/input.ts';
import type { PacketDirection } from '../terminal/packets.ts';

/** A rule set, or why it is none. */
export type LoadedRuleSet =
  | {
      readonly kind: 'rule-set';
      readonly ruleSet: RuleSet;
      readonly warnings: readonly RuleSetProblem[];
    }
  | {
      readonly kind: 'rejects';
      readonly rejects: readonly RuleSetReject[];
      /** Includes those beyond the first thousand. */
      readonly rejectCount: number;
    };

/** A line that is refused, or a fault of the rule set as a whole, which has a part. */
export interface RuleSetReject extends DocumentReject {
  readonly part?: string;
}

/** Options for reading files as one push. */
export interface OfflineReading extends Partial<Omit<FileArgs, 'file'>> {
  /** The direction of bare rules; default `egress`. */
  readonly direction?: Direction;
  /** Seconds since 1970. */
  readonly now: number;
  /** Lists that a publisher is said to have. */
  readonly knownLists?: readonly string[] | undefined;
  /** Default `enforce`. */
  readonly use?: RuleSetUse;
  /** The guards to run; default: none. */
  readonly guards?: typeof pushRefusals;
}

/** Missing lists whose place is searched for: each search reads all files. */
const PLACES_MAX = 16;

/** The content of all files together, or their faults. The files in rejects are named by their paths. */
export interface OfflinePush {
  /** Undefined if anything is refused. */
  readonly ruleSet: RuleSet | undefined;
  /** Rejects in files; the first thousand of each. */
  readonly rejects: readonly RuleSetReject[];
  readonly rejectCount: number;
  /** Faults of the files together, found only once all of them could be read. */
  readonly faults: readonly RuleSetReject[];
  readonly warnings: readonly PlacedProblem[];
}

/** With the file that has the part. */
export interface PlacedProblem extends RuleSetProblem {
  readonly file: string;
}

/** Reads files as a publisher without any rule set would, were they pushed together. */
export function readOffline(
  files: readonly PushFile[],
  reading: OfflineReading,
  observer: PushObserver = {},
): OfflinePush {
  const { list, policy, format, resolve, direction, now, knownLists = [], use = 'enforce', guards } = reading;
  const { subdomains, 'allow-public-suffixes': allowPublicSuffixes } = reading;
  const names = { resolve, subdomains, allowPublicSuffixes };
  const owners = new Map<string, string>(); // of parts: the file that has them
  const onFile: PushObserver['onFile'] = (file, read, rejects) => {
    for (const part of partsOf(read, policy)) owners.set(part, file.name);
    observer.onFile?.(file, read, rejects);
  };
  const input = {
    action: 'replace',
    replaceAll: false,
    list,
    policy,
    format,
    direction,
    files,
    ...names,
  } as const;
  const pushed = readPushed(input, now, { ...observer, onFile });
  const known = new Map(knownLists.map((name) => [name, prefixListOf(EMPTY_PREFIX_SET)]));
  const before = { ...EMPTY_RULE_SET, lists: known };
  const result = ingest(before, pushed, input);
  const placed = (reject: RuleSetReject): RuleSetReject => ({ ...reject, file: placeOf(files, reject.file) });
  if (pushed.rejectCount > 0 || result.kind === 'rejects') {
    const isRead = pushed.rejectCount === 0;
    const rejects = (result.kind === 'rejects' ? result.rejects : pushed.rejects).map(placed);
    return {
      ruleSet: undefined,
      rejects: isRead ? [] : rejects,
      rejectCount: pushed.rejectCount,
      faults: isRead ? rejects : [],
      warnings: [],
    };
  }
  // Lists pushed alone may already be the publisher's, with resolve: firewall.
  const isAlone = pushed.policies.size === 0;
  const isAssumed = (part: string): boolean => known.has(part) && !pushed.lists.has(part);
  const isTold = ({ part, code }: RuleSetProblem): boolean => {
    // Lists pushed alone are for rules that the publisher has.
    return !isAssumed(part) && !(code === RuleSetProblemCode.unusedList && isAlone);
  };
  const fileOf = (part: string): string => placeOf(files, owners.get(part) ?? files[0]?.name ?? '');
  const problems = checkRuleSet(result.ruleSet, use)
    .filter(isTold)
    .map((problem) =>
      isAlone && problem.code === RuleSetProblemCode.wildcards
        ? { ...problem, severity: 'warning' as const }
        : problem,
    )
    .map((problem) => ({ ...problem, file: fileOf(problem.part) }));
  const push = { before, after: result.ruleSet, isOfSource: () => false, firewalls: [], now };
  const refusals = guards === undefined ? [] : atOnce(guards({ ...push, way: 'push', role: 'admin' }));
  let searches = 0;
  const withPlace = ({ file, code, part, reason, missingList }: PlacedProblem): RuleSetReject => {
    const isSearched = missingList !== undefined && searches++ < PLACES_MAX;
    const use = isSearched ? listUse(files, missingList) : undefined;
    const place =
      use === undefined ? { file, line: 1, column: 1 } : { ...use, file: placeOf(files, use.file) };
    return { ...place, code, part, reason };
  };
  const faults: readonly RuleSetReject[] = [
    ...problems.filter(({ severity }) => severity === 'fault').map(withPlace),
    ...refusals.flatMap(({ guard: code, part: named, reason }) => {
      const part = /^list (.+)$/.exec(named)?.[1]; // other parts depend on the publisher's
      return part === undefined ? [] : [{ file: fileOf(part), line: 1, column: 1, code, part, reason }];
    }),
  ];
  const warnings = problems.filter(({ severity }) => severity !== 'fault');
  const ruleSet = faults.length === 0 ? result.ruleSet : undefined;
  return { ruleSet, rejects: [], rejectCount: 0, faults, warnings };
}

function partsOf(read: ReadFile, policy: string | undefined): Iterable<string> {
  switch (read.kind) {
    case 'list':
      return [read.name];
    case 'rules':
      return [policy ?? DEFAULT_POLICY];
    case 'document':
      return [...read.document.lists.keys(), ...read.document.policies.keys()];
  }
}

/** The path of a file, by the name sent to the publisher. */
export function placeOf(files: readonly PushFile[], name: string): string {
  return files.find((file) => file.name === name)?.path ?? name;
}

/**
 * The rule set that files make together. Throws CliError `refused` for lists alone, which are no rule set.
 */
export async function loadRuleSet(
  args: FileArgs & { readonly direction?: PacketDirection | undefined },
  now: number,
  resolutions: ReadonlyMap<string, PrefixSet>,
  use?: RuleSetUse,
): Promise<LoadedRuleSet> {
  const { list, policy, format, direction } = args;
  const read = readOffline(await readPushFiles(args, 'look'), {
    list,
    policy,
    format,
    ...nameArgsOf(args),
    ...(direction === 'ingress' && { direction }),
    now,
    ...(use && { use }),
  });
  const { ruleSet, rejects, rejectCount, faults, warnings } = read;
  if (ruleSet === undefined) {
    return { kind: 'rejects', rejects: [...rejects, ...faults], rejectCount: rejectCount + faults.length };
  }
  if (ruleSet.policies.size > 0 || ruleSet.unmatched !== undefined) {
    return { kind: 'rule-set', ruleSet: { ...ruleSet, resolutions }, warnings };
  }
  const text = `${(args.file ?? []).map(shownName).join(', ')}: lists decide nothing alone: give a rule set document (YAML or JSON) with a rule that uses them, or a file of rule lines, too`;
  throw new CliError(ExitCode.refused, 'not-a-rule-set', text);
}

/** Names in rules for which no option has addresses: they match nothing. */
export function unresolvedNames(ruleSet: RuleSet): readonly string[] {
  return usedNames(ruleSet).filter((name) => !ruleSet.resolutions.has(name));
}
