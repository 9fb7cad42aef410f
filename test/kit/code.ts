/** The code of a thrown error. */

/**
 * Returns the code of the error that the work throws; `no error` if it throws none. An error without a code,
 * which is a mistake of ours, is thrown again.
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
