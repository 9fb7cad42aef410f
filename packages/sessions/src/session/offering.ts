/**
 * From OFFER to APPLIED: when the head is offered, which offer an answer belongs to, and the notes about it.
 * WIRE.md "Sessions": every OFFER is answered exactly once, in order.
 */

import {
  boundText,
  Capability,
  compareRelease,
  ErrorCode,
  entriesIn,
  hexOf,
  type MessageOf,
  NEVER,
  REFUSED_MAX,
  RETRY_AFTER_MS,
  TRANSFER_WINDOW_MS,
} from '@rulecast/protocol';
import type { SessionRelease } from '../host.ts';
import { misfitOf } from '../misfit.ts';
import type { HeldRelease } from '../subscribers/entry.ts';
import { heldNoMore, isHeld } from './asking.ts';
import { andThen, byTable, faulty, stepTo, stopped, withPeer } from './ending.ts';
import type {
  Confirming,
  Effect,
  Idle,
  Named,
  Now,
  Offer,
  Offered,
  Offering,
  Sending,
  Step,
  Window,
} from './state.ts';

/**
 * The one that is being answered, and the newest of those since: a peer that answers none is sent no third,
 * and the next answer brings the head.
 */
const UNANSWERED_MAX = 2;

/** The state with nothing outstanding. */
export function idle({ pulse, peer }: Named, retryAtMs = NEVER): Idle {
  return { kind: 'idle', pulse, peer, retryAtMs };
}

/** Whether two hashes are one, or both are of nothing. */
export function isSame(a: Uint8Array | undefined, b: Uint8Array | undefined): boolean {
  return a === undefined || b === undefined ? a === b : Buffer.from(a).equals(b);
}

// ── The head ───────────────────────────────────────────────────────────────────────────────────────────────

/** Offers the head, if the subscriber lacks it, may take it, and was not offered it last. */
export function offerIfDue(state: Named, now: Now): Step<Named> {
  const { head, isBehind } = now.publisher;
  const { peer } = state;
  if (head === undefined || peer.settled === head) return stepTo(state);
  if (isHeld(peer.asking)) return stepTo(state); // the claim may be above this head
  // freshness goes first, as a subscriber without a floor accepts nothing before it
  if (peer.asking.signing !== undefined) return stepTo(state);
  if (isBehind) return stepTo(state); // subscribers may have newer releases than this host
  if (state.kind === 'offered') {
    const isFull = state.unanswered.length >= UNANSWERED_MAX; // the next answer brings it
    if (isFull || state.offer.release === head) return stepTo(state);
  }
  if (isSame(peer.held?.hash, head.hash) || peer.refused.includes(hexOf(head.hash))) return stepTo(state);
  const lacking = head.capabilities.filter((one) => !peer.capabilities.includes(one));
  if (lacking.length > 0) return unsupported(state, head, lacking, now);
  const beyond = beyondLimits(state, head);
  if (beyond !== undefined) return tooLarge(state, head, beyond, now);
  return state.kind === 'idle' || state.kind === 'offered' ? offer(state, head, now) : stepTo(state);
}

function offer(state: Idle | Offered, head: SessionRelease, now: Now): Step<Offered> {
  const { hash, signatures, manifestBytes, manifest } = head;
  const { pulse, peer } = state;
  const { epoch, version } = manifest;
  const before = state.kind === 'offered' ? state.unanswered : [];
  return stepTo(
    {
      kind: 'offered',
      pulse,
      peer: { ...peer, settled: head },
      offer: { release: head, sentBefore: now.bytesSent },
      unanswered: [...before, { hash, epoch, version }],
    },
    { kind: 'send', message: { kind: 'offer', signatures, content: manifestBytes } },
  );
}

/** Why a release exceeds a subscriber's limits; undefined if it does not. */
function beyondLimits({ peer: { limits } }: Named, { manifest }: SessionRelease): string | undefined {
  const { parts, version } = manifest;
  const entries = entriesIn(manifest);
  if (parts <= limits.parts && entries <= limits.entries) return undefined;
  return `release ${version} has ${parts} parts and ${entries} entries, beyond its limits`;
}

/** Tells a subscriber once for each head that it lacks capabilities for it; it keeps its release. */
function unsupported(state: Named, head: SessionRelease, lacking: readonly string[], now: Now): Step<Named> {
  if (state.peer.told === head) return stepTo(state);
  const { text } = misfitOf(state.peer.name, lacking);
  const told = notOffered(withPeer(state, { told: head }), head, ErrorCode.unsupported, text, now);
  const { hash } = head;
  return stepTo(
    told.state,
    { kind: 'send', message: { kind: 'unsupported', hash, capabilities: lacking, text } },
    ...told.effects,
  );
}

function tooLarge(state: Named, head: SessionRelease, text: string, now: Now): Step<Named> {
  return notOffered(state, head, ErrorCode.overLimit, text, now);
}

function notOffered(
  state: Named,
  { manifest }: SessionRelease,
  code: ErrorCode,
  text: string,
  now: Now,
): Step<Named> {
  const { epoch, version } = manifest;
  const outcome = {
    subscriber: state.peer.name,
    state: 'refused',
    epoch,
    version,
    bytes: 0,
    code,
    text,
  } as const;
  return stepTo(state, ...faulty(state, { code, text }, now), { kind: 'settle', outcome });
}

// ── Answers ────────────────────────────────────────────────────────────────────────────────────────────────

type Answer = MessageOf<'want' | 'applied' | 'nack'>;

/**
 * Handles an answer. One for a release not offered here, or answered before, is out of place; the numbers are
 * those of the offer.
 */
export function offerAnswered(state: Named, message: Answer, now: Now): Step {
  switch (state.kind) {
    case 'idle':
      return byTable(state, 'other', now);
    case 'proving':
      if (!isSame(state.claim.hash, message.hash)) return byTable(state, 'other', now);
      if (message.kind === 'want') return byTable(state, 'wantOther', now);
      return message.kind === 'nack' ? diverged(state, now) : misnumbered(state, message, now);
    case 'offered':
      return answeredInTurn(state, message, now);
    case 'sending':
    case 'confirming':
      if (!isSame(state.offer.release.hash, message.hash)) return byTable(state, 'other', now);
      return answeredLatest(state, message, now);
  }
}

function answeredInTurn(state: Offered, message: Answer, now: Now): Step {
  const at = state.unanswered.findIndex(({ hash }) => isSame(hash, message.hash));
  const answered = state.unanswered[at];
  if (answered === undefined) return byTable(state, 'other', now);
  const unanswered = state.unanswered.slice(at + 1);
  if (unanswered.length === 0) return answeredLatest(state, message, now);
  const waiting: Offered = { ...state, unanswered };
  switch (message.kind) {
    case 'want':
      return offerIfDue(waiting, now); // the head may have waited for this answer
    case 'applied':
      return isNumbered(message, answered)
        ? applied(state.offer, waiting, message, now)
        : misnumbered(state, message, now);
    case 'nack':
      return refused(state.offer, waiting, message, now);
  }
}

function answeredLatest(state: Offering, message: Answer, now: Now): Step {
  const { release } = state.offer;
  switch (message.kind) {
    case 'want': {
      const isAgain = state.kind !== 'offered' && state.isChain && message.base === undefined;
      if (state.kind === 'offered' || (state.kind === 'confirming' && isAgain)) {
        return transfer(state, message);
      }
      return byTable(state, isAgain ? 'wantSnapshot' : 'want', now);
    }
    case 'applied':
      if (!isNumbered(message, release.manifest)) return misnumbered(state, message, now);
      if (state.kind === 'sending') return byTable(state, 'applied', now);
      return applied(state.offer, idle(state), message, now);
    case 'nack': {
      const next = refused(state.offer, idle(state), message, now);
      // After ABORT, for it may bring the next OFFER.
      return state.kind === 'sending' ? andThen(stepTo(state, ABORT), () => next) : next;
    }
  }
}

function isNumbered(message: MessageOf<'applied'>, release: Pick<HeldRelease, 'epoch' | 'version'>): boolean {
  return compareRelease(message, release) === 0;
}

function misnumbered(state: Named, { epoch, version }: MessageOf<'applied'>, now: Now): Step {
  const text = `it says that it applied ${epoch}/${version}, and was offered another release`;
  return stopped(state, { code: ErrorCode.badMessage, text }, now);
}

/** A claim above the head without a proof. */
export function diverged(state: Named, now: Now): Step<Named> {
  const text = 'it claims a release above the head and has no proof of it';
  const told = stepTo(
    idle(state),
    { kind: 'note', note: { diverged: true } },
    ...faulty(state, { code: ErrorCode.unknownRelease, text }, now),
    { kind: 'log', level: 'warn', fields: { subscriber: state.peer.name }, text },
  );
  return andThen(told, (next) => offerIfDue(heldNoMore(next, now), now));
}

// ── Transfers ──────────────────────────────────────────────────────────────────────────────────────────────

const ABORT: Effect = {
  kind: 'send',
  message: { kind: 'abort', code: ErrorCode.badTransfer, text: 'the transfer was given up' },
};

function transfer(state: Offered | Confirming, { base, has }: MessageOf<'want'>): Step<Sending> {
  const { pulse, offer } = state;
  const { release } = offer;
  const number = state.peer.transfers + 1;
  const isPlain = peerInflatesNothing(state);
  const peer = { ...state.peer, transfers: number };
  return stepTo(
    { kind: 'sending', pulse, peer, offer, transfer: number, window: undefined, isChain: false },
    { kind: 'note', note: { receiving: true } },
    { kind: 'transfer', transfer: number, name: peer.name, release, base, isPlain, has },
  );
}

function peerInflatesNothing({ peer }: Named): boolean {
  return peer.capabilities.includes(Capability.noDeflate);
}

/** Transfers are checked window by window: one byte now and then does not keep one going. */
export function windowFrom(now: Now): Window {
  return { endsAtMs: now.monotonicMs + TRANSFER_WINDOW_MS, sentBefore: now.bytesSent };
}

export function transferBegun(state: Sending, isChain: boolean, now: Now): Step<Sending> {
  return stepTo({ ...state, isChain, window: windowFrom(now) });
}

/** END, or ABORT in its place, was sent: an answer is due. */
export function transferOver(state: Sending, isWhole: boolean): Step<Confirming> {
  const { pulse, peer, offer, isChain } = state;
  return stepTo({ kind: 'confirming', pulse, peer, offer, isChain }, ...(isWhole ? [] : [ABORT]));
}

// ── What is noted ──────────────────────────────────────────────────────────────────────────────────────────

function applied(
  { sentBefore }: Offer,
  next: Idle | Offered,
  message: MessageOf<'applied'>,
  now: Now,
): Step<Named> {
  const { hash, epoch, version, persisted } = message;
  const { name } = next.peer;
  const bytes = now.bytesSent - sentBefore;
  const held = { hash, epoch, version };
  const note = {
    receiving: false,
    bytesSent: now.bytesSent,
    held,
    appliedAtMs: now.wallMs,
    applyMs: message.receiveMs + message.verifyMs + message.compileMs + message.flipMs,
    persisted,
    lastError: undefined,
    diverged: false,
    hasApplied: true,
  };
  const outcome = { subscriber: name, state: 'applied', epoch, version, bytes, persisted } as const;
  const told = stepTo(
    withPeer(next, { held, claim: held }),
    { kind: 'note', note },
    { kind: 'log', level: 'info', fields: { subscriber: name, epoch, version, bytes }, text: 'applied' },
    { kind: 'settle', outcome },
  );
  return andThen(told, (state) => offerIfDue(state, now));
}

function refused(
  { release, sentBefore }: Offer,
  next: Idle | Offered,
  nack: MessageOf<'nack'>,
  now: Now,
): Step<Named> {
  const { code, retry } = nack;
  const text = nack.part === undefined ? nack.text : `${nack.part}: ${nack.text}`;
  const reason = { code, text: boundText(text), atMs: now.wallMs };
  const hash = hexOf(nack.hash);
  const effects: Effect[] = [
    { kind: 'note', note: { receiving: false, bytesSent: now.bytesSent, lastError: reason } },
    { kind: 'changed' },
  ];
  if (retry === 'never') effects.push({ kind: 'refuse', hash, reason });
  if (next.kind === 'idle') {
    const { epoch, version } = release.manifest;
    const subscriber = next.peer.name;
    const bytes = now.bytesSent - sentBefore;
    effects.push(
      {
        kind: 'log',
        level: 'warn',
        fields: { subscriber, epoch, version, code, retry },
        text: `refused: ${text}`,
      },
      { kind: 'settle', outcome: { subscriber, state: 'refused', epoch, version, bytes, code, text } },
    );
  }
  return andThen(stepTo(afterRefusal(next, nack, hash, now), ...effects), (state) => offerIfDue(state, now));
}

/**
 * After a refusal: for good, or until the next offer, for the last offer only, as a newer one replaces it.
 */
function afterRefusal(
  next: Idle | Offered,
  { retry, retryAfterMs = RETRY_AFTER_MS }: MessageOf<'nack'>,
  hash: string,
  now: Now,
): Named {
  if (retry === 'never') {
    const others = next.peer.refused.filter((other) => other !== hash);
    return withPeer(next, { refused: [...others, hash].slice(-REFUSED_MAX) });
  }
  return next.kind === 'idle' ? { ...next, retryAtMs: now.monotonicMs + retryAfterMs } : next;
}

/** The pause that a subscriber asked for is over. */
export function offeredAgain(state: Idle, now: Now): Step<Named> {
  return offerIfDue(withPeer(idle(state), { settled: undefined }), now);
}

// ── What PING and PONG say ─────────────────────────────────────────────────────────────────────────────────

/**
 * Corrects the status if another release is in force than recorded, and offers the head again. If it is the
 * head, earlier errors are over.
 */
export function activeNoted(
  state: Named,
  { hash, ageMs }: MessageOf<'ping' | 'pong'>,
  now: Now,
): Step<Named> {
  const { peer } = state;
  const { held: before, claimed, settled } = peer;
  const { head, isBehind } = now.publisher;
  const isWell = head !== undefined && isSame(head.hash, hash) && !isBehind;
  const well: readonly Effect[] = isWell ? [{ kind: 'well' }] : [];
  if (isSame(before?.hash, hash)) return stepTo(state, ...well);
  const held = releaseOf(hash, claimed, now);
  if (before === undefined && held === undefined) return stepTo(state); // still no release in force
  const { epoch, version } = held ?? { epoch: 0, version: 0 };
  const appliedAtMs = ageMs === undefined ? undefined : Math.max(0, now.wallMs - ageMs);
  const text = 'another release is in force there than it said: the status follows';
  const isLost = before !== undefined && isSame(before.hash, settled?.hash); // it acknowledged it, and has it not
  const next = withPeer(state, { held, isCorrected: true, settled: isLost ? undefined : settled });
  const told = stepTo(
    next,
    ...(peer.isCorrected
      ? []
      : [{ kind: 'log', level: 'warn', fields: { subscriber: peer.name, epoch, version }, text } as const]),
    { kind: 'note', note: { held, appliedAtMs, applyMs: undefined, persisted: undefined } },
    { kind: 'changed' },
    ...well,
  );
  return isLost ? andThen(told, (known) => offerIfDue(known, now)) : told;
}

function releaseOf(
  hash: Uint8Array | undefined,
  claimed: HeldRelease | undefined,
  { publisher }: Now,
): HeldRelease | undefined {
  if (hash === undefined) return undefined;
  const number = publisher.numberOf(hash);
  if (number !== undefined) return { hash, ...number };
  return isSame(claimed?.hash, hash) ? claimed : undefined;
}
