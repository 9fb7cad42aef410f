/**
 * From OFFER to APPLIED or NACK: the steps of machine.ts that are about a release. Pure.
 *
 *   offer ─▶ wanting ─begin─▶ receiving ─end─▶ applying ─applied─▶ idle
 *               ▲                 │ refused        │ refused ─▶ idle
 *               │                 ▼                │
 *               │              draining ─▶ idle    │
 *               └─────────── overBudget ───────────┘
 */

import {
  boundText,
  ErrorCode,
  type MessageOf,
  moved,
  RESUMED_MIN_BYTES,
  streamMaxBytes,
  windowFrom,
} from '@rulecast/protocol';
import type { VerifiedOffer } from '../apply/offer.ts';
import { FULL_PATIENCE, failed, needsSnapshot, pauseLeftMs } from './patience.ts';
import { remembered } from './refusals.ts';
import {
  type Applying,
  type Cut,
  type Draining,
  dropped,
  type Effect,
  type Idle,
  idle,
  isSame,
  type LinkedState,
  linked,
  type Memory,
  type Nack,
  nackOfTrouble,
  type Outcome,
  type Receiving,
  type Refused,
  type Step,
  sayApplied,
  sayLearned,
  sayNack,
  send,
  streamFault,
  type TableEvent,
  type Transfer,
  type Want,
  type Wanting,
} from './states.ts';

export function takeOffer(state: Idle | Wanting, event: TableEvent): Step | undefined {
  switch (event.kind) {
    case 'offer': {
      const { offer } = event;
      const base = needsSnapshot(state.memory.patience, offer.hash) ? undefined : state.held?.hash;
      const { cut } = state.memory;
      const isOther = cut !== undefined && !isSame(cut.hash, offer.hash);
      const { state: wanting, effects } = want(isOther ? uncut(state) : state, { offer, base });
      const drop: readonly Effect[] = isOther ? [{ kind: 'drop' }] : [];
      return { state: wanting, effects: [...drop, ...effects] };
    }
    case 'offerActive':
      return { state: idle(state), effects: sayApplied(state.held, state.figures, event.generation) };
    case 'offerRefused': {
      const { nack, isForGood } = event;
      const { memory } = state;
      const refusals = isForGood ? remembered(memory.refusals, nack) : memory.refusals;
      return { state: { ...idle(state), memory: { ...memory, refusals } }, effects: sayNack(nack) };
    }
    default:
      return undefined;
  }
}

/** Forgets the cut transfer, which must not be resumed. */
function uncut<S extends LinkedState>(state: S): S {
  return { ...state, memory: { ...state.memory, cut: undefined } };
}

/** The resumable part of a large snapshot, when its connection ends. */
export function cutOf({ offer, base, stream, bytes, receivedBytes }: Transfer): Cut | undefined {
  if (base !== undefined || stream === undefined || receivedBytes === 0) return undefined;
  if (bytes < RESUMED_MIN_BYTES) return undefined;
  return { hash: offer.hash, stream, bytes, receivedBytes };
}

export function want(state: LinkedState, wanted: Want): Step {
  const { offer, base } = wanted;
  const { cut } = state.memory;
  const has = cut && { stream: cut.stream, bytes: cut.receivedBytes };
  return {
    state: { kind: 'wanting', ...linked(state), want: wanted },
    effects: [send({ kind: 'want', hash: offer.hash, base, has })],
  };
}

export function takeBegin(state: Wanting, begin: MessageOf<'begin'>, nowMs: number): Step {
  const { offer, base } = state.want;
  const { bytes, stream, from: receivedBytes = 0 } = begin;
  const from = begin.snapshot === true ? undefined : base;
  const transfer = { offer, base: from, stream, bytes, receivedBytes, beganAtMs: nowMs };
  const receiving: Receiving = {
    kind: 'receiving',
    ...linked(uncut(state)),
    transfer,
    window: windowFrom(nowMs),
  };
  const mostBytes = Math.min(state.self.limits.bytes, streamMaxBytes(offer.manifest));
  const fault = beginFault(begin, base, mostBytes) ?? resumeFault(begin, state.memory.cut);
  if (fault !== undefined) return refuse(receiving, fault, nowMs);
  return { state: receiving, effects: receivedBytes > 0 ? [] : [{ kind: 'stage', bytes }] };
}

/** The fault of an announced transfer, if any. */
export function beginFault(
  begin: MessageOf<'begin'>,
  base: Uint8Array | undefined,
  mostBytes: number,
): Refused | undefined {
  if (begin.snapshot !== true && base === undefined) {
    return streamFault(ErrorCode.badBase, 'a chain of deltas came where a snapshot was wanted');
  }
  if (begin.bytes <= mostBytes) return undefined;
  const text = `a transfer of ${begin.bytes} bytes is over the limit of ${mostBytes} for this release here`;
  return streamFault(ErrorCode.overLimit, text);
}

/** A resumed transfer must be the one that was cut, from the place where it was cut. */
function resumeFault(
  { snapshot, stream, bytes, from }: MessageOf<'begin'>,
  cut: Cut | undefined,
): Refused | undefined {
  if (from === undefined) return undefined;
  const isIt =
    snapshot === true &&
    cut !== undefined &&
    stream !== undefined &&
    isSame(stream, cut.stream) &&
    bytes === cut.bytes &&
    from === cut.receivedBytes;
  if (isIt) return undefined;
  return streamFault(ErrorCode.badTransfer, 'the transfer goes on where none was cut');
}

export function receive(state: Receiving, event: TableEvent, nowMs: number): Step | undefined {
  const { transfer } = state;
  switch (event.kind) {
    case 'chunk': {
      const { bytes } = event;
      const receivedBytes = transfer.receivedBytes + bytes.length;
      if (receivedBytes > transfer.bytes) {
        const fault = streamFault(ErrorCode.badTransfer, 'the transfer is longer than announced');
        return refuse(state, fault, nowMs);
      }
      const window = moved(state.window, bytes.length, nowMs);
      return {
        state: { ...state, transfer: { ...transfer, receivedBytes }, window },
        effects: [{ kind: 'keep', bytes }],
      };
    }
    case 'end': {
      const { offer, base, bytes, receivedBytes } = transfer;
      const receiveMs = nowMs - transfer.beganAtMs;
      const applying: Applying = {
        kind: 'applying',
        ...linked(state),
        offer,
        isChain: base !== undefined,
        receiveMs,
      };
      if (receivedBytes < bytes) {
        const text = `the transfer ended after ${receivedBytes} of ${bytes} bytes`;
        return refuse(applying, streamFault(ErrorCode.badTransfer, text), nowMs);
      }
      return { state: applying, effects: [{ kind: 'apply', offer, base }] };
    }
    case 'abort':
      return takeAbort(state, transfer.offer, event);
    case 'refused':
      return refuse(state, event, nowMs);
    default:
      return undefined;
  }
}

export function drain(state: Draining, event: TableEvent, nowMs: number): Step | undefined {
  switch (event.kind) {
    case 'chunk':
      return { state: { ...state, window: moved(state.window, event.bytes.length, nowMs) }, effects: [] };
    case 'end':
    case 'abort':
      return { state: idle(state), effects: [] };
    default:
      return undefined;
  }
}

export function conclude(state: Applying, event: TableEvent, nowMs: number): Step | undefined {
  const { offer, isChain, receiveMs } = state;
  switch (event.kind) {
    case 'applied': {
      const { held } = event;
      const figures = { ...event.figures, receiveMs };
      const memory = learned(state.memory, { hash: offer.hash, isChain }, event, undefined, nowMs);
      const next = { ...idle(state), memory, held, figures };
      const said =
        next.trouble === undefined
          ? sayApplied(held, figures, figures.generation)
          : sayNack(nackOfTrouble(held.hash, next.trouble));
      return { state: next, effects: [...said, ...sayLearned(next)] };
    }
    case 'refused':
      return refuse(state, event, nowMs);
    case 'overBudget': {
      const memory = learned(state.memory, { hash: offer.hash, isChain }, event, undefined, nowMs);
      return want({ ...state, memory }, { offer, base: undefined });
    }
    default:
      return undefined;
  }
}

export function takeAbort(
  state: Wanting | Receiving,
  { hash }: VerifiedOffer,
  { code, text }: { readonly code: string; readonly text: string },
): Step {
  const reason = `the publisher gave up: ${text}`;
  const nack: Nack = {
    kind: 'nack',
    hash,
    code,
    text: boundText(reason),
    retry: 'later',
    keeps: state.held?.hash,
  };
  return { state: idle(state), effects: [...dropped(state), send(nack)] };
}

/** Refuses what is being received or applied; the rest of a transfer is thrown away. */
export function refuse(state: Receiving | Applying, event: Refused, nowMs: number): Step {
  const isChain = state.kind === 'applying' ? state.isChain : state.transfer.base !== undefined;
  const { hash } = state.kind === 'applying' ? state.offer : state.transfer.offer;
  const said = nackOf(event, hash, state.held?.hash);
  const memory = learned(state.memory, { hash, isChain }, event, said, nowMs);
  const isPaused = event.blame === 'stream';
  const nack = isPaused ? { ...said, retryAfterMs: pauseLeftMs(memory.patience, nowMs) } : said;
  const next: Draining | Idle =
    state.kind === 'applying'
      ? idle(state)
      : { kind: 'draining', ...linked(state), window: windowFrom(nowMs) };
  return { state: { ...next, memory }, effects: [...dropped(state), ...sayNack(nack)] };
}

/**
 * The NACK for a refusal. Only a fault in the signed content is for good; any other counts against the
 * channel.
 */
export function nackOf(
  { blame, code, text, part, entry }: Refused,
  hash: Uint8Array,
  keeps: Uint8Array | undefined,
): Nack {
  const retry = blame === 'signed' ? 'never' : 'later';
  return { kind: 'nack', hash, code, text: boundText(text), part, entry, retry, keeps };
}

/** The memory after an outcome: what it means for later releases and channels. */
export function learned(
  memory: Memory,
  { hash, isChain }: { readonly hash: Uint8Array; readonly isChain: boolean },
  outcome: Outcome,
  nack: Nack | undefined,
  nowMs: number,
): Memory {
  switch (outcome.kind) {
    case 'applied':
      return { ...memory, patience: FULL_PATIENCE };
    case 'overBudget':
      return { ...memory, patience: { ...memory.patience, failedChain: hash } };
    case 'refused':
      if (outcome.blame === 'stream') {
        return { ...memory, patience: failed(memory.patience, hash, isChain, nowMs) };
      }
      if (nack?.retry !== 'never') return memory;
      return { ...memory, refusals: remembered(memory.refusals, nack) };
  }
}
