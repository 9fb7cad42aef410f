/** Starts `peer.mjs` for a test, and makes sure that it ends with it. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { seededBytes, until } from './streams.ts';

export const PEER_PROGRAM = fileURLToPath(new URL('peer.mjs', import.meta.url));

/** What `flood` and `once` write. */
export const BLOCK = seededBytes(77, 65_521);

export interface Peer {
  readonly child: ChildProcess;
  /** Resolves when the peer has said `word`. */
  said(word: 'ready' | 'written'): Promise<void>;
  /** Ends it at once, without a chance to say goodbye. */
  kill(): Promise<void>;
}

export function startPeer(
  directory: string,
  args: readonly [how: 'connect' | 'listen', url: string, what: 'flood' | 'echo' | 'once' | 'silent'],
  environment: Readonly<Record<string, string>> = {},
): Peer {
  const blockFile = join(directory, 'block');
  writeFileSync(blockFile, BLOCK);
  const child = spawn(process.execPath, [PEER_PROGRAM, ...args, blockFile], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { ...process.env, ...environment },
  });
  const exited = once(child, 'close');
  let text = '';
  child.stderr.setEncoding('utf8').on('data', (piece: string) => {
    text += piece;
  });
  return {
    child,
    said: async (word) => {
      await until(() => text.includes(word) || child.exitCode !== null);
      if (!text.includes(word)) throw new Error(`the peer ended: ${text}`);
    },
    kill: async () => {
      child.kill('SIGKILL');
      await exited;
    },
  };
}
