/** Releases refused for good: they are refused again without a check, and the next HELLO names them. */

import { type MessageOf, REFUSED_MAX } from '@rulecast/protocol';

type Nack = MessageOf<'nack'>;

/** The NACKs that said so, the newest last: as many as a HELLO names. */
export type Refusals = readonly Nack[];

export function remembered(refusals: Refusals, nack: Nack): Refusals {
  const others = refusals.filter(({ hash }) => Buffer.compare(hash, nack.hash) !== 0);
  return [...others, nack].slice(-REFUSED_MAX);
}

export function refusalOf(refusals: Refusals, hash: Uint8Array): Nack | undefined {
  return refusals.find((nack) => Buffer.compare(nack.hash, hash) === 0);
}
