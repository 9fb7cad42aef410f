/**
 * Verifying and encoding off the event loop: what takes long goes to one thread, what is short, or many
 * short things, is done in place, in turns of the event loop. How long it takes, a stream that a peer sent is
 * tried for: each piece of a short one has so much work in place and no more. The thread has a heap by what
 * was signed, and is ended where it stands still. What it cannot do so is the fault of the stream, and
 * nothing of it reaches the process. It is started when something long is announced, so that it is there
 * once that has come, and ended when it has answered: what follows, compiling a large release, is when
 * memory is short.
 *
 * A rule set that crosses between threads is copied, large lists in pieces. So the claim goes without the
 * lists of the base that are put anew or taken away, and the answer holds only the parts that are not those
 * of the base: what did not change stays the same object here, and its digest and its compiled form stay
 * known.
 */

import {
  catalogueOf,
  decodeManifest,
  ErrorCode,
  entriesIn,
  heapMebibytes,
  type PartSize,
  ProtocolError,
  replacedIn,
  systemTurn,
  type Totals,
  type Turn,
} from '@rulecast/protocol';
import {
  EMPTY_PREFIX_SET,
  entryCount,
  inTurns,
  type List,
  NO_NAMES,
  type Policy,
  type PrefixSet,
  policyRuleCount,
  prefixListOf,
  type RuleSet,
} from '@rulecast/rules';
import { HandOver, ThreadCode, ThreadError, ThreadHost } from '@rulecast/threads';
import {
  type Claim,
  digestsOf,
  noteDigests,
  type PartLeaves,
  SignedFault,
  snapshotStream,
  takeLeaves,
  type Verified,
  verifyPieces,
} from './verify.ts';

export type VerifierRequest =
  | {
      readonly kind: 'verify';
      readonly claim: Claim;
      /** Of the parts of its base, one after the other, in their order. */
      readonly baseDigests: Uint8Array;
      /** By their places, those that have no content. */
      readonly leftOut: ReadonlyMap<number, PartSize>;
    }
  | { readonly kind: 'snapshot'; readonly ruleSet: RuleSet };

/** A rule set without the parts that are those of the base, which are named only. */
export interface ChangedRuleSet {
  readonly lists: readonly (readonly [name: string, list: List | undefined])[];
  readonly policies: readonly (readonly [name: string, policy: Policy | undefined])[];
  readonly resolutions: ReadonlyMap<string, PrefixSet> | undefined;
  /** That of the release itself. */
  readonly unmatched: RuleSet['unmatched'];
}

export type VerifierAnswer =
  | {
      readonly kind: 'verified';
      readonly changed: ChangedRuleSet;
      /** Of all parts, in their order. */
      readonly digests: Uint8Array;
      /** Of those that changed. */
      readonly leaves: PartLeaves;
    }
  | { readonly kind: 'stream'; readonly stream: Uint8Array }
  | {
      readonly kind: 'refused';
      /** Whether it is what the key signed that cannot be taken. */
      readonly isSigned: boolean;
      readonly code: ErrorCode;
      readonly message: string;
      readonly part: string | undefined;
      readonly entry: number | undefined;
    }
  | { readonly kind: 'range-error'; readonly message: string };

/** Before the answer: verifying goes on. */
export interface VerifierNote {
  readonly kind: 'step';
}

/** Also when this file runs from src, as in tests: only the built thread loads on Node 20. */
const THREAD_FILE = new URL('../../dist/verify/verify-thread.js', import.meta.url);
/**
 * What may be done in place: less than half of the 50 ms that an event loop may stand still, on a machine
 * twice as slow.
 */
const IN_PLACE_MAX_MS = 12;
/** Measured: decoding a byte of a prefix tree, and merging and hashing an entry. */
const DECODE_MS_PER_BYTE = 15e-6;
const MERGE_MS_PER_ENTRY = 10e-6;
/** Encoding an entry of a snapshot, and a name. */
const ENCODE_MS_PER_ENTRY = 60e-6;
const ENCODE_MS_PER_NAME = 1.5e-3;
/**
 * A stream that is verified in place, in turns, has so many bytes at most, and a piece of it so much work: 12
 * ms. All of ten thousand policies, copied to a thread and back, took five times as long, and copying alone
 * stalled the event loop for half a second.
 */
const IN_PLACE_MAX_BYTES = 1024 * 1024;
const IN_PLACE_WORK = 2 ** 19;
/** Heap of the thread beside what was signed, in MiB: the code, a table of parts, and garbage. */
const HEAP_LEAST_MIB = 128;
/**
 * No more than this, in MiB, whatever was signed: a release of more needs a host that has it, and says so by
 * NACK.
 */
const HEAP_MOST_MIB = 4096;
/**
 * A thread that finishes no step for so long is ended, and the release refused. What all steps may take
 * together is bounded by the Budget. The longest, decoding 16 million hosts, takes a second here.
 */
const DEADLINE_MS = 30_000;
/** Encoding a release of one's own is nobody's attack, and waited for: this ends a thread that hangs. */
const ENCODE_DEADLINE_MS = 600_000;
/** How long a thread waits for what was announced. It holds some 10 MB. */
const ANNOUNCED_MS = 10_000;

export interface VerifierOptions {
  /** How long the thread may finish no step. */
  readonly deadlineMs?: number | undefined;
  /** Between the pieces of what is verified in place. */
  readonly turn?: Turn | undefined;
}

export class Verifier {
  readonly #host = new ThreadHost<VerifierAnswer | VerifierNote>({
    file: THREAD_FILE,
    name: 'rulecast verify',
    restMs: 0,
  });
  readonly #deadlineMs: number;
  readonly #turn: Turn;

  constructor({ deadlineMs = DEADLINE_MS, turn = systemTurn }: VerifierOptions = {}) {
    this.#deadlineMs = deadlineMs;
    this.#turn = turn;
  }

  /**
   * Starts the thread if what is announced will most likely need it: entries that are more than those of the
   * base weigh a byte and more each.
   */
  expect(manifest: Totals, base: Totals = NOTHING): void {
    const grownEntries = Math.max(0, entriesIn(manifest) - entriesIn(base));
    if (grownEntries * (DECODE_MS_PER_BYTE + MERGE_MS_PER_ENTRY) <= IN_PLACE_MAX_MS) return;
    this.#host.prepare(heapMib(heapMebibytes(base, manifest)), ANNOUNCED_MS);
  }

  /**
   * The rule set of a release. Throws SignedFault for one that cannot be taken, another ProtocolError for a
   * transfer that does not make it in time and within its budget, and RangeError where there is no room.
   */
  async verify(claim: Claim): Promise<Verified> {
    if (claim.stream.length <= IN_PLACE_MAX_BYTES) {
      try {
        return await inTurns(verifyPieces(claim, IN_PLACE_WORK), this.#turn);
      } catch (error) {
        if (!(error instanceof ProtocolError) || error.code !== ErrorCode.overBudget) throw error;
      }
    }
    const mebibytes = heapMebibytes(catalogueOf(claim.base), decodeManifest(claim.manifestBytes));
    const { base, leftOut } = withoutReplaced(claim);
    const baseDigests = digestsOf(claim.base);
    const answer = await this.#ask(mebibytes, this.#deadlineMs, async (handOver) => {
      const handed = { base: await handedOver(base, handOver), stream: await handOver.bytes(claim.stream) };
      return { kind: 'verify', claim: { ...claim, ...handed }, baseDigests, leftOut };
    });
    if (answer.kind !== 'verified') throw unexpected(answer);
    const ruleSet = merged(claim.base, answer.changed);
    noteDigests(ruleSet, answer.digests);
    takeLeaves(ruleSet, answer.leaves);
    return { ruleSet, changes: new Map() }; // of copies, which are nobody's lists
  }

  /** A whole release as a stream that starts from nothing. */
  async snapshot(ruleSet: RuleSet): Promise<Uint8Array> {
    let ms = 0;
    for (const list of ruleSet.lists.values())
      ms += entryCount(list) * (list.kind === 'names' ? ENCODE_MS_PER_NAME : ENCODE_MS_PER_ENTRY);
    for (const policy of ruleSet.policies.values()) ms += policyRuleCount(policy) * ENCODE_MS_PER_ENTRY;
    if (ms <= IN_PLACE_MAX_MS) return snapshotStream(ruleSet);
    const answer = await this.#ask(HEAP_MOST_MIB, ENCODE_DEADLINE_MS, async (handOver) => {
      return { kind: 'snapshot', ruleSet: await handedOver(ruleSet, handOver) };
    });
    if (answer.kind === 'stream') return answer.stream;
    throw unexpected(answer);
  }

  async #ask(
    mebibytes: number,
    deadlineMs: number,
    requestWith: (handOver: HandOver) => Promise<VerifierRequest>,
  ): Promise<VerifierAnswer> {
    try {
      return await this.#host.run({ heapMib: heapMib(mebibytes), deadlineMs }, async (line) => {
        const handOver = new HandOver();
        line.post(await requestWith(handOver), handOver.buffers);
        for (;;) {
          const said = await line.next();
          if (said.kind !== 'step') return said;
        }
      });
    } catch (error) {
      throw error instanceof ThreadError ? failureOf(error, deadlineMs) : error;
    }
  }

  /** Waits for the work under way, then ends the thread. */
  async close(): Promise<void> {
    await this.#host.settled();
    await this.#host.close();
  }
}

/** Of a thread for what was signed. */
function heapMib(mebibytes: number): number {
  return Math.min(HEAP_MOST_MIB, HEAP_LEAST_MIB + mebibytes);
}

function failureOf(cause: ThreadError, deadlineMs: number): Error {
  switch (cause.code) {
    case ThreadCode.outOfMemory:
      return new RangeError('verifying takes more memory than what was signed can need', { cause });
    case ThreadCode.timeout:
      return new ProtocolError(ErrorCode.timeout, `verifying finished no step for ${deadlineMs} ms`, {
        cause,
      });
    case ThreadCode.died:
    case ThreadCode.closed:
      return cause.cause instanceof Error
        ? cause.cause
        : new RangeError('the thread that verifies ended', { cause });
  }
}

const NOTHING: Totals = { parts: 0, prefixes: 0, others: 0, bytes: 0 };

/** A rule set whose lists are copies for a thread to own. */
async function handedOver(ruleSet: RuleSet, handOver: HandOver): Promise<RuleSet> {
  const lists = new Map<string, List>();
  for (const [name, list] of ruleSet.lists) lists.set(name, await handOver.list(list));
  return { ...ruleSet, lists };
}

/** The base of a claim without the lists that its stream replaces, and how large these are. */
function withoutReplaced({ base, stream }: Claim): {
  readonly base: RuleSet;
  readonly leftOut: ReadonlyMap<number, PartSize>;
} {
  const { items, records } = catalogueOf(base);
  const lists = new Map(base.lists);
  const leftOut = new Map<number, PartSize>();
  for (const at of replacedIn(base, stream)) {
    const [part, record] = [items[at], records[at]];
    if (part === undefined || record === undefined || !('list' in part)) continue;
    const { list, name } = part;
    lists.set(name, list.kind === 'names' ? { ...list, names: NO_NAMES } : prefixListOf(EMPTY_PREFIX_SET));
    leftOut.set(at, { count: record.count, bytes: record.bytes });
  }
  return { base: { ...base, lists }, leftOut };
}

function merged(base: RuleSet, { lists, policies, resolutions, unmatched }: ChangedRuleSet): RuleSet {
  return {
    lists: new Map(lists.map(([name, list]) => [name, list ?? there(base.lists, name)])),
    policies: new Map(policies.map(([name, policy]) => [name, policy ?? there(base.policies, name)])),
    resolutions: resolutions ?? base.resolutions,
    unmatched,
  };
}

function there<T>(parts: ReadonlyMap<string, T>, name: string): T {
  const part = parts.get(name);
  if (part === undefined) throw new TypeError(`the thread kept ${name}, which is not there`);
  return part;
}

function unexpected(answer: VerifierAnswer): Error {
  switch (answer.kind) {
    case 'refused': {
      const { code, message, part, entry } = answer;
      return new (answer.isSigned ? SignedFault : ProtocolError)(code, message, { part, entry });
    }
    case 'range-error':
      return new RangeError(answer.message);
    default:
      return new TypeError(`${answer.kind} is no answer to this`);
  }
}
