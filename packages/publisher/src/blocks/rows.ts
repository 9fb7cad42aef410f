/**
 * Rows: the requests of `rulectl block`, `allow` and `cut`, kept in the store beside the releases. A row
 * records the intent; each release makes rules of it (compile.ts). Pure.
 */

import { BLOCK_VERBS, type BlockVerb } from '@rulecast/protocol';
import {
  bitsOf,
  formatAddress,
  formatPrefix,
  parseAddress,
  parseHostName,
  parsePrefix,
  type Remote,
} from '@rulecast/rules';

/** Rows, and lists that their names are gathered in. Our choice: what is more belongs into a list. */
export const ROWS_MAX = 1000;
export const ROWS_LISTS_MAX = 64;

export interface Row {
  /** Never given twice. */
  readonly id: number;
  readonly verb: BlockVerb;
  /** In normal form; absent of a `cut`. */
  readonly target?: string | undefined;
  /** Address of the qube; absent: all qubes. */
  readonly qube?: string | undefined;
  /** Seconds since 1970, both; `until` absent: it has no end. */
  readonly at: number;
  readonly until?: number | undefined;
  readonly by: string;
  readonly comment?: string | undefined;
}

export interface Rows {
  /** The number of the next one. */
  readonly next: number;
  /** The newest last. */
  readonly rows: readonly Row[];
}

export const NO_ROWS: Rows = { next: 1, rows: [] };

/** The address, prefix, name or list that a row is about. */
export type Target = Exclude<Remote, { readonly kind: 'any' }>;

/** Undefined for an invalid target. */
export function targetOf(text: string): Target | undefined {
  if (text.startsWith('@')) return { kind: 'list', list: text.slice(1) };
  const prefix = parsePrefix(text);
  if (typeof prefix !== 'string') return { kind: 'prefix', prefix };
  const named = parseHostName(text);
  return named.kind === 'name' ? { kind: 'name', name: named.name } : undefined;
}

/** As people write it: a single address without its length. */
export function targetText(target: Target): string {
  switch (target.kind) {
    case 'prefix': {
      const { prefix } = target;
      return prefix.length === bitsOf(prefix.family) ? formatAddress(prefix) : formatPrefix(prefix);
    }
    case 'name':
      return target.name;
    case 'list':
      return `@${target.list}`;
  }
}

/**
 * A row ends when both the wall clock and the time that this process has run say so: a clock that is set
 * forward ends no cut early.
 */
export class RowEnds {
  readonly #nowMs: () => number;
  readonly #monotonicMs: () => number;
  readonly #endsMs = new WeakMap<Row, number>();

  constructor(nowMs: () => number, monotonicMs: () => number) {
    this.#nowMs = nowMs;
    this.#monotonicMs = monotonicMs;
  }

  /** Milliseconds up to the end, by the clock that is behind; 0 or less: it has ended. */
  leftMs(row: Row): number {
    const { at, until } = row;
    if (until === undefined) return Number.POSITIVE_INFINITY;
    const leftMs = until * 1000 - this.#nowMs();
    const monotonicMs = this.#monotonicMs();
    // The limit is for a clock that starts in 1970 and is set right later.
    const endMs = this.#endsMs.get(row) ?? monotonicMs + Math.min(leftMs, (until - at) * 1000);
    this.#endsMs.set(row, endMs);
    return Math.max(leftMs, endMs - monotonicMs);
  }

  /** The rows that have not ended; the same object if none has. */
  active(rows: Rows): Rows {
    const active = rows.rows.filter((row) => this.leftMs(row) > 0);
    return active.length === rows.rows.length ? rows : { ...rows, rows: active };
  }
}

/** For people and records: `block ads.example for 10.137.0.5`. */
export function rowText({ verb, target, qube }: Pick<Row, 'verb' | 'target' | 'qube'>): string {
  if (target === undefined) return `${verb} ${qube}`;
  return `${verb} ${target}${qube === undefined ? '' : ` for ${qube}`}`;
}

export function encodeRows(rows: Rows): Uint8Array {
  return Buffer.from(JSON.stringify(rows));
}

/** Throws TypeError and SyntaxError for what is damaged: to lose a row could open something. */
export function decodeRows(bytes: Uint8Array | undefined): Rows {
  if (bytes === undefined) return NO_ROWS;
  const { next, rows }: Rows = JSON.parse(Buffer.from(bytes).toString());
  if (!Number.isSafeInteger(next) || !Array.isArray(rows)) throw new TypeError('rows are damaged');
  for (const row of rows) if (!isRow(row, next)) throw new TypeError('a row is damaged');
  return { next, rows };
}

function isRow({ id, verb, target, qube, at, until, by, comment }: Row, next: number): boolean {
  return (
    [id, at, until ?? 0].every(Number.isSafeInteger) &&
    id < next &&
    BLOCK_VERBS.includes(verb) &&
    (verb === 'cut' ? target === undefined : targetOf(String(target)) !== undefined) &&
    (qube === undefined ? verb === 'block' : canonicalAddress(String(qube)) === qube) &&
    [by, comment ?? ''].every((text) => typeof text === 'string')
  );
}

/** Undefined for an invalid address. */
export function canonicalAddress(text: string): string | undefined {
  const address = parseAddress(text);
  return address && formatAddress(address);
}
