/** A push on its way to the publisher: the request, then its files. CONTROL.md "PUSH". */

import { CHUNK_BYTES, type Connection, type MessageOf } from '@rulecast/protocol';
import type { Progress } from '../terminal/progress.ts';
import type { PushFile } from './files.ts';

export interface PushPlan {
  readonly request: MessageOf<'push'>;
  readonly files: readonly PushFile[];
}

export async function sendPush(connection: Connection, plan: PushPlan, progress: Progress): Promise<void> {
  const total = plan.files.reduce((sum, file) => sum + file.bytes.length, 0);
  let sentBytes = 0;
  await connection.send(plan.request);
  for (const { name, role, bytes } of plan.files) {
    await connection.send({ kind: 'file', name, role, bytes: bytes.length });
    const sent = await connection.sendBytes(
      chunksOf(bytes, (count) => {
        sentBytes += count;
        if (total > 0) progress.show('sending', sentBytes, total);
      }),
    );
    await connection.send({ kind: 'end', sha256: sent.sha256 });
  }
}

/** Cuts bytes into chunks, and reports each when it is read. */
function* chunksOf(bytes: Uint8Array, onChunk: (count: number) => void): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += CHUNK_BYTES) {
    const chunk = bytes.subarray(at, at + CHUNK_BYTES);
    onChunk(chunk.length);
    yield chunk;
  }
}
