/** BEGIN to END of one transfer, as fast as the subscriber reads. WIRE.md "Transfers". */

import type { Connection } from '@rulecast/protocol';
import type { SessionHost } from '../host.ts';
import type { EffectOf } from './state.ts';

export interface StreamWatch {
  /** The transfer was given up. */
  readonly stopped: () => boolean;
  /** Resolves when the next CHUNK may go: sessions share the event loop. */
  readonly paced: () => Promise<void>;
  /** Called before BEGIN is sent. */
  readonly begun: (isChain: boolean) => void;
  /** END is handed to the connection: the answer may be faster than its bytes. */
  readonly sent: () => void;
}

/** Resolves when all is sent, or it was given up. Rejects as `transfers` and the connection do. */
export async function sendTransfer(
  connection: Connection,
  transfers: SessionHost['transfers'],
  { release, base, isPlain, has }: EffectOf<'transfer'>,
  { stopped, paced, begun, sent }: StreamWatch,
): Promise<void> {
  const made = await transfers.for(release, base, isPlain, has);
  if (stopped()) return;
  const { stream, id, from } = made;
  const isChain = made.base !== undefined;
  begun(isChain);
  await connection.send({
    kind: 'begin',
    bytes: stream.length,
    snapshot: isChain ? undefined : true,
    stream: id,
    from: from === 0 ? undefined : from,
  });
  await connection.sendStream(stream.subarray(from), stopped, paced);
  if (stopped()) return; // checked right before END: a NACK may have come since the last CHUNK was sent
  const ended = connection.send({ kind: 'end' });
  sent();
  await ended;
}
