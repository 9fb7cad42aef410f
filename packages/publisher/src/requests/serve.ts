/** The endpoint of `rulectl`: one request a connection, bounded in number. PROTOCOL.md "Control". */

import { CONTROL_CONNECTIONS_MAX, type Connection, ErrorCode } from '@rulecast/protocol';
import type { Channel, CurveServerKeys, Endpoint } from '@rulecast/vchan';
import { connectionOn, type Served, serveAll } from '../admission/accept.ts';
import { busy, SILENT_TEXT } from '../admission/refusal.ts';
import { WaitingRoom } from '../admission/waiting-room.ts';
import { PushRoom } from '../control/push-room.ts';
import type { Publisher } from '../release/publisher.ts';
import type { AskTable } from '../session/serve.ts';
import type { KeptLists } from './lists.ts';
import { ControlSession } from './request.ts';

export interface ControlOptions {
  /** Who keeps lists fresh; without it there are no sources to ask about. */
  readonly sources?: KeptLists | undefined;
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
  const pushRoom = new PushRoom();
  const room = new WaitingRoom(publisher.clock);
  const serve = async (channel: Channel): Promise<void> => {
    const connection = connectionOn(channel, publisher.clock);
    const sayBusy = (text: string): void => {
      const { code, retryAfterMs } = busy(text);
      connection.bye(code, text, retryAfterMs);
    };
    const leaveRoom = room.enter(() => sayBusy(SILENT_TEXT));
    const admits = (): boolean => {
      leaveRoom();
      const hasPlace = answered.size < CONTROL_CONNECTIONS_MAX;
      if (hasPlace) answered.add(connection);
      else sayBusy(`at most ${CONTROL_CONNECTIONS_MAX} requests at once`);
      return hasPlace;
    };
    connections.add(connection);
    await new ControlSession(connection, publisher, ask, pushRoom, options.sources).run(admits);
    leaveRoom();
    answered.delete(connection);
    connections.delete(connection);
  };
  const stop = (): void => {
    for (const connection of connections) connection.bye(ErrorCode.shuttingDown, 'the publisher stops');
  };
  return serveAll(publisher.logger, [{ endpoint }], serve, stop, options.curve);
}
