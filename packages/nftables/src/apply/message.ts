/**
 * Messages between the sink and the applier, over a pipe or a socket pair, each way the same frame:
 *
 *   u32 header bytes │ u32 body bytes │ header, JSON │ body, columns of elements
 *
 * The applier trusts no message: check.ts has its checks. This file has the form of every frame.
 */

import type { Family } from '@rulecast/rules';
import type { KernelState } from '../kernel/listing.ts';
import { BODY_MAX_BYTES, HEADER_MAX_BYTES } from '../limits.ts';
import type { Change, Elements, NameSet, Tag, Verdicts } from '../plan/change.ts';
import type { Notice } from './tables.ts';

export type Request =
  /** Puts a change in force. */
  | { readonly kind: 'apply'; readonly change: Change }
  /** Makes a table that no packet gets to; until it is released or discarded, or another one is made. */
  | { readonly kind: 'stage'; readonly change: Change }
  /** Puts the one that was made under that tag in force. */
  | { readonly kind: 'release'; readonly tag: Tag }
  | { readonly kind: 'discard' }
  /**
   * The state of our table in the kernel: the elements of the named sets come in the body, and named maps are
   * compared with the digests in their names. `probes` and `classProbes`, in the body of the request, are
   * elements; the answer names the sets and class maps that lack any of them, whatever verdict they have.
   */
  | {
      readonly kind: 'look';
      readonly sets: readonly string[];
      readonly maps: readonly string[];
      readonly probes: readonly Elements[];
      readonly classProbes: readonly Verdicts[];
    }
  /** The lists that may open addresses in the table in force, for an applier that did not make it. */
  | { readonly kind: 'names'; readonly nameSets: readonly NameSet[] }
  /** By which lists an address is open to a qube, and as what; 8 or 32 hex digits each. */
  | { readonly kind: 'told'; readonly qube: string; readonly address: string }
  /**
   * Redirects questions of qubes to `rulecast-dns`: those to these resolvers, 8 or 32 hex digits each, and to
   * the addresses Qubes translates them to; null: none.
   */
  | { readonly kind: 'capture'; readonly resolvers: readonly string[] | null }
  | { readonly kind: 'counters' }
  /**
   * Clears the mark labels of all flows, except these marks and those of existing tables. Fails if the kernel
   * has no labels.
   */
  | { readonly kind: 'clear-marks'; readonly kept: readonly number[] };

/** An address that is open to a qube. */
export interface ToldName {
  readonly list: string;
  /** The name that DNS resolved; or a digest, if the kernel does not get the name. */
  readonly name: string;
  /**
   * Seconds since then; for an element that the applier found in the kernel, since it was added: by another
   * applier, for a release, or for a flow.
   */
  readonly agoS: number;
}

export interface NftRun {
  readonly milliseconds: number;
  /** Largest resident set of the applier in its life. */
  readonly peakBytes: number;
}

export type Reply =
  | { readonly kind: 'applied'; readonly run: NftRun }
  | { readonly kind: 'done' }
  | { readonly kind: 'told'; readonly names: readonly ToldName[] }
  | { readonly kind: 'state'; readonly state: KernelState }
  | {
      readonly kind: 'counters';
      readonly counters: Readonly<Record<string, readonly [number, number]>>;
      /** Addresses that are open to qubes by name. */
      readonly open: number;
    }
  /** The marks of existing tables. */
  | { readonly kind: 'marks'; readonly marks: readonly number[] }
  /** The request was refused or failed; what was in force still is. */
  | { readonly kind: 'failed'; readonly text: string };

export type ToApplier = { readonly id: number; readonly request: Request };
export type FromApplier =
  | { readonly id: number; readonly reply: Reply }
  /** Another program changed our part of the kernel; sent unasked. */
  | { readonly noticed: Notice }
  /**
   * Families in which no source says which address comes by which interface, so that no name opens anything.
   * Sent at the start, and when it changes.
   */
  | { readonly unpaired: readonly Family[] }
  /**
   * Why questions of qubes do not reach `rulecast-dns`; empty: they do, or are not captured. Sent once each.
   */
  | { readonly captured: string }
  /** Sent every second, so that a hung applier is noticed by its silence. */
  | { readonly alive: true }
  /** The applier behind the supervisor died: open requests are lost, and another one is started. */
  | { readonly died: true };

/** Bytes before the header. */
export const PREFIX_BYTES = 8;

export interface Frame {
  readonly header: unknown;
  readonly body: Uint8Array;
}

/** The pieces of a frame; the body's are the caller's own. Throws RangeError for one that is too large. */
export function frameOf(header: ToApplier | FromApplier, body: readonly Uint8Array[] = []): Uint8Array[] {
  return framed(Buffer.from(JSON.stringify(header)), body);
}

/** The same of a request with a change that is JSON already. */
export function changeFrame(
  id: number,
  kind: 'apply' | 'stage',
  json: Uint8Array,
  body: Uint8Array,
): Uint8Array[] {
  const before = Buffer.from(`{"id":${id},"request":{"kind":"${kind}","change":`);
  return framed(Buffer.concat([before, json, Buffer.from('}}')]), [body]);
}

function framed(text: Uint8Array, body: readonly Uint8Array[]): Uint8Array[] {
  const bodyBytes = body.reduce((sum, piece) => sum + piece.length, 0);
  if (text.length > HEADER_MAX_BYTES || bodyBytes > BODY_MAX_BYTES) {
    throw new RangeError(
      `the release is too large for one nftables transaction: ${text.length} bytes of rules (at most ${HEADER_MAX_BYTES}), ${bodyBytes} of elements (at most ${BODY_MAX_BYTES})`,
    );
  }
  const prefix = Buffer.alloc(PREFIX_BYTES);
  prefix.writeUInt32LE(text.length, 0);
  prefix.writeUInt32LE(bodyBytes, 4);
  return [prefix, text, ...body];
}

/** The content of a whole frame; the body is a copy. Throws SyntaxError if the header is not JSON. */
export function parseFrame(bytes: Buffer): Frame {
  const headerEnd = PREFIX_BYTES + bytes.readUInt32LE(0);
  return {
    header: JSON.parse(bytes.toString('utf8', PREFIX_BYTES, headerEnd)) as unknown,
    body: new Uint8Array(bytes.subarray(headerEnd)), // a Buffer's slice would be a view
  };
}

/** Cuts a byte stream into whole frames. An oversized frame is skipped, by the length it claims. */
export class FrameSplitter {
  #pieces: Buffer[] = [];
  #held = 0;
  #needed = PREFIX_BYTES; // bytes until the next step
  #skipped = 0; // bytes still to come of a frame that is too large

  /** Adds received bytes, and yields the complete frames. */
  *push(bytes: Buffer): Generator<Buffer> {
    const from = Math.min(this.#skipped, bytes.length);
    this.#skipped -= from;
    this.#pieces.push(bytes.subarray(from));
    this.#held += bytes.length - from;
    while (this.#held >= this.#needed) {
      const [only] = this.#pieces;
      const all = this.#pieces.length === 1 && only !== undefined ? only : Buffer.concat(this.#pieces);
      const headerBytes = all.readUInt32LE(0);
      const bodyBytes = all.readUInt32LE(4);
      const end = PREFIX_BYTES + headerBytes + bodyBytes;
      const isTooLarge = headerBytes > HEADER_MAX_BYTES || bodyBytes > BODY_MAX_BYTES;
      this.#pieces = [all];
      this.#needed = isTooLarge ? PREFIX_BYTES : end;
      if (this.#held < end && !isTooLarge) return;
      this.#skipped = Math.max(0, end - this.#held);
      this.#pieces = end < all.length ? [all.subarray(end)] : [];
      this.#held = Math.max(0, this.#held - end);
      this.#needed = PREFIX_BYTES;
      if (!isTooLarge) yield all.subarray(0, end);
    }
  }
}
