/**
 * The number of the next release, and whether there may be one: numbers are used once, and only go up.
 * WIRE.md "Epochs". Pure: the caller stores each result before it acts on it.
 *
 *   head 1/7 ──▶ 1/8 ──▶ 1/9       a subscriber proves 1/12 ──▶ behind: none ──▶ in a new epoch: 2/10
 */

import { compareRelease, VERSION_MAX } from '@rulecast/protocol';
import type { ReleaseNumber } from '@rulecast/sessions';
import type { SignedNumber } from '../signer/signer.ts';

export interface Numbers {
  /** The newest release, or the last one in a store that was set aside; undefined before the first. */
  readonly head: ReleaseNumber | undefined;
  /** The last release in a store that was set aside: anything not above it was in there. */
  readonly after?: ReleaseNumber | undefined;
  /** The epoch of the next release. */
  readonly epoch: number;
  /** The newest release that was proved and was not here then. */
  readonly proved: ProvedRelease | undefined;
  /** The newest that was signed, which a crash may have kept from being more than that. */
  readonly signed?: ReleaseNumber | undefined;
}

/**
 * Numbers that were signed and never stored are passed over, one for each release that a crash or a full disk
 * prevented. More at once nobody lost: somebody had a number signed to leave none above it. Our choice.
 */
const PASSED_OVER_MAX = 1_000_000;

/** A release that somebody proved to have been made. */
export interface ProvedRelease extends ReleaseNumber, Pick<SignedNumber, 'keys'> {}

/** The numbers that a release carries. */
export interface NextNumber extends ReleaseNumber {
  /** 0: it is the first of its epoch. */
  readonly previousVersion: number;
}

/** The release that was proved and is not here, unless an epoch above it is open. */
export function behindOf({ proved, epoch }: Numbers): ReleaseNumber | undefined {
  if (proved === undefined || proved.epoch < epoch) return undefined;
  return { epoch: proved.epoch, version: proved.version };
}

/** A release was proved that is not here; undefined where that is no news. */
export function withProof(numbers: Numbers, { epoch, version, keys }: ProvedRelease): Numbers | undefined {
  const behind = behindOf(numbers);
  const isKnown = [behind, numbers.after].some(
    (known) => known !== undefined && compareRelease(known, { epoch, version }) >= 0,
  );
  return epoch < numbers.epoch || isKnown ? undefined : { ...numbers, proved: { epoch, version, keys } };
}

/**
 * Adds the signers of a release that was proved already: it may come with other signatures, and each counts.
 */
export function withSigners(numbers: Numbers, { epoch, version, keys }: ProvedRelease): Numbers {
  const { proved } = numbers;
  if (proved === undefined || compareRelease(proved, { epoch, version }) !== 0) return numbers;
  const all = proved.keys && keys && [...new Set([...proved.keys, ...keys])].sort();
  return { ...numbers, proved: { epoch, version, keys: all } };
}

/**
 * Records that the signer used a wanted number for another release. If that one followed our head and was
 * never stored, the number is skipped; otherwise it is evidence of releases that we lack.
 */
export function withSigned(
  numbers: Numbers,
  { epoch, version, previousVersion, keys }: SignedNumber,
): Numbers {
  const { head } = numbers;
  const isUponHead = previousVersion === (head?.epoch === epoch ? head.version : 0);
  const isNear = version - (head?.version ?? 0) <= PASSED_OVER_MAX;
  if (epoch === numbers.epoch && isUponHead && isNear) return { ...numbers, signed: { epoch, version } };
  return withProof(numbers, { epoch, version, keys }) ?? numbers;
}

/** The next release opens an epoch above all that is known of. */
export function inNewEpoch(numbers: Numbers): Numbers {
  return { ...numbers, epoch: Math.max(numbers.epoch, numbers.proved?.epoch ?? 0) + 1 };
}

/**
 * The number of the next release. Undefined if no number is left, and while the publisher is behind: a
 * firewall may have a release of any number then.
 */
export function nextNumber(numbers: Numbers): NextNumber | undefined {
  if (behindOf(numbers) !== undefined) return undefined;
  const { head, epoch } = numbers;
  const version = head?.version ?? 0;
  const signed = numbers.signed?.epoch === epoch ? numbers.signed.version : 0;
  const previousVersion = head?.epoch === epoch ? version : 0;
  const next = Math.max(version, signed) + 1;
  return next > VERSION_MAX ? undefined : { epoch, version: next, previousVersion };
}

/** A release is on disk. */
export function withHead(numbers: Numbers, { epoch, version }: ReleaseNumber): Numbers {
  return { ...numbers, head: { epoch, version }, epoch };
}
