/** Names and marks that `rulecast-dns-net` and the applier share. Loads no koffi. */

export { CAPTURE_LINK, CAPTURE_MARK, CAPTURE_MARK_BITS, QUESTIONS_PER_S } from './limits.ts';
