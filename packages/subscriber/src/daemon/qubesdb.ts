/**
 * What dom0 says to this qube in QubesDB, such as a feature of it that begins with `vm-config.`: so the
 * template of many firewalls needs to know none of them.
 *
 *     qvm-features sys-firewall vm-config.rulecast-trust LINE ─▶ qubesdb-read /vm-config/rulecast-trust
 */

import { execFileSync } from 'node:child_process';

const PREFIX = 'qubesdb:';
/** It is a local question; who does not answer it is not there. */
const READ_TIMEOUT_MS = 5_000;
const KEY = /^\/[A-Za-z0-9_./-]{1,62}$/;

/** What was asked for is not there; it may come later. */
export class QubesDbError extends Error {}

/** The value that `qubesdb:KEY` stands for; any other text as it is. Throws QubesDbError. */
export function fromQubesDb(text: string): string {
  if (!text.startsWith(PREFIX)) return text;
  const key = text.slice(PREFIX.length);
  if (!KEY.test(key))
    throw new QubesDbError(`${text}: write qubesdb: and a path, as in qubesdb:/vm-config/rulecast-trust`);
  try {
    return execFileSync('qubesdb-read', [key], {
      encoding: 'utf8',
      timeout: READ_TIMEOUT_MS,
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim();
  } catch (cause) {
    const said = `qvm-features QUBE ${key.slice(1).replace('/', '.')} VALUE`;
    throw new QubesDbError(`QubesDB has no ${key}: in dom0, ${said}`, { cause });
  }
}
