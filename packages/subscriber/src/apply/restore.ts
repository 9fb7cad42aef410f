/**
 * Restores the release in force from the state directory: the one marked active, verified as if it were
 * received. If both copies are damaged, the newest intact release before it is restored.
 */

import { compareRelease, ProtocolError } from '@rulecast/protocol';
import type { Content } from '../content/content.ts';
import type { ReleaseFacts } from '../content/messages.ts';
import { type ActiveMark, type StateDirectory, StateError, type StoredRelease } from '../state/state.ts';
import type { Keyring } from './keyring.ts';
import { type Floor, markOf, type VerifiedOffer, verifySigned } from './offer.ts';

export interface Restorable {
  readonly mark: ActiveMark;
  /** The newest that was in force: `mark`, or one that is damaged. */
  readonly newest: ActiveMark;
  readonly offer: VerifiedOffer;
  readonly facts: ReleaseFacts;
}

/**
 * Finds the release to restore, and sets the floor even if none can be. Undefined if the directory is empty.
 * Throws StateError and ProtocolError.
 */
export async function findRestorable(
  state: StateDirectory,
  keyring: Keyring,
  floor: Floor,
  content: Content,
): Promise<Restorable | undefined> {
  const found = state.find();
  const { trust } = keyring;
  const [active] = found.marks;
  if (active !== undefined && !Buffer.from(active.lineage).equals(trust.lineage)) {
    throw new StateError(floor.refuseAll(active.lineage));
  }
  // marks of its own lineage are floors
  const marks = found.marks.filter(({ lineage }) => Buffer.from(lineage).equals(trust.lineage));
  const signed = found.releases.flatMap((release) => signedMark(release, keyring) ?? []);
  signed.sort((one, other) => compareRelease(other, one));
  const [newest] = found.isMarked
    ? marks
    : [...marks, ...signed].sort((one, other) => compareRelease(other, one));
  floor.mark = newest;
  const { outdated } = state;
  if (outdated !== undefined) throw new StateError(outdated);
  if (newest === undefined) {
    if (found.releases.length > 0)
      throw new StateError('no release in the state directory is signed by the trusted key');
    return undefined;
  }
  const older = signed.filter((mark) => active === undefined || compareRelease(mark, active) <= 0);
  return { newest, ...(await firstWhole(state, [...marks, ...older], keyring, content)) };
}

/**
 * The first of the releases marked that is whole and what was signed. Throws StateError or ProtocolError,
 * that of the first, if none is.
 */
async function firstWhole(
  state: StateDirectory,
  marks: readonly ActiveMark[],
  keyring: Keyring,
  content: Content,
): Promise<Omit<Restorable, 'newest'>> {
  let fault: unknown;
  for (const mark of marks) {
    try {
      const chain = state.readChain(mark.hash);
      const last = chain.at(-1);
      if (last === undefined) throw new StateError('the active release has no file');
      const offer = verifyKept(last, keyring);
      const { hash, manifestBytes } = offer;
      const streams = chain.map(({ stream }) => stream);
      return { mark, offer, facts: await content.ask('restore', { hash, streams, manifestBytes }) };
    } catch (error) {
      if (!(error instanceof StateError || error instanceof ProtocolError)) throw error;
      fault ??= error;
    }
  }
  throw fault;
}

/** The mark that a stored release would have; undefined if no trusted key signed it. */
function signedMark(stored: StoredRelease, keyring: Keyring): ActiveMark | undefined {
  try {
    return markOf(verifyKept(stored, keyring));
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    return undefined;
  }
}

/**
 * Verifies a stored release by any root, past or present: it was verified when it came, and stays in force.
 */
function verifyKept({ manifestBytes, signatures }: StoredRelease, keyring: Keyring): VerifiedOffer {
  const { lineage } = keyring.trust;
  return verifySigned(manifestBytes, signatures, lineage, (signed) => keyring.wasReleased(signed));
}
