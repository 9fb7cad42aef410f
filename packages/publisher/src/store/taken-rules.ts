/**
 * The rules file's content released last, as a row of the store. It is written in the transaction of its
 * release, so that neither a crash nor a restored store separates the two.
 */

import { createHash } from 'node:crypto';
import type { OwnedParts } from '@rulecast/formats';
import { type Catalogue, hexOf, PartKind, type PartRecord } from '@rulecast/protocol';

export interface TakenRules {
  /** The digest of the document and the files that it names. */
  readonly digest: string;
  /** The parts of that content. */
  readonly parts: OwnedParts;
  /** Parts of earlier content that nobody has pushed since: a rollback may bring them back. */
  readonly former: OwnedParts;
  /** The digest of its parts then: after a rollback the parts in force have another one. */
  readonly content?: string | undefined;
}

/** Digest of parts as a release has them. */
export function partsContent({ records }: Pick<Catalogue, 'records'>, parts: OwnedParts): string {
  const digest = createHash('sha256');
  for (const record of records)
    if (isAmong(parts, record)) digest.update(`${record.kind} ${record.name} ${hexOf(record.digest)}\n`);
  return digest.digest('hex');
}

function isAmong({ lists, policies, unmatched }: OwnedParts, { kind, name }: PartRecord): boolean {
  switch (kind) {
    case PartKind.policy:
      return policies.has(name);
    case PartKind.prefixList:
    case PartKind.nameList:
      return lists.has(name);
    default:
      return kind === PartKind.unmatched && unmatched;
  }
}

export function encodeTaken({ digest, parts, former, content }: TakenRules): Uint8Array {
  return Buffer.from(JSON.stringify({ digest, parts: rowOf(parts), former: rowOf(former), content }));
}

function rowOf({ lists, policies, unmatched }: OwnedParts): object {
  return { lists: [...lists], policies: [...policies], unmatched };
}

/** Undefined for a damaged note: the file then counts as new. */
export function decodeTaken(bytes: Uint8Array | undefined): TakenRules | undefined {
  if (bytes === undefined) return undefined;
  try {
    const { digest, parts, former, content } = JSON.parse(Buffer.from(bytes).toString());
    return { digest, parts: partsOf(parts), former: partsOf(former), content };
  } catch {
    return undefined;
  }
}

/** Throws TypeError for what is no object, or has no lists. */
function partsOf({ lists, policies, unmatched }: OwnedParts): OwnedParts {
  return { lists: new Set(lists), policies: new Set(policies), unmatched: unmatched === true };
}
