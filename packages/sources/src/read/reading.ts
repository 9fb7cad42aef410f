/**
 * From the bytes of a source to a list: archives are unpacked, each member is imported and judged, the
 * members are joined, and addresses that must never be blocked are removed. Plain data in, plain data out, so
 * that it may run in a thread.
 */

import {
  acceptImport,
  adviceOn,
  type DocumentReject,
  finderOf,
  type ImportedList,
  type ImportOptions,
  ImportRefusal,
  importList,
  jsonQueryOf,
  type ReadingConfig,
  type Skipped,
  type SourceLimits,
  TextFault,
} from '@rulecast/formats';
import {
  entryCount,
  exceptionCount,
  type Family,
  type List,
  type NameList,
  type PrefixSet,
  prefixListOf,
} from '@rulecast/rules';
import { wholeFamilies } from '../guard/finding.ts';
import type { Refusal, ShortPrefixesRead } from '../guard/guard.ts';
import { type Protected, withoutProtected } from '../guard/never-block.ts';
import { aggregatedList, unionLists } from '../lists/expression.ts';
import { type NamesTaken, namesTaken } from '../lists/suffixes.ts';
import { UnpackError } from '../unpack/error.ts';
import { LIST_MEMBERS, type Member, unpack } from '../unpack/unpack.ts';
import { type Input, shownNames } from './inputs.ts';
import { openLine } from './last-line.ts';

/** The input of a reading, and its options. Plain data. */
export interface ReadingJob {
  readonly inputs: readonly Input[];
  readonly reading: ReadingConfig;
  /** Becomes the `resolve` of a list of names. */
  readonly resolve: NameList['resolve'];
  /** Whether suffix entries are reduced to the names themselves. */
  readonly asNames: boolean;
  readonly aggregate: boolean;
  /** Largest share of rejected lines in one member, 0 to 1. */
  readonly rejectsShare: number;
  /** 0 or 1: whether there must be an entry. */
  readonly leastEntries: number;
  /** Take files that hold less than they state of themselves. */
  readonly ignoreDeclared: boolean;
  readonly limits: SourceLimits;
  /** Undefined for lists that may hold anything. */
  readonly neverBlock: PrefixSet | undefined;
}

export interface ReadList {
  readonly kind: 'list';
  readonly list: List;
  /** Families that the source covers completely, before protected addresses were removed. */
  readonly whole: readonly Family[];
  readonly taken: Protected | undefined;
  /** Names of the formats that were found, each once. */
  readonly formats: readonly string[];
  readonly memberCount: number;
  /** The first rejects, which were too few to refuse the list. */
  readonly rejects: readonly DocumentReject[];
  readonly rejectCount: number;
  /** The skipped lines by reason, except those that every list has. */
  readonly leftOut: readonly LeftOut[];
  readonly short: ShortPrefixesRead | undefined;
  /** The number of suffix entries of which only the name itself is used. */
  readonly suffixCount: number;
  /**
   * The words, quoted and with their place, in which a text of a few entries seems to say what went wrong.
   */
  readonly apology: string | undefined;
  /** Warnings, for people. */
  readonly notes: readonly string[];
}

/** So much of a kind was knowingly not used. */
export interface LeftOut {
  readonly code: Skipped['code'];
  readonly count: number;
}

export interface ReadRefused extends Refusal {
  readonly kind: 'refused';
}

/** The number of rejects of an accepted list kept for the status. */
const REJECTS_KEPT = 16;

/**
 * Does a job on the thread it is called on, and says when all is unpacked. Rejects only for a
 * bug.
 */
export async function readSource(
  job: ReadingJob,
  onUnpacked: () => void = () => undefined,
): Promise<ReadList | ReadRefused> {
  const members: Member[] = [];
  const notes: string[] = [];
  for (const input of job.inputs) {
    const cut = cutOff(input, job);
    if (cut !== undefined) return cut;
    const unpacked = await unpackInput(input, job, members, notes);
    if (unpacked !== undefined) return unpacked;
  }
  onUnpacked();
  const imported: ImportedList[] = [];
  const rejects: DocumentReject[] = [];
  let rejectCount = 0;
  let short: ShortPrefixesRead | undefined;
  let apology: string | undefined;
  for (const { name, bytes, archive } of members) {
    const options = importOptions(job);
    const read = importList(name, bytes, options);
    const verdict = acceptImport(read, {
      tolerance: job.rejectsShare,
      minEntries: members.length > 1 ? 0 : job.leastEntries, // one of several files may be empty
      ignoreDeclared: job.ignoreDeclared,
    });
    if (read.fault?.code === TextFault.tooManyEntries) return tooMany(`${name} holds`, job.limits.entries);
    if (verdict.kind === 'refused') {
      const line =
        verdict.code === ImportRefusal.truncated ? undefined : adviceOn(read, name, bytes, options);
      const advice = line === undefined ? '' : `; all of it is read with ${line}`;
      return refused(verdict.code, `${name}: ${verdict.reason}${advice}${membersAdvice(archive)}`);
    }
    imported.push(read);
    rejectCount += read.rejectCount;
    apology ??= apologyOf(name, bytes, read);
    if (read.unread !== undefined) notes.push(`${name}: ${read.unread}`);
    if (read.nearly !== undefined) {
      notes.push(`${name}: ${read.nearly}: accepted, as the difference is below 0.1 %`);
    }
    if (read.short !== undefined) {
      const { count, line, prefix, lengths } = read.short;
      const first = short?.first ?? `line ${line} of ${name}: ${prefix}`;
      short = { count: (short?.count ?? 0) + count, first, lengths };
    }
    const room = REJECTS_KEPT - rejects.length;
    rejects.push(...read.rejects.slice(0, room).map((reject) => ({ file: name, ...reject })));
  }
  const [first] = imported;
  if (first === undefined) return refused('no-files', 'there is nothing to read');
  const other = imported.findIndex(({ kind }) => kind !== first.kind);
  if (other >= 0) {
    const reason = `${members[0]?.name ?? ''} holds ${first.kind}, ${members[other]?.name ?? ''} ${imported[other]?.kind ?? ''}: make a list of each${membersAdvice(members[other]?.archive)}`;
    return refused('mixed-list', reason);
  }
  const joined = unionLists(imported.map(({ list }) => list));
  if (entryCount(joined) < job.leastEntries) return refused('empty', 'no file of it holds an entry');
  const { list, suffixCount } = finished(joined, job);
  if (entryCount(list) + exceptionCount(list) > job.limits.entries)
    return tooMany('its files together hold', job.limits.entries);
  const { list: safe, taken } = protect(list, job.neverBlock);
  return {
    kind: 'list',
    list: safe,
    whole: wholeFamilies(joined),
    taken,
    formats: [...new Set(imported.map(({ format }) => format))],
    memberCount: members.length,
    rejects,
    rejectCount,
    leftOut: leftOutOf(imported),
    short,
    suffixCount,
    apology,
    notes,
  };
}

/** The skipped lines of all files together. */
function leftOutOf(imported: readonly ImportedList[]): readonly LeftOut[] {
  const counts = new Map<Skipped['code'], number>();
  for (const { code, count } of imported.flatMap(({ skipped }) => skipped)) {
    if (code !== 'comment' && code !== 'metadata') counts.set(code, (counts.get(code) ?? 0) + count);
  }
  return Array.from(counts, ([code, count]) => ({ code, count }));
}

/** Our choice: an apology is short, and so is what looks like a list in it. */
const APOLOGY_MAX_BYTES = 4096;
const APOLOGY_MAX_ENTRIES = 8;
/** Words of servers that have no list to give. */
const APOLOGY =
  /(?<![\w.-])(?:rate.?limit\w*|too many requests|quota|access denied|forbidden|unauthori[sz]ed|not authori[sz]ed|not found|bad gateway|(?:service|temporarily) unavailable|maintenance|(?:internal )?server error|invalid (?:\w+ )?key|errors?)(?![\w-]|\.\w)/i;

/** The words in which a text of a few entries says that it is no list. */
function apologyOf(name: string, bytes: Uint8Array, read: ImportedList): string | undefined {
  if (bytes.length > APOLOGY_MAX_BYTES || read.entries > APOLOGY_MAX_ENTRIES) return undefined;
  const lines = Buffer.from(bytes)
    .toString('latin1')
    .split(/\r\n|\n|\r/);
  for (const [i, line] of lines.entries()) {
    const words = APOLOGY.exec(line)?.[0];
    if (words !== undefined) return `"${words}" in line ${i + 1} of ${name}`;
  }
  return undefined;
}

/**
 * Refuses an input that ends in the middle of a line, without proof that it is complete. Its last line may be
 * cut: another address, or a network many times as large.
 */
function cutOff({ name, bytes, end }: Input, job: ReadingJob): ReadRefused | undefined {
  const line = end === 'proven' || job.ignoreDeclared ? undefined : openLine(name, bytes, job.reading.format);
  if (line === undefined) return undefined;
  const reason = `${name}: truncated: its last line, ${line}, has no line feed, and the server did not say how long the file is; ignore-declared: true accepts it`;
  return refused(ImportRefusal.truncated, reason);
}

function membersAdvice(archive: string | undefined): string {
  return archive === undefined ? '' : `; members: says which files of ${archive} are read`;
}

/**
 * Adds the members of an input that are wanted, within the limits for all inputs together; or says why not.
 */
async function unpackInput(
  input: Input,
  job: ReadingJob,
  members: Member[],
  notes: string[],
): Promise<ReadRefused | undefined> {
  const { limits, reading } = job;
  const usedBytes = members.reduce((sum, { bytes }) => sum + bytes.length, 0);
  const isAsked = reading.members.length > 0;
  const passed: string[] = [];
  try {
    const unpacked = await unpack(input.name, input.bytes, {
      members: isAsked ? reading.members : LIST_MEMBERS,
      onUnwanted: (name) => passed.push(name),
      maxBytes: limits.bytes - usedBytes,
      maxMembers: limits.archiveMembers - members.length,
    });
    members.push(...unpacked);
    if (passed.length > 0 && !isAsked)
      notes.push(`${input.name}: ${shownNames(passed)} are passed over: members: takes them`);
    return undefined;
  } catch (error) {
    if (error instanceof UnpackError) return refused(error.code, error.message);
    if (error instanceof TypeError) return refused('bad-glob', `members: ${error.message}`);
    throw error;
  }
}

function importOptions({ reading, resolve, limits }: ReadingJob): ImportOptions {
  const { members: _, take, json, pattern, ...said } = reading;
  const query = json === undefined ? undefined : jsonQueryOf(json);
  const finder = pattern === undefined ? undefined : finderOf(pattern);
  // The configuration was checked; reading in another way would give a wrong list.
  if (query === undefined && json !== undefined) throw new TypeError(`json: ${json} is no path`);
  if (typeof finder === 'string') throw new TypeError(`pattern: ${finder}`);
  const isSaid = (value: unknown): boolean =>
    value !== undefined && !(Array.isArray(value) && value.length === 0);
  return {
    ...Object.fromEntries(Object.entries(said).filter(([, value]) => isSaid(value))),
    ...(query && { json: query }),
    ...(finder && { pattern: finder }),
    ...(take === undefined ? {} : { take: take === 'names' ? take : 'prefixes' }),
    resolve,
    limits: { inputBytes: limits.bytes, entries: limits.entries, rejectsKept: REJECTS_KEPT },
  };
}

/** Joined and aggregated as the configuration wants it. */
function finished(list: List, { resolve, asNames, aggregate }: ReadingJob): NamesTaken {
  if (list.kind === 'names') return namesTaken({ ...list, resolve }, asNames);
  return { list: aggregate ? aggregatedList(list) : list, suffixCount: 0 };
}

function protect(
  list: List,
  neverBlock: PrefixSet | undefined,
): { readonly list: List; readonly taken: Protected | undefined } {
  if (list.kind === 'names' || neverBlock === undefined) return { list, taken: undefined };
  const { set, taken } = withoutProtected(list, neverBlock);
  return { list: prefixListOf(set), taken };
}

function tooMany(what: string, most: number): ReadRefused {
  const reason = `${what} more entries than limits: entries: permits, ${most}: raise that, or pick a part by filters`;
  return refused(TextFault.tooManyEntries, reason);
}

function refused(code: string, reason: string): ReadRefused {
  return { kind: 'refused', code, reason };
}
