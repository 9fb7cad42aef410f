/** The interface to one mirror of a depot. DEPOT.md "Files". */

import type { ObjectReference } from '@rulecast/protocol';

/** A mirror failed to deliver: a sentence for people. Another mirror, or a later try, may succeed. */
export class SourceError extends Error {}

/** Bounds the time and the memory of each answer. Methods throw SourceError. */
export interface DepotSource {
  /** For people. */
  readonly name: string;
  /** At most DEPOT_HEAD_MAX_BYTES; undefined: the same as before, which is given once more if `isAgain`. */
  head(isAgain?: boolean): Promise<Uint8Array | undefined>;
  /** As many bytes as the reference says, not compared with it; past caches, if `isAgain`. */
  object(reference: ObjectReference, isAgain: boolean): Promise<Uint8Array>;
  /** Posts 1 to REPORTS_MAX reports, and returns the answer to each. */
  report(reports: readonly Uint8Array[]): Promise<readonly Uint8Array[]>;
  /** Only for a source that learns of heads at once: calls back when there may be one. */
  onHead?(listener: () => void): void;
  /** Ends downloads under way. */
  close(): void;
}
