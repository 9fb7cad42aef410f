/**
 * Which number the next release gets, and whether it gets one: numbers are given once, and only go up.
 * PROTOCOL.md "Epochs". Pure: the store keeps what is said here, and what could not be kept was not said.
 *
 *   head 1/7 ──▶ 1/8 ──▶ 1/9       a subscriber proves 1/12 ──▶ behind: none ──▶ in a new epoch: 2/10
 */

import { compareRelease } from '@rulecast/protocol';

export interface ReleaseNumber {
  readonly epoch: number;
  readonly version: number;
}

export interface Numbers {
  /** Of the newest release; undefined before the first. */
  readonly head: ReleaseNumber | undefined;
  /** Of the next release. */
  readonly epoch: number;
  /** The newest release that was proved and was not here then. */
  readonly proved: ReleaseNumber | undefined;
  /** The newest that was signed, which a crash may have kept from being more than that. */
  readonly signed?: ReleaseNumber | undefined;
}

/** What a release says of its place. */
export interface NextNumber extends ReleaseNumber {
  /** 0: it is the first of its epoch. */
  readonly previousVersion: number;
}

/** The release that was proved and is not here, unless an epoch above it is open. */
export function behindOf({ proved, epoch }: Numbers): ReleaseNumber | undefined {
  return proved === undefined || proved.epoch < epoch ? undefined : proved;
}

/** A release was proved that is not here; undefined where that is no news. */
export function withProof(numbers: Numbers, { epoch, version }: ReleaseNumber): Numbers | undefined {
  const behind = behindOf(numbers);
  const isKnown = behind !== undefined && compareRelease(behind, { epoch, version }) >= 0;
  return epoch < numbers.epoch || isKnown ? undefined : { ...numbers, proved: { epoch, version } };
}

/**
 * The signer has signed another release under a number that was wanted. What came upon this head and was
 * never stored is passed over; anything else came upon a release that is not here.
 */
export function withSigned(numbers: Numbers, { epoch, version, previousVersion }: NextNumber): Numbers {
  const { head } = numbers;
  const isUponHead = previousVersion === (head?.epoch === epoch ? head.version : 0);
  if (epoch === numbers.epoch && isUponHead) return { ...numbers, signed: { epoch, version } };
  return withProof(numbers, { epoch, version }) ?? numbers;
}

/** The next release opens an epoch above all that is known of. */
export function inNewEpoch(numbers: Numbers): Numbers {
  return { ...numbers, epoch: Math.max(numbers.epoch, numbers.proved?.epoch ?? 0) + 1 };
}

/**
 * Of the next release; undefined while the publisher is behind, for any number may have been given before.
 */
export function nextNumber(numbers: Numbers): NextNumber | undefined {
  if (behindOf(numbers) !== undefined) return undefined;
  const { head, epoch } = numbers;
  const version = head?.version ?? 0;
  const signed = numbers.signed?.epoch === epoch ? numbers.signed.version : 0;
  const previousVersion = head?.epoch === epoch ? version : 0;
  return { epoch, version: Math.max(version, signed) + 1, previousVersion };
}

/** A release is on disk. */
export function withHead(numbers: Numbers, { epoch, version }: ReleaseNumber): Numbers {
  return { ...numbers, head: { epoch, version }, epoch };
}
