/**
 * How much of a long property a test looks at: some of it each time, and all of it where
 * `RULECAST_THOROUGH=1`: `npm run test:thorough`. Both are the same for the same seed.
 */

export const isThorough = process.env['RULECAST_THOROUGH'] === '1';

/** How often: usually, and where nobody waits. */
export function often(usual: number, thorough: number): number {
  return isThorough ? thorough : usual;
}

/** Those that are always looked at, and those that only a thorough run has time for. */
export function cases<T>(always: readonly T[], thorough: readonly T[]): T[] {
  return isThorough ? [...always, ...thorough] : [...always];
}
