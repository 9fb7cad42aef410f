/** Whether a test can be another user: root alone can. */

/** False where it cannot, having said so. Throws where `CI=true`: such a run has all that tests need. */
export function isRoot(): boolean {
  if (process.getuid?.() === 0) return true;
  const reason = 'only root can be another user';
  if (process.env['CI'] === 'true') throw new Error(reason);
  process.stderr.write(`skipped: ${reason}\n`);
  return false;
}
