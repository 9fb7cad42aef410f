/**
 * What was taken last of the rules file, as a row of the store. It is written in the transaction of the
 * release that it made, so that no crash, and no older store that is put back, parts the two.
 */

import type { OwnedParts } from '@rulecast/formats';

export interface TakenRules {
  /** Of the document and the files that it names. */
  readonly digest: string;
  /** The parts that it gave. */
  readonly parts: OwnedParts;
}

export function encodeTaken({ digest, parts }: TakenRules): Uint8Array {
  const { lists, policies, unmatched } = parts;
  return Buffer.from(JSON.stringify({ digest, lists: [...lists], policies: [...policies], unmatched }));
}

/** Undefined for what is damaged: the file is then taken as one that is new. */
export function decodeTaken(bytes: Uint8Array | undefined): TakenRules | undefined {
  if (bytes === undefined) return undefined;
  try {
    const { digest, lists, policies, unmatched } = JSON.parse(Buffer.from(bytes).toString());
    if (typeof digest !== 'string' || !isNames(lists) || !isNames(policies)) return undefined;
    const parts = { lists: new Set(lists), policies: new Set(policies), unmatched: unmatched === true };
    return { digest, parts };
  } catch {
    return undefined;
  }
}

function isNames(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((name) => typeof name === 'string');
}
