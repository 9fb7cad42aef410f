/** What `rulecast-dns` says to the applier, and how both call a list and a name. Loads no koffi. */

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
