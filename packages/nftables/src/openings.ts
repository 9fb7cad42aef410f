/** What `rulecast-dns` says to the applier, and how both call a list. Loads nothing of the kernel. */

export { AnswerReader, type Opening, Outcome, openingFrame } from './apply/opening.ts';
export { listKeys } from './plan/name-set.ts';
