/** What a manifest that a subscriber gives back has to be, by the roots that are here. */

import { encodeManifest, manifestFor, type Root, type Signed, signBytes } from '@rulecast/protocol';
import { EMPTY_RULE_SET } from '@rulecast/rules';
import { expect, it } from 'vitest';
import { freshKey, rootOf, signedRoot } from '../../../test/kit/roots.mjs';
import { checkAdoptable } from '../src/release/adopted.ts';

const LINEAGE = new Uint8Array(16).fill(7);
const [FIRST, SECOND, STRANGE] = [freshKey(), freshKey(), freshKey()];
const ONE = signedRoot(rootOf(LINEAGE, FIRST), FIRST);

/** An identity whose second root has other keys than the first. */
function rotated(said: Partial<Root> = {}) {
  const two = signedRoot(rootOf(LINEAGE, SECOND, { number: 2, ...said }), FIRST, SECOND);
  return { lineage: LINEAGE, root: two.root, roots: [ONE, two] };
}

function manifestOf(key: typeof FIRST, lineage = LINEAGE, epoch = 3): Signed {
  const number = { lineage, epoch, version: 9, previousVersion: 8, createdAtMs: 1 };
  const content = encodeManifest(manifestFor(EMPTY_RULE_SET, number));
  return { content, signatures: signBytes(content, key) };
}

it('is signed by keys of the root in force', () => {
  expect(checkAdoptable(rotated(), manifestOf(SECOND))).toMatchObject({ epoch: 3, version: 9 });
});

it.each([
  ['signed by keys of a root before', manifestOf(FIRST), {}, 'bad-signature', 'may not release any more'],
  [
    'signed by nobody of this identity',
    manifestOf(STRANGE),
    {},
    'bad-signature',
    'not signed by this identity',
  ],
  [
    'of another lineage',
    manifestOf(SECOND, new Uint8Array(16).fill(8)),
    {},
    'wrong-lineage',
    'another lineage',
  ],
  [
    'of an epoch below what is granted',
    manifestOf(SECOND),
    { epochFloor: 4 },
    'epoch-not-granted',
    'grants 4',
  ],
  ['of an epoch above it', manifestOf(SECOND), { epochCeiling: 2 }, 'epoch-not-granted', 'grants 0 to 2'],
])('is not %s', (_, signed, said, code, words) => {
  const error = expect.objectContaining({ code, message: expect.stringContaining(words) });
  expect(() => checkAdoptable(rotated(said), signed)).toThrow(error);
});
