/** Limits of a rule that the protocol has too: they come without the language. */

/**
 * Longest comment, in characters, all of them ASCII. Our choice: with it a canonical line stays far below
 * `RULE_LINE_MAX_CHARS`, so that what was accepted and printed is always accepted again.
 */
export const COMMENT_MAX_CHARS = 4096;
/** The last second of the year 9999, where Python's datetime ends, and with it the range of dom0. */
export const EXPIRE_MAX = 253_402_300_799;
