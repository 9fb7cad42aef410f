/**
 * From a rule set to the next release: diff by content with the head, guards, digests, signature, store. A
 * release is on disk before anything announces it.
 */

import type { UsePlace } from '@rulecast/formats';
import type { Identity } from '@rulecast/program/identity';
import {
  boundText,
  capabilitiesFor,
  cataloguePieces,
  compareRelease,
  diffPieces,
  ENTRIES_MAX,
  ErrorCode,
  encodeDelta,
  encodeManifest,
  entriesIn,
  isSignedBy,
  type Manifest,
  manifestFor,
  manifestHash,
  type PartChange,
  ProtocolError,
  partText,
  type ReleaseCause,
  type RuleSetDelta,
  type Turn,
  UNCOUNTED_MAX,
  uncountedIn,
} from '@rulecast/protocol';
import {
  checkPieces,
  EMPTY_RULE_SET,
  FIREWALL_CHAINS_MAX,
  FIREWALL_NAME_ADDRESSES_MAX,
  FIREWALL_RULES_MAX,
  type FirewallLoad,
  firewallLoad,
  inTurns,
  type MatchClasses,
  NAME_ADDRESSES_MAX,
  NAME_QUBES_MAX,
  nameRoomOf,
  openedLists,
  opensByName,
  type RuleSet,
  type RuleSetProblem,
  ruleSetOfSameRuns,
} from '@rulecast/rules';
import type { ReleaseNumber } from '@rulecast/sessions';
import type { Rows } from '../blocks/rows.ts';
import { countsUnder, keySigner, type Signer, SignerError } from '../signer/signer.ts';
import type { Release, ReleaseNotes, Store } from '../store/store.ts';
import { CHANGED_PARTS_KEPT } from '../store/stored.ts';
import type { TakenRules } from '../store/taken-rules.ts';
import {
  behindOf,
  inNewEpoch,
  type NextNumber,
  type Numbers,
  nextNumber,
  type ProvedRelease,
  withHead,
  withProof,
  withSigned,
  withSigners,
} from './numbers.ts';

/** The cause of a release. */
export interface Origin {
  readonly cause: ReleaseCause;
  /** More about it, for people; cut at 512 bytes. */
  readonly detail: string;
  /** The caller; undefined if none. */
  readonly by?: string | undefined;
  /** Why, in their words; at most MESSAGE_MAX_BYTES. */
  readonly message?: string | undefined;
  /** The rules file's content, if the release takes it. */
  readonly taken?: TakenRules | undefined;
  /** The rows that it is made with, where they change. */
  readonly rows?: Rows | undefined;
}

/** The release that a rule set would make, before anything is written. */
export interface ReleaseDraft {
  readonly ruleSet: RuleSet;
  readonly changes: readonly PartChange[];
  readonly warnings: readonly RuleSetProblem[];
  /** Encoded, for its size and for the store; empty where nothing changes. */
  readonly deltaBytes: Uint8Array;
  /** The content differs from the head's. */
  readonly changed: boolean;
}

/** The rule set is refused as a whole. */
export class GuardError extends Error {
  readonly code = ErrorCode.guardRefused;
  readonly part: string;
  /** The list that a rule uses and that does not exist. */
  readonly missingList: string | undefined;
  /** The place in the pushed files. */
  readonly place: UsePlace | undefined;

  constructor(problem: Pick<RuleSetProblem, 'part' | 'reason' | 'missingList'>, place?: UsePlace) {
    super(problem.reason);
    this.part = problem.part;
    this.missingList = problem.missingList;
    this.place = place;
  }
}

/** Encodes content; a worker does it off the event loop. Both throw ProtocolError `over-limit`. */
export interface Encoder {
  encodeDelta(delta: RuleSetDelta): Promise<Uint8Array>;
  /** With nothing deflated in it if it is plain. */
  encodeSnapshot(ruleSet: RuleSet, isPlain?: boolean): Promise<EncodedSnapshot>;
}

export interface EncodedSnapshot {
  readonly bytes: Uint8Array;
  readonly sha256: Uint8Array;
}

/**
 * A subscriber proved a release that this publisher lacks: its state is older than what it released, and
 * gives no number meanwhile.
 */
export class BehindError extends Error {
  readonly code = ErrorCode.publisherBehind;
}

/** The root in force does not grant the epoch that the next release would have. */
export class EpochError extends Error {
  readonly code = ErrorCode.epochNotGranted;
}

export interface CommitterOptions {
  readonly store: Store;
  readonly encoder: Encoder;
  readonly identity: Identity;
  /** Default: the keys of the identity. */
  readonly signer?: Signer | undefined;
  /** Default: loads it from the store. */
  readonly head?: Release | undefined;
  /** Milliseconds since 1970. */
  readonly nowMs: () => number;
  readonly turn: Turn;
}

export class Committer {
  #current: Release | undefined;
  #numbers: Numbers;
  readonly #options: CommitterOptions;
  readonly #signer: Signer;
  /** The load classes of the last draft, by place: the next draft counts only its changes. */
  readonly #counted = new Map<string, MatchClasses>();

  /** Throws StoreError. */
  constructor(options: CommitterOptions) {
    this.#options = options;
    const { store, identity, signer = keySigner(identity) } = options;
    this.#signer = signer;
    this.#current = options.head ?? store.load(identity);
    const after = store.after && { epoch: store.after[0], version: store.after[1] };
    const head = this.#current?.manifest ?? after;
    const [epoch = 0, version = 0] = store.behind ?? [];
    const isProved = store.behind !== undefined && countsUnder(identity.root, store.behindKeys);
    this.#numbers = {
      head,
      after,
      epoch: head?.epoch ?? store.firstEpoch ?? 1,
      proved: isProved ? { epoch, version, keys: store.behindKeys } : undefined,
    };
  }

  /** The newest release; undefined before the first. */
  get head(): Release | undefined {
    return this.#current;
  }

  get ruleSet(): RuleSet {
    return this.#current?.ruleSet ?? EMPTY_RULE_SET;
  }

  /**
   * The draft of a release. Throws GuardError if the rule set is not releasable, and ProtocolError
   * `over-limit` if it does not fit in a manifest or a subscriber. Each step takes milliseconds at a million
   * entries, and has its own turn of the event loop.
   */
  async draft(asked: RuleSet): Promise<ReleaseDraft> {
    const { turn, encoder } = this.#options;
    const ruleSet = await inTurns(ruleSetOfSameRuns(this.ruleSet, asked), turn);
    await turn();
    const problems = await inTurns(checkPieces(ruleSet), turn);
    const fault = problems.find((problem) => problem.severity === 'fault');
    if (fault !== undefined) throw new GuardError(fault);
    await turn();
    await checkFirewallLoad(ruleSet, this.#counted, turn); // before steps that take longer
    const delta = await inTurns(diffPieces(this.ruleSet, ruleSet), turn);
    const changed = delta.changes.length > 0;
    await turn();
    if (changed) {
      await inTurns(cataloguePieces(ruleSet, this.#current?.ruleSet), turn);
      await turn();
      const number = nextNumber(this.#numbers) ?? nextNumber(inNewEpoch(this.#numbers));
      checkLimits(this.#manifestFor(ruleSet, number), ruleSet);
    }
    return {
      ruleSet,
      changes: delta.changes,
      warnings: problems,
      deltaBytes: changed ? await encoder.encodeDelta(delta) : new Uint8Array(0),
      changed,
    };
  }

  /** The head was released by keys that a root has taken that from. */
  get isDisowned(): boolean {
    const { root } = this.#options.identity;
    if (this.#current === undefined) return false;
    const { signatures, manifestBytes } = this.#current;
    return !isSignedBy(root, 'release', { signatures, content: manifestBytes });
  }

  /** The newest release that was proved and is not here, unless an epoch above it is open. */
  get behind(): ReleaseNumber | undefined {
    return behindOf(this.#numbers);
  }

  /**
   * Notes a release that was proved and is not here; returns whether that is news. Throws StoreError where it
   * cannot be written: it is known all the same from then on, and the next proof writes it.
   */
  noteBehind(proof: ProvedRelease): boolean {
    const { store } = this.#options;
    const numbers = withProof(this.#numbers, proof);
    this.#numbers = numbers ?? withSigners(this.#numbers, proof);
    const { behind } = this;
    const keys = this.#numbers.proved?.keys;
    const isKept =
      store.behind?.[0] === behind?.epoch &&
      store.behind?.[1] === behind?.version &&
      String(store.behindKeys) === String(keys);
    if (behind !== undefined && !isKept) store.noteBehind([behind.epoch, behind.version], keys);
    return numbers !== undefined;
  }

  /** Throws BehindError where a release would be given a number that may have been given before. */
  checkNotBehind(): void {
    const { behind } = this;
    if (behind !== undefined) throw behindError(behind, this.#numbers.head);
  }

  /** Like `commit`, in a new epoch, even if nothing changes. */
  commitInNewEpoch(draft: ReleaseDraft, origin: Origin): Promise<Release> {
    return this.#commit(inNewEpoch(this.#numbers), draft, origin);
  }

  /**
   * Makes a draft the next release; resolves when it is on disk. A draft without changes makes one in a new
   * epoch, or under a new root. Throws BehindError, EpochError and StoreError; then the head is what it was.
   */
  async commit(draft: ReleaseDraft, origin: Origin): Promise<Release> {
    this.checkNotBehind();
    return this.#commit(this.#numbers, draft, origin);
  }

  async #commit(numbers: Numbers, draft: ReleaseDraft, origin: Origin): Promise<Release> {
    const { store, encoder, turn } = this.#options;
    await turn(); // with thousands of parts, writing takes as long as the steps before
    const release = await this.#signed(numbers, draft.ruleSet);
    const delta = draft.changed ? draft.deltaBytes : encodeDelta({ changes: [] });
    const snapshot = async () => (await encoder.encodeSnapshot(draft.ruleSet)).bytes;
    await store.commit(release, delta, notesOf(draft, origin), snapshot, origin);
    this.#current = release;
    this.#numbers = withHead(numbers, release.manifest);
    return release;
  }

  /** A release, signed, under the first number that no other was signed under. */
  async #signed(numbers: Numbers, ruleSet: RuleSet): Promise<Release> {
    const manifest = this.#manifestFor(ruleSet, nextNumber(numbers));
    const manifestBytes = encodeManifest(manifest);
    const answer = await this.#signer.sign(manifestBytes);
    if (answer.kind === 'signed') {
      const { signatures } = answer;
      const hash = manifestHash(manifestBytes);
      return { ruleSet, manifest, manifestBytes, signatures, hash, capabilities: capabilitiesFor(ruleSet) };
    }
    const { last } = answer;
    const next = withSigned(numbers, last);
    const behind = behindOf(next);
    if (behind !== undefined) {
      this.noteBehind(last);
      throw behindError(behind, numbers.head);
    }
    const after = nextNumber(next);
    if (after !== undefined && compareRelease(last, after) >= 0)
      throw new SignerError(
        `the signer says that ${last.epoch}/${last.version} is above what comes after it`,
      );
    return this.#signed(next, ruleSet);
  }

  #manifestFor(ruleSet: RuleSet, number: NextNumber | undefined): Manifest {
    if (number === undefined)
      throw new EpochError(
        'no number is left: restore the store from before, or move it away and start once with --start-over',
      );
    const { identity, nowMs } = this.#options;
    const { epochFloor, epochCeiling, number: rootNumber } = identity.root;
    if (number.epoch < epochFloor || number.epoch > epochCeiling) {
      const granted = `root ${rootNumber} grants epochs ${epochFloor} to ${epochCeiling}`;
      const advice = `rulectl keys rotate --epochs ${epochCeiling + 16} grants more, and what the old keys signed counts no more`;
      throw new EpochError(`the next release would be of epoch ${number.epoch}, and ${granted}: ${advice}`);
    }
    const place = { lineage: identity.lineage, ...number, createdAtMs: nowMs() };
    return manifestFor(ruleSet, place, this.#current?.ruleSet);
  }
}

export function behindError(behind: ReleaseNumber, head: ReleaseNumber | undefined): BehindError {
  const shown = head === undefined ? 'nothing' : `${head.epoch}/${head.version}`;
  return new BehindError(
    `a subscriber, or the signer, proved release ${behind.epoch}/${behind.version} and this publisher has ${shown}: its state is older than what it released. Stop it and restore the newer state, or go on from here above all that was released: rulectl push --as-new-epoch FILE, or rulectl rollback --as-new-epoch VERSION`,
  );
}

function notesOf({ changes }: ReleaseDraft, { cause, detail, by, message }: Origin): ReleaseNotes {
  let added = 0;
  let removed = 0;
  for (const change of changes) {
    added += change.addedCount;
    removed += change.removedCount;
  }
  return {
    cause,
    detail: boundText(detail),
    by,
    message,
    changedParts: changes.slice(0, CHANGED_PARTS_KEPT).map(partText),
    changedCount: changes.length,
    added,
    removed,
  };
}

/**
 * Throws ProtocolError `over-limit` for a release that no kernel would be given. It is counted here, whatever
 * subscribers say of themselves.
 */
async function checkFirewallLoad(
  ruleSet: RuleSet,
  counted: Map<string, MatchClasses>,
  turn: Turn,
): Promise<void> {
  checkNameRoom(ruleSet);
  const { chains, rules } = await loadOf(ruleSet, counted, turn);
  if (chains <= FIREWALL_CHAINS_MAX && rules <= FIREWALL_RULES_MAX) return;
  throw new ProtocolError(
    ErrorCode.overLimit,
    `a firewall would need ${chains} chains and ${rules} rules for this; the most is ${FIREWALL_CHAINS_MAX} and ${FIREWALL_RULES_MAX}: gather destinations in lists, or use fewer combinations of ports`,
  );
}

/** Throws ProtocolError `over-limit` if qubes could have more openings by name than a kernel may hold. */
function checkNameRoom(ruleSet: RuleSet): void {
  if (!opensByName(ruleSet)) return;
  let room = 0;
  for (const { v4, v6 } of openedLists(ruleSet).values()) room += nameRoomOf(v4) + nameRoomOf(v6);
  if (room <= FIREWALL_NAME_ADDRESSES_MAX) return;
  throw new ProtocolError(
    ErrorCode.overLimit,
    `by the names that rules accept, qubes could hold ${room} addresses (${NAME_ADDRESSES_MAX} each of up to ${NAME_QUBES_MAX} qubes, by list and family); the most is ${FIREWALL_NAME_ADDRESSES_MAX}: accept them for fewer qubes, or by fewer lists`,
  );
}

/**
 * Counted piece by piece, each in a turn of the event loop of its own: 2^18 rules take 0.2 s, and one that
 * changes 20 ms.
 */
async function loadOf(
  ruleSet: RuleSet,
  counted: Map<string, MatchClasses>,
  turn: Turn,
): Promise<FirewallLoad> {
  try {
    return await inTurns(firewallLoad(ruleSet, counted), turn);
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause;
    throw new ProtocolError(ErrorCode.overLimit, cause.message, { cause });
  }
}

/** Throws ProtocolError `over-limit` for a release that could not be encoded, or loaded again. */
function checkLimits(manifest: Manifest, ruleSet: RuleSet): void {
  try {
    encodeManifest(manifest);
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause;
    throw new ProtocolError(ErrorCode.overLimit, cause.message, { cause });
  }
  const entries = entriesIn(manifest);
  if (entries > ENTRIES_MAX) {
    throw new ProtocolError(ErrorCode.overLimit, `${entries} entries and rules; the most is ${ENTRIES_MAX}`);
  }
  const uncounted = uncountedIn(ruleSet);
  if (uncounted > UNCOUNTED_MAX) {
    const text = `${uncounted} prefixes of policies and addresses of names; the most is ${UNCOUNTED_MAX}`;
    throw new ProtocolError(ErrorCode.overLimit, text);
  }
}
