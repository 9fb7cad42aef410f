/**
 * The interface of the applier for `rulecast-dns`: openings, and the keys of lists and names. Loads no koffi.
 */

export {
  AnswerReader,
  type Opening,
  type OpeningOutcome,
  Outcome,
  openingFrame,
  openSecondsOf,
} from './apply/opening.ts';
export { NAME_ADDRESSES_OF_ONE_MAX } from './limits.ts';
export { listKeys, nameLabelOf } from './plan/name-set.ts';
