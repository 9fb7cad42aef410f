/**
 * The questions to the content owner, and its answers: plain data, copied to and from its thread, except
 * large arrays, which are moved.
 *
 *   verify ─▶ candidate ─ aim ─ compile ─▶ prepared ─ flipTable ─ flipped ─▶ active
 *                └──────────── dropped ──▶ forgotten
 */

import { type ErrorCode, ProtocolError } from '@rulecast/protocol';
import type { Environment, Packet, RuleSet } from '@rulecast/rules';
import {
  type Explanation,
  type TableEngineCode,
  TableEngineError,
  type TableFlip,
  type TableHandle,
  type TableHits,
  type TableOptions,
  type TableStats,
} from '@rulecast/table';
import type { Ends } from '../clock/expiry.ts';
import { SignedFault } from '../verify/verify.ts';

/** Facts about a rule set, for code that does not have it. */
export interface ReleaseFacts {
  /** Packets alone cannot enforce it: DNS must judge names. */
  readonly needsDns: boolean;
  /** Names open addresses. */
  readonly opensNames: boolean;
  readonly ends: Ends;
}

export interface ContentOptions {
  readonly table: TableOptions;
  /** The rule set before the first release, and under every release that decides nothing. */
  readonly boot: RuleSet;
  /** The rule set in place of any release while the firewall is shut. */
  readonly shut: RuleSet;
  /** For the plans of a sink that has them made here, as @rulecast/nftables says; undefined: none are. */
  readonly plans: unknown;
  /** Whether names are judged, for which `names` is asked. */
  readonly judgesNames: boolean;
}

/** The generation and the place of a compiled table. */
export interface Compiled extends TableFlip {
  readonly generation: number;
}

/** Each question with its answer. */
export interface ContentQuestions {
  /** The first question. The handle is that of the table of a dead predecessor. */
  begin: {
    readonly asks: { readonly options: ContentOptions; readonly handle: TableHandle | undefined };
    readonly answer: TableHandle;
  };
  /** Verifies a stream; what it makes is the candidate. `base`: the release that it starts from. */
  verify: {
    readonly asks: {
      readonly hash: Uint8Array;
      readonly base: Uint8Array | undefined;
      readonly stream: Uint8Array;
      readonly manifestBytes: Uint8Array;
      readonly entriesMax: number;
    };
    readonly answer: ReleaseFacts;
  };
  /** Verifies a stored release, which becomes the active one. */
  restore: {
    readonly asks: {
      readonly hash: Uint8Array;
      readonly streams: readonly Uint8Array[];
      readonly manifestBytes: Uint8Array;
    };
    readonly answer: ReleaseFacts;
  };
  /** A whole release as a stream that starts from nothing. */
  snapshot: { readonly asks: { readonly of: 'active' | 'candidate' }; readonly answer: Uint8Array };
  /** Selects the rule set for `plans`, `ruleSet`, `names` and `compile`. */
  aim: {
    readonly asks: {
      readonly at: 'boot' | 'active' | 'candidate';
      readonly isShut: boolean;
      readonly environment: Environment;
    };
    readonly answer: undefined;
  };
  compile: { readonly asks: object; readonly answer: Compiled };
  /**
   * Reports that the last compiled table is in force, by `flipTable`; if it was the candidate's, that is
   * active now.
   */
  flipped: { readonly asks: { readonly generation: number }; readonly answer: undefined };
  /** The candidate is not to be in force. */
  dropped: { readonly asks: object; readonly answer: undefined };
  /** A question to the plans of a sink. */
  plans: { readonly asks: { readonly question: unknown }; readonly answer: unknown };
  /** A copy. */
  ruleSet: { readonly asks: object; readonly answer: RuleSet };
  /** The names part of the selected rule set. */
  names: { readonly asks: object; readonly answer: RuleSet };
  /** `told`: lists through whose names DNS gave this qube the address. */
  explain: {
    readonly asks: { readonly packet: Packet; readonly told: readonly string[] };
    readonly answer: Explanation;
  };
  hits: { readonly asks: object; readonly answer: TableHits };
  stats: { readonly asks: object; readonly answer: TableStats };
  evict: { readonly asks: { readonly slot: number }; readonly answer: undefined };
}

export type ContentKind = keyof ContentQuestions;
export type ContentQuestion = {
  readonly [K in ContentKind]: { readonly kind: K } & ContentQuestions[K]['asks'];
}[ContentKind];
export type ContentAnswer = ContentQuestions[ContentKind]['answer'];

export type ContentReply =
  | { readonly kind: 'answer'; readonly answer: ContentAnswer }
  | { readonly kind: 'fault'; readonly fault: ContentFault }
  /** Verifying makes progress. */
  | { readonly kind: 'step' };

/** A thrown error, reduced to the fields that decide about it. */
export interface ContentFault {
  readonly kind: 'signed' | 'protocol' | 'range' | 'engine' | 'other';
  readonly code: string;
  readonly message: string;
  readonly part: string | undefined;
  readonly entry: number | undefined;
}

export function faultOf(error: unknown): ContentFault {
  const message = error instanceof Error ? error.message : String(error);
  const fault = { kind: 'other', code: '', message, part: undefined, entry: undefined } as const;
  if (error instanceof ProtocolError) {
    const { code, part, entry } = error;
    return { kind: error instanceof SignedFault ? 'signed' : 'protocol', code, message, part, entry };
  }
  if (error instanceof TableEngineError) return { ...fault, kind: 'engine', code: error.code };
  return error instanceof RangeError ? { ...fault, kind: 'range' } : fault;
}

/** The error that a fault was. */
export function errorOf({ kind, code, message, part, entry }: ContentFault): Error {
  switch (kind) {
    case 'signed':
      return new SignedFault(code as ErrorCode, message, { part, entry });
    case 'protocol':
      return new ProtocolError(code as ErrorCode, message, { part, entry });
    case 'engine':
      return new TableEngineError(code as TableEngineCode, message);
    case 'range':
      return new RangeError(message);
    case 'other':
      return new Error(message);
  }
}
