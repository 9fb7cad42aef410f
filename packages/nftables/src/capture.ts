/** By what `rulecast-dns-net` and the applier mean the same. Loads no koffi. */

export { CAPTURE_LINK, CAPTURE_MARK, CAPTURE_MARK_BITS, QUESTIONS_PER_S } from './limits.ts';
