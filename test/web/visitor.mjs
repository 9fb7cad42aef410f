/** `rulectl web` as a process, and who was let in by its link, without a browser. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const RULECTL = fileURLToPath(new URL('../../packages/rulectl/bin/rulectl.js', import.meta.url));

/**
 * Starts it against a control endpoint; it ends by a signal.
 * @param {string} control
 * @param {readonly string[]} [words]
 */
export async function startWeb(control, words = ['web']) {
  const args = [RULECTL, ...words, '--control', control];
  const page = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const [link] = await once(createInterface({ input: page.stdout }), 'line');
  return { page, link: String(link) };
}

/** Reads pages as the browser does that a link let in. @param {string} link */
export async function entered(link) {
  const { origin, hash } = new URL(link);
  const options = { method: 'POST', body: hash.slice(1), headers: { Origin: origin } };
  const answer = await fetch(`${origin}/enter`, options);
  const cookie = answer.headers.get('set-cookie')?.split(';')[0] ?? '';
  const base = `${origin}${await answer.text()}`;
  /** @param {string} path */
  return async (path) => {
    const got = await fetch(`${base}${path}`, { headers: { cookie } });
    if (got.status !== 200) throw new Error(`${path}: ${got.status}`);
    return got.text();
  };
}
