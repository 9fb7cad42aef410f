/**
 * Long work, off the event loop: reading pushed files, encoding deltas and snapshots, rebuilding old
 * releases. Small work is done in place; large work in one thread, so that a million lines stall nobody's
 * heartbeat, and a hostile document ends its thread and not the publisher.
 */

import { createHash } from 'node:crypto';
import type { PushedParts, PushInput } from '@rulecast/formats';
import {
  applyDeltas,
  decodeManifest,
  diffPieces,
  diffRuleSets,
  type EncodedChange,
  ErrorCode,
  encodeChange,
  encodeDelta,
  joinChanges,
  type PartChange,
  PartKind,
  ProtocolError,
  type RuleSetDelta,
  systemTurn,
  type Turn,
  verifyRuleSet,
} from '@rulecast/protocol';
import { EMPTY_RULE_SET, inTurns, type List, type Policy, type RuleSet } from '@rulecast/rules';
import { ThreadCode, ThreadError, ThreadHost, type ThreadLine, type WorkLimits } from '@rulecast/threads';
import type { ReleaseRecipe } from '../store/store.ts';
import type { EncodedSnapshot } from './commit.ts';
import { filtered, type PartFilter } from './part-filter.ts';

/** A rule set in memory, or the recipe to rebuild it. Plain data, for a worker thread. */
export type PastContent =
  | { readonly kind: 'rule-set'; readonly ruleSet: RuleSet }
  | { readonly kind: 'recipe'; readonly recipe: ReleaseRecipe };

/** A request to the thread: plain data. */
export type WorkRequest =
  | { readonly kind: 'read'; readonly input: PushInput; readonly now: number }
  | { readonly kind: 'references'; readonly document: Uint8Array }
  | { readonly kind: 'encode'; readonly change: PartChange; readonly isPlain: boolean }
  | { readonly kind: 'rebuild'; readonly recipe: ReleaseRecipe }
  | { readonly kind: 'compose'; readonly recipe: ReleaseRecipe; readonly ruleSet: RuleSet }
  | {
      readonly kind: 'compare';
      readonly before: PastContent;
      readonly after: PastContent;
      readonly only: PartFilter;
    };

/** A message to the thread: a request, or a call for more of its answer. */
export type ThreadMessage = WorkRequest | { readonly kind: 'more' };
/** A message from the thread: an answer, or some of its parts ahead of it. */
export type ThreadSaid =
  | WorkAnswer
  | {
      readonly kind: 'some';
      readonly lists: readonly (readonly [string, List])[];
      readonly policies: readonly (readonly [string, Policy])[];
    };
/** Parts deserialised at once: some milliseconds. Our choice. */
export const SOME_PARTS = 256;

/** The result of a comparison. */
export interface Comparison {
  readonly changes: readonly PartChange[];
  /** Whether either of the two has a selected part. */
  readonly isKnown: boolean;
}

/** An answer. `range-error`: an encoder was given content that no decoder accepts; `fault`: damaged data. */
export type WorkAnswer =
  | { readonly kind: 'parts'; readonly parts: PushedParts }
  | { readonly kind: 'names'; readonly names: readonly string[] }
  | { readonly kind: 'bytes'; readonly bytes: Uint8Array }
  | ({ readonly kind: 'change' } & EncodedChange)
  | { readonly kind: 'rule-set'; readonly ruleSet: RuleSet }
  | ({ readonly kind: 'comparison' } & Comparison)
  | { readonly kind: 'fault'; readonly code: ErrorCode; readonly message: string }
  | { readonly kind: 'range-error'; readonly message: string };

/** Below this many bytes, reading takes less than a thread needs to start: some 50 ms. */
const READ_IN_PLACE_MAX_BYTES = 64 * 1024;
/**
 * Below this many entries and rules, encoding takes a few milliseconds; half of them are a copy to the
 * thread.
 */
const ENCODE_IN_PLACE_MAX_ENTRIES = 20_000;
/** The work of one turn: entries encoded in place; a change counts as so many. */
const TURN_ENTRIES = 5000;
const CHANGE_WEIGHT = 200;
/** So much is digested in a turn: a millisecond. */
const TURN_BYTES = 1 << 20;
/** A name takes a microsecond or two, as long as so many other entries. */
const NAME_WEIGHT = 4;
/**
 * Limits of the thread: a document of 2^18 inline rules needs 1.2 GB of heap; lists and rule files need far
 * less. The largest push is read in a minute on a slow machine, so after ten it hangs.
 */
const LIMITS = { heapMib: 3072, deadlineMs: 600_000 } as const satisfies WorkLimits;
/** An idle thread keeps its memory; pushes come in a row, or not for hours. */
const REST_MS = 30_000;
/** Also when this file runs from src, as in tests: only the built thread loads on Node 20. */
const THREAD_FILE = new URL('../../dist/release/worker-thread.js', import.meta.url);

/**
 * Does a piece of work on the calling thread. Input errors are answers, not rejections. The readers are
 * imported by the work that needs them: with their libraries they are most of what a thread loads.
 */
export async function work(request: WorkRequest): Promise<WorkAnswer> {
  try {
    switch (request.kind) {
      case 'read': {
        const { readPushed } = await import('@rulecast/formats');
        return { kind: 'parts', parts: readPushed(request.input, request.now) };
      }
      case 'references': {
        const { documentReferences } = await import('@rulecast/formats');
        return { kind: 'names', names: documentReferences('', request.document) };
      }
      case 'encode':
        return { kind: 'change', ...encodeChange(request.change, request.isPlain) };
      case 'rebuild':
        return { kind: 'rule-set', ruleSet: rebuilt(request.recipe) };
      case 'compose':
        return { kind: 'bytes', bytes: encodeDelta(diffRuleSets(rebuilt(request.recipe), request.ruleSet)) };
      case 'compare':
        return { kind: 'comparison', ...compared(request.before, request.after, request.only) };
    }
  } catch (error) {
    if (error instanceof ProtocolError) return { kind: 'fault', code: error.code, message: error.message };
    if (error instanceof RangeError) return { kind: 'range-error', message: error.message };
    throw error;
  }
}

/** Rebuilds the rule set of a recipe. Throws ProtocolError if it does not match its manifest. */
function rebuilt({ deltas, manifestBytes }: ReleaseRecipe): RuleSet {
  const ruleSet = applyDeltas(EMPTY_RULE_SET, deltas);
  verifyRuleSet(decodeManifest(manifestBytes), ruleSet);
  return ruleSet;
}

function compared(before: PastContent, after: PastContent, only: PartFilter): Comparison {
  const [old, next] = [before, after].map((content) => {
    return filtered(content.kind === 'recipe' ? rebuilt(content.recipe) : content.ruleSet, only);
  }) as [RuleSet, RuleSet]; // two in, two out
  const isKnown = [old, next].some(({ lists, policies }) => lists.size + policies.size > 0);
  return { changes: diffRuleSets(old, next).changes, isKnown };
}

/** Does long work, one piece after the other. */
export interface WorkHost {
  /** The buffers in `owned` may be moved away. Rejects with ThreadError. */
  ask(request: WorkRequest, owned: readonly ArrayBuffer[]): Promise<WorkAnswer>;
  /** Resolves when no work is running. */
  settled(): Promise<void>;
  close(): Promise<void>;
}

/** @public For a host without threads, such as a simulation: the work is done at once. */
export const WORK_IN_PLACE: WorkHost = {
  ask: (request) => work(request),
  settled: () => Promise.resolve(),
  close: () => Promise.resolve(),
};

function workThread(): WorkHost {
  const host = new ThreadHost<ThreadSaid>({ file: THREAD_FILE, name: 'rulecast work', restMs: REST_MS });
  return {
    ask: (request, owned) =>
      host.run(LIMITS, async (line) => {
        await systemTurn(); // copying to the thread takes milliseconds, too
        line.post(request, owned);
        return wholeAnswer(line);
      }),
    settled: () => host.settled(),
    close: () => host.close(),
  };
}

/** An answer, with the parts that were said before it. */
async function wholeAnswer(line: ThreadLine<ThreadSaid>): Promise<WorkAnswer> {
  const lists = new Map<string, List>();
  const policies = new Map<string, Policy>();
  for (;;) {
    const said = await line.next();
    if (said.kind === 'parts') return { ...said, parts: { ...said.parts, lists, policies } };
    if (said.kind === 'rule-set') return { ...said, ruleSet: { ...said.ruleSet, lists, policies } };
    if (said.kind !== 'some') return said;
    for (const [name, list] of said.lists) lists.set(name, list);
    for (const [name, policy] of said.policies) policies.set(name, policy);
    line.post({ kind: 'more' });
  }
}

export class ReleaseWorker {
  readonly #host: WorkHost;
  readonly #turn: Turn;

  /** @param host Is closed with it. */
  constructor(host: WorkHost = workThread(), turn: Turn = systemTurn) {
    this.#host = host;
    this.#turn = turn;
  }

  /**
   * Reads the files of a push. Their bytes may be moved away from the caller. Takes the files' bytes: they
   * may be gone from the caller afterwards. Throws ProtocolError `over-limit` if the thread runs out of
   * memory.
   */
  async read(input: PushInput, now: number): Promise<PushedParts> {
    let bytes = 0;
    for (const file of input.files) bytes += file.bytes.length;
    const buffers = new Set(input.files.map((file) => file.bytes.buffer as ArrayBuffer)); // pushes are not shared memory
    const answer = await this.#do({ kind: 'read', input, now }, bytes > READ_IN_PLACE_MAX_BYTES, [
      ...buffers,
    ]);
    if (answer.kind === 'parts') return answer.parts;
    throw unexpected(answer);
  }

  /** The files that a document names. Throws as `read` does. */
  async references(document: Uint8Array): Promise<readonly string[]> {
    const isLong = document.length > READ_IN_PLACE_MAX_BYTES;
    const answer = await this.#do({ kind: 'references', document }, isLong, []);
    if (answer.kind === 'names') return answer.names;
    throw unexpected(answer);
  }

  /**
   * Encodes a delta, large changes in the thread, and many small ones in turns: to copy ten thousand of them
   * to a thread takes longer than to encode them. Throws ProtocolError `over-limit` for content that no
   * decoder takes.
   */
  async encodeDelta({ changes }: RuleSetDelta, isPlain = false): Promise<Uint8Array> {
    const encoded: EncodedChange[] = [];
    let gathered = 0;
    for (const change of changes) {
      const weight = weightOf(change);
      const isLong = weight > ENCODE_IN_PLACE_MAX_ENTRIES;
      const answer = await this.#do({ kind: 'encode', change, isPlain }, isLong, []);
      if (answer.kind !== 'change') throw unexpected(answer);
      encoded.push(answer);
      gathered += isLong ? 0 : CHANGE_WEIGHT + weight;
      if (gathered < TURN_ENTRIES) continue;
      gathered = 0;
      await this.#turn();
    }
    return joinChanges(changes, encoded);
  }

  /** Encodes a snapshot, with nothing deflated in it if it is plain; throws as `encodeDelta` does. */
  async encodeSnapshot(ruleSet: RuleSet, isPlain = false): Promise<EncodedSnapshot> {
    const delta = await inTurns(diffPieces(EMPTY_RULE_SET, ruleSet), this.#turn);
    const bytes = await this.encodeDelta(delta, isPlain);
    const hash = createHash('sha256');
    for (let at = 0; at < bytes.length; at += TURN_BYTES) {
      if (at > 0) await this.#turn();
      hash.update(bytes.subarray(at, at + TURN_BYTES));
    }
    return { bytes, sha256: Uint8Array.from(hash.digest()) };
  }

  /**
   * The delta that turns the release of a recipe into a rule set. Throws as `encodeDelta` and `rebuild` do.
   */
  async compose(recipe: ReleaseRecipe, ruleSet: RuleSet): Promise<Uint8Array> {
    const answer = await this.#do({ kind: 'compose', recipe, ruleSet }, true, []);
    if (answer.kind === 'bytes') return answer.bytes;
    throw unexpected(answer);
  }

  /** Rebuilds a release. Throws ProtocolError if the result does not match its manifest. */
  async rebuild(recipe: ReleaseRecipe): Promise<RuleSet> {
    const answer = await this.#do({ kind: 'rebuild', recipe }, true, []);
    if (answer.kind === 'rule-set') return answer.ruleSet;
    throw unexpected(answer);
  }

  /** Compares two releases, rebuilding them if needed; throws as `rebuild` does. */
  async compare(before: PastContent, after: PastContent, only: PartFilter): Promise<Comparison> {
    const answer = await this.#do({ kind: 'compare', before, after, only }, true, []);
    if (answer.kind === 'comparison') return answer;
    throw unexpected(answer);
  }

  async #do(request: WorkRequest, isLong: boolean, owned: readonly ArrayBuffer[]): Promise<WorkAnswer> {
    if (!isLong) return work(request);
    try {
      return await this.#host.ask(request, owned);
    } catch (error) {
      throw error instanceof ThreadError ? failureOf(error) : error;
    }
  }

  /** Waits for the work under way, then ends the thread. */
  async close(): Promise<void> {
    await this.#host.settled();
    await this.#host.close();
  }
}

function failureOf(cause: ThreadError): Error {
  switch (cause.code) {
    case ThreadCode.outOfMemory: {
      const text = 'this takes more memory than the publisher grants: put long lists into files of their own';
      return new ProtocolError(ErrorCode.overLimit, text, { cause });
    }
    case ThreadCode.timeout: {
      const text = 'this takes the publisher more than ten minutes: put long lists into files of their own';
      return new ProtocolError(ErrorCode.overLimit, text, { cause });
    }
    case ThreadCode.died:
    case ThreadCode.closed:
      return cause.cause instanceof Error ? cause.cause : cause;
  }
}

/** The weight of encoding a change, in entries. */
function weightOf(change: PartChange): number {
  if (change.op === 'remove') return 0;
  return (change.addedCount + change.removedCount) * (change.kind === PartKind.nameList ? NAME_WEIGHT : 1);
}

function unexpected(answer: WorkAnswer): Error {
  if (answer.kind === 'fault') return new ProtocolError(answer.code, answer.message);
  if (answer.kind === 'range-error') return new ProtocolError(ErrorCode.overLimit, answer.message);
  return new TypeError(`${answer.kind} is no answer to this`);
}
