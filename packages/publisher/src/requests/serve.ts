/** The endpoint of `rulectl`: one request a connection, bounded in number. PROTOCOL.md "Control". */

import { CONTROL_CONNECTIONS_MAX, type Connection, ErrorCode } from '@rulecast/protocol';
import type { Channel, CurveServerKeys, Endpoint } from '@rulecast/vchan';
import { connectionOn, type Served, serveAll } from '../admission/accept.ts';
import { PendingConnections } from '../admission/pending.ts';
import { busy, SILENT_TEXT } from '../admission/refusal.ts';
import type { ControlParts, SourceLists } from '../control/parts.ts';
import { PushMemory } from '../control/push-memory.ts';
import type { Publisher } from '../release/publisher.ts';
import type { AskTable } from '../session/serve.ts';
import { serveRequest } from './request.ts';

export interface ControlOptions {
  /** Who keeps lists fresh; without it there are no sources to ask about. */
  readonly sources?: SourceLists | undefined;
  readonly curve?: CurveServerKeys | undefined;
}

/** Serves `rulectl` on one endpoint. */
export async function serveControl(
  publisher: Publisher,
  endpoint: Endpoint,
  ask: AskTable,
  options: ControlOptions = {},
): Promise<Served> {
  const connections = new Set<Connection>();
  const answered = new Set<Connection>();
  const parts: ControlParts = { publisher, ask, pushMemory: new PushMemory(), sources: options.sources };
  const pending = new PendingConnections(publisher.clock);
  const serve = async (channel: Channel): Promise<void> => {
    const connection = connectionOn(channel, publisher.clock);
    const sayBusy = (text: string): void => {
      const { code, retryAfterMs } = busy(text);
      connection.bye(code, text, retryAfterMs);
    };
    const leave = pending.add(() => sayBusy(SILENT_TEXT));
    const admits = (): boolean => {
      leave();
      const hasPlace = answered.size < CONTROL_CONNECTIONS_MAX;
      if (hasPlace) answered.add(connection);
      else sayBusy(`at most ${CONTROL_CONNECTIONS_MAX} requests at once`);
      return hasPlace;
    };
    connections.add(connection);
    await serveRequest(connection, parts, admits);
    leave();
    answered.delete(connection);
    connections.delete(connection);
  };
  const stop = (): void => {
    for (const connection of connections) connection.bye(ErrorCode.shuttingDown, 'the publisher stops');
  };
  return serveAll(publisher.logger, [{ endpoint }], serve, stop, options.curve);
}
