/**
 * The endpoints of `rulectl`: one request a connection, by whom its transport says, bounded in number for
 * each caller. PROTOCOL.md "Control", "Operators".
 */

import { PacedLog } from '@rulecast/program';
import {
  CONTROL_CONNECTIONS_MAX,
  type Connection,
  ErrorCode,
  OPERATOR_CONNECTIONS_MAX,
} from '@rulecast/protocol';
import type { Channel, CurveServerKeys, Endpoint } from '@rulecast/vchan';
import { connectionOn, type Place, placesOf, type Served, serveAll } from '../admission/accept.ts';
import { Operators } from '../admission/operators.ts';
import { PendingConnections } from '../admission/pending.ts';
import { busy, type Refusal, SILENT } from '../admission/refusal.ts';
import type { SourceLists } from '../control/parts.ts';
import { PushMemory } from '../control/push-memory.ts';
import type { Publisher } from '../release/publisher.ts';
import type { AskTable } from '../session/serve.ts';
import { serveRequest } from './request.ts';

export interface ControlOptions {
  /** Who keeps lists fresh; without it there are no sources to ask about. */
  readonly sources?: SourceLists | undefined;
  readonly curve?: CurveServerKeys | undefined;
  /** Who may use it beside the owner; their own sockets are listened on as well. Default: nobody. */
  readonly operators?: Operators;
}

/** Serves `rulectl` on some endpoints. */
export async function serveControl(
  publisher: Publisher,
  endpoints: readonly Endpoint[],
  ask: AskTable,
  options: ControlOptions = {},
): Promise<Served> {
  const { sources, curve, operators = new Operators([]) } = options;
  const connections = new Set<Connection>();
  /** Whose request each is. */
  const answered = new Map<Connection, string>();
  const logger = new PacedLog(publisher.logger, () => publisher.clock.monotonicMs());
  const pushMemory = new PushMemory();
  const pending = new PendingConnections(publisher.clock);
  const serve = async (channel: Channel, place: Place): Promise<void> => {
    const connection = connectionOn(channel, publisher.clock);
    const sendAway = ({ code, text, retryAfterMs }: Refusal): void =>
      connection.bye(code, text, retryAfterMs);
    const leave = pending.add(() => sendAway(SILENT));
    const admits = (by: string): boolean => {
      leave();
      const most = operators.has(by) ? OPERATOR_CONNECTIONS_MAX : CONTROL_CONNECTIONS_MAX;
      const count = [...answered.values()].filter((other) => other === by).length;
      if (count < most) answered.set(connection, by);
      else sendAway(busy(`at most ${most} requests at once`));
      return count < most;
    };
    connections.add(connection);
    const callerOf = () => operators.callerOf(channel.peer, place.owner);
    await serveRequest(connection, { publisher, ask, pushMemory, sources }, logger, callerOf, admits);
    leave();
    answered.delete(connection);
    connections.delete(connection);
  };
  const stop = (): void => {
    for (const connection of connections) connection.bye(ErrorCode.shuttingDown, 'the publisher stops');
  };
  return serveAll(publisher, placesOf(endpoints, operators.all), serve, stop, curve);
}
