/** The code of what was thrown. */

/**
 * Of work that may throw; `no error` where it does not. An error without a code, which is a mistake of ours,
 * is thrown on.
 */
export function codeOf(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    return codeIn(error);
  }
  return 'no error';
}

/** The same of a promise. */
export async function codeOfRejection(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
  } catch (error) {
    return codeIn(error);
  }
  return 'no error';
}

function codeIn(error: unknown): string {
  if (error instanceof Error && 'code' in error && typeof error.code === 'string') return error.code;
  throw error;
}
