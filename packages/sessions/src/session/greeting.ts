/** From HELLO to WELCOME, and the judgement of a claim in HELLO. WIRE.md "Sessions" and "Epochs". */

import {
  ANSWER_TIMEOUT_MS,
  compareRelease,
  DEFAULT_CAPABILITIES,
  decodeManifest,
  ENTRIES_MAX,
  ErrorCode,
  FORK_HASH_CHARS,
  HEARTBEAT_MS,
  hexOf,
  type MessageOf,
  manifestHash,
  NEVER,
  PARTS_MAX,
  PROTOCOL_VERSION,
  REFUSED_MAX,
  SESSION_ROOTS_MAX,
  type Signed,
  TRANSFER_MAX_BYTES,
} from '@rulecast/protocol';
import { type Refusal, versionRefusal } from '../admission/refusal.ts';
import type { PublisherView } from '../host.ts';
import type { HeldRelease } from '../subscribers/entry.ts';
import { askedWith, held, heldNoMore, NOTHING_ASKED, withAsking } from './asking.ts';
import { andThen, faulty, stepTo, stopped } from './ending.ts';
import { sayIfDue } from './freshness.ts';
import { diverged, idle, isSame, offerIfDue } from './offering.ts';
import { NO_QUESTIONS } from './questions.ts';
import type { Claiming, Closed, Effect, Greeting, Idle, Named, Now, Peer, Proving, Step } from './state.ts';

/** Checks HELLO by itself, before anything else learns of the name. */
export function greeted(state: Greeting, hello: MessageOf<'hello'>, now: Now): Step {
  const { pulse, untilMs } = state;
  const claiming: Claiming = { kind: 'claiming', pulse, untilMs, hello };
  const refusal = refusalOf(hello, now);
  if (refusal !== undefined) return stopped(claiming, refusal, now);
  return stepTo(claiming, { kind: 'claim', name: hello.name });
}

function refusalOf(hello: MessageOf<'hello'>, { publisher }: Now): Refusal | undefined {
  if (!isSame(hello.lineage, publisher.lineage)) {
    const text = 'this publisher is of another lineage than the subscriber trusts';
    return { code: ErrorCode.wrongLineage, text };
  }
  if (publisher.rootsAfter(hello.root) === undefined) {
    const text =
      'this publisher has not the root that the subscriber believes: its own roots are older, or others';
    return { code: ErrorCode.unknownRoot, text };
  }
  const isMisnumbered = [hello.holds, hello.floor].some((said) => {
    const number = said && publisher.numberOf(said.hash);
    return said !== undefined && number !== undefined && compareRelease(number, said) !== 0;
  });
  const text = 'it names a release of this publisher, and says another number of it';
  return isMisnumbered ? { code: ErrorCode.badMessage, text } : undefined;
}

/** The name is its own. */
export function welcomed({ hello, pulse }: Claiming, now: Now): Step {
  const { publisher, wallMs } = now;
  const { name, holds, floor: claim = holds, capabilities = DEFAULT_CAPABILITIES } = hello;
  const refused = hello.refused.map(hexOf).slice(-REFUSED_MAX);
  const state: Idle = { kind: 'idle', pulse, peer: newPeer(hello, refused), retryAtMs: NEVER };
  const enter: Effect = { kind: 'enter', name, refused, atMs: wallMs };
  const refusal = versionRefusal(hello, 'subscriber');
  if (refusal !== undefined) return notWelcomed(state, enter, refusal, now);
  const isKnown = holds !== undefined && publisher.numberOf(holds.hash) !== undefined;
  const note = {
    connectedSinceMs: wallMs,
    lastSeenMs: wallMs,
    held: holds,
    diverged: false,
    bytesSent: 0,
    capabilities,
    isBack: true,
    ...(isKnown ? { hasApplied: true } : {}),
  };
  const fields = { subscriber: name, version: holds?.version ?? 0 };
  const told = stepTo(
    state,
    enter,
    { kind: 'note', note },
    { kind: 'log', level: 'info', fields, text: 'subscriber connected' },
    ...fewLimits(hello, now),
    ...(claim === undefined ? [] : forkOf(state, claim, now)),
    { kind: 'changed' },
    {
      kind: 'send',
      message: {
        kind: 'welcome',
        protocol: PROTOCOL_VERSION,
        name: publisher.name,
        lineage: publisher.lineage,
        heartbeatMs: HEARTBEAT_MS,
      },
    },
  );
  const roots = publisher.rootsAfter(hello.root) ?? [];
  const sent = roots
    .slice(0, SESSION_ROOTS_MAX)
    .map(
      ({ signatures, content }): Effect => ({ kind: 'send', message: { kind: 'root', signatures, content } }),
    );
  const trusting = andThen<Named, Named>(told, (next) => stepTo(next, ...sent));
  if (roots.length > SESSION_ROOTS_MAX) {
    const text = `${roots.length - SESSION_ROOTS_MAX} roots are left, for the next connection`;
    const refusal = { code: ErrorCode.moreRoots, text, retryAfterMs: 0 };
    return andThen(trusting, (next) => stopped(next, refusal, now));
  }
  return andThen<Named, Named>(trusting, (next) => {
    const asking = askedWith(next, hello.nonce);
    if (claim !== undefined && isStrange(claim, now.publisher)) return askedToProve(asking, claim, now);
    return andThen(sayIfDue(asking, now), (said) => offerIfDue(said, now));
  });
}

/** Its name is its own, so that the status says why it gets nothing. */
function notWelcomed(state: Idle, enter: Effect, refusal: Refusal, now: Now): Step<Closed> {
  const fields = { subscriber: state.peer.name, code: refusal.code };
  const told = stepTo(state, enter, { kind: 'log', level: 'warn', fields, text: refusal.text });
  return andThen(told, (next) => stopped(next, refusal, now));
}

function newPeer(hello: MessageOf<'hello'>, refused: readonly string[]): Peer {
  const { name, limits, holds, floor: claim = holds, capabilities = DEFAULT_CAPABILITIES } = hello;
  return {
    name,
    limits,
    capabilities,
    told: undefined,
    claim,
    claimed: holds,
    held: holds,
    refused,
    settled: undefined,
    isCorrected: false,
    probeUntilMs: NEVER,
    questions: NO_QUESTIONS,
    asking: NOTHING_ASKED,
    transfers: 0,
  };
}

/** Warns of an expected subscriber whose limits are below what a publisher may have to send. */
function fewLimits({ name, limits }: MessageOf<'hello'>, { publisher }: Now): readonly Effect[] {
  const planned = { entries: ENTRIES_MAX, bytes: TRANSFER_MAX_BYTES, parts: PARTS_MAX };
  const few = (['entries', 'bytes', 'parts'] as const).filter((limit) => limits[limit] < planned[limit]);
  if (few.length === 0 || !publisher.isNamed(name)) return [];
  const what = few.map((limit) => `${limits[limit]} ${limit} of ${planned[limit]}`).join(', ');
  const text = `it takes ${what} at most: a release beyond that will not reach it; give it larger limits`;
  return [{ kind: 'log', level: 'warn', fields: { subscriber: name, code: ErrorCode.overLimit }, text }];
}

/** Logs a fork: two releases with one number, as another publisher has, or had, this lineage's key. */
function forkOf(state: Idle, { hash, epoch, version }: HeldRelease, now: Now): readonly Effect[] {
  const own = now.publisher.hashOf({ epoch, version });
  if (own === undefined || now.publisher.numberOf(hash) !== undefined) return [];
  const code = ErrorCode.forked;
  const text = `it had a release ${epoch}/${version} (${hexOf(hash).slice(0, FORK_HASH_CHARS)}) that is not the one of that number here (${own.slice(0, FORK_HASH_CHARS)}): does another publisher use this key?`;
  const fields = { subscriber: state.peer.name, epoch, version, code };
  return [{ kind: 'log', level: 'error', fields, text }, ...faulty(state, { code, text }, now)];
}

/**
 * Whether a subscriber claims a release that cannot precede this publisher's head: a release that is not
 * here, with the head's number or a later one, or with a number in the head's epoch that none of this
 * publisher's releases has.
 */
export function isStrange(claim: HeldRelease, publisher: PublisherView): boolean {
  const { head, after } = publisher;
  if (publisher.numberOf(claim.hash) !== undefined) return false;
  if (after !== undefined && compareRelease(claim, after) <= 0) return false;
  if (head === undefined || compareRelease(claim, head.manifest) >= 0) return true;
  return claim.epoch === head.manifest.epoch && publisher.rulesOut(claim);
}

function askedToProve(state: Named, claim: HeldRelease, now: Now): Step<Proving> {
  const { pulse, peer } = held(state);
  const untilMs = now.monotonicMs + ANSWER_TIMEOUT_MS;
  return stepTo(
    { kind: 'proving', pulse, peer, untilMs, claim },
    { kind: 'send', message: { kind: 'prove' } },
  );
}

/**
 * The host wants a claim proved before it signs. While an offer is outstanding the proof cannot be requested;
 * the next nonce brings it up again.
 */
export function proofWanted(state: Named, nonce: Uint8Array, now: Now): Step<Named> {
  const { asking, claim } = state.peer;
  if (!isSame(asking.signing?.nonce, nonce)) return stepTo(state);
  const next = withAsking(state, { signing: undefined });
  return next.kind === 'idle' && claim !== undefined ? askedToProve(next, claim, now) : offerIfDue(next, now);
}

/** Judges the PROOF of a claim. A valid one is recorded before anything is offered. */
export function judged(state: Proving, proof: MessageOf<'proof'>, now: Now): Step<Named> {
  const { claim, peer } = state;
  const release = provenRelease(claim, proof, now.publisher);
  if (release === undefined) return diverged(state, now);
  return stepTo(idle(state), { kind: 'prove', release, name: peer.name, proof });
}

/**
 * The release proved by a signed manifest; undefined if it is not the claimed one, or not of this publisher.
 */
export function provenRelease(
  claim: HeldRelease,
  proof: Signed,
  publisher: PublisherView,
): HeldRelease | undefined {
  const isSigned = isSame(manifestHash(proof.content), claim.hash) && publisher.isSigned(proof);
  const manifest = isSigned ? decodeManifest(proof.content) : undefined;
  const isOurs = manifest !== undefined && isSame(manifest.lineage, publisher.lineage); // a key may have had another one before
  if (!isOurs || compareRelease(manifest, claim) !== 0) return undefined;
  return { hash: claim.hash, epoch: manifest.epoch, version: manifest.version };
}

/** A proof was taken up: where an epoch above it is open, the head is offered now. */
export function proofTaken(
  state: Named,
  { epoch, version }: Omit<HeldRelease, 'hash'>,
  now: Now,
): Step<Named> {
  const isOther = now.publisher.hashOf({ epoch, version }) !== undefined;
  const what = isOther ? 'of which this publisher has another one' : 'which this publisher has not';
  const text = `it proved release ${epoch}/${version}, ${what}: nothing is offered`;
  const code = isOther ? ErrorCode.forked : ErrorCode.publisherBehind;
  const told = now.publisher.isBehind ? faulty(state, { code, text }, now) : [];
  return andThen(stepTo(heldNoMore(state, now), ...told), (next) => offerIfDue(next, now));
}
