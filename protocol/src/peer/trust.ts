/**
 * Trust lines, by which a subscriber recognises its publisher, given out of band: the lineage, and a root of
 * it by its hash. Any root does, as the later ones follow from it.
 *
 *   rulecast2:<lineage, 32 hex digits>:<SHA-256 of the root, 64 hex digits>
 */

import { hexOf } from '../bytes/words.ts';

const TRUST_LINE = /^rulecast2:([0-9a-f]{32}):([0-9a-f]{64})$/;
/** The trust line of Rulecast 0.1, whose publishers had one key and no roots. */
const FORMER_LINE = /^rulecast1:/;

export interface Trust {
  /** 16 bytes, made with the first root. */
  readonly lineage: Uint8Array;
  /** 32 bytes, of a root of that lineage. */
  readonly rootHash: Uint8Array;
}

/** The trust line of a lineage; it holds no secret. */
export function formatTrust({ lineage, rootHash }: Trust): string {
  return `rulecast2:${hexOf(lineage)}:${hexOf(rootHash)}`;
}

/** Reads a trust line; surrounding white space is ignored. Undefined if it is none. */
export function parseTrust(text: string): Trust | undefined {
  const [lineage, rootHash] = (TRUST_LINE.exec(text.trim()) ?? [])
    .slice(1)
    .map((hex) => new Uint8Array(Buffer.from(hex, 'hex')));
  return lineage === undefined || rootHash === undefined ? undefined : { lineage, rootHash };
}

/** A message on a text that is not a trust line. */
export function trustFault(text: string): string {
  return FORMER_LINE.test(text.trim())
    ? 'a trust line of Rulecast 0.1, which says nothing of the publisher of now: put what rulecast-publisher --print-trust prints in its place'
    : 'no trust line';
}
