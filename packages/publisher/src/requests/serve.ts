/**
 * The endpoints of `rulectl`: one request a connection, the caller known by its transport, and a bounded
 * number for each caller. CONTROL.md "Control", "Operators".
 */

import { PacedLog } from '@rulecast/program';
import {
  CONTROL_CONNECTIONS_MAX,
  type Connection,
  ErrorCode,
  type Message,
  OPERATOR_CONNECTIONS_MAX,
  ProtocolError,
} from '@rulecast/protocol';
import {
  type AskTable,
  busy,
  connectionOn,
  type ListenAddress,
  PendingConnections,
  placesOf,
  type Refusal,
  type Service,
  SILENT,
  serveAll,
} from '@rulecast/sessions';
import type { Channel, CurveServerKeys, Endpoint } from '@rulecast/vchan';
import { Operators } from '../admission/operators.ts';
import { ControlExchange } from '../control/exchange.ts';
import type { House } from '../control/parts.ts';
import { PushMemory } from '../control/push-memory.ts';
import type { Publisher } from '../release/publisher.ts';
import { serveRequest } from './request.ts';

export interface ControlOptions {
  readonly curve?: CurveServerKeys | undefined;
  /** Operators beside the owner; it also listens on their own sockets. Default: none. */
  readonly operators?: Operators;
}

/** Serves `rulectl` on some endpoints. */
export function serveControl(
  publisher: Publisher,
  endpoints: readonly Endpoint[],
  ask: AskTable,
  options: ControlOptions & Omit<House, 'publisher' | 'ask'> = {},
): Promise<Service> {
  const house = { ...options, publisher, ask };
  return serveRequests(publisher, endpoints, Promise.resolve(house), options);
}

/** Serves before the publisher is loaded: STATUS is answered with `not-ready`, other requests wait. */
export async function serveRequests(
  host: Pick<Publisher, 'logger' | 'clock' | 'turn' | 'pace'>,
  endpoints: readonly Endpoint[],
  opening: Promise<House>,
  { curve, operators = new Operators([]) }: ControlOptions,
): Promise<Service> {
  const connections = new Set<Connection>();
  /** The caller of each open request. */
  const answered = new Map<Connection, string>();
  const logger = new PacedLog(host.logger, () => host.clock.monotonicMs());
  const pushMemory = new PushMemory();
  let house: House | undefined;
  void opening.then((opened) => {
    house = opened;
  });
  const pending = new PendingConnections(host.clock);
  const serve = async (channel: Channel, place: ListenAddress): Promise<void> => {
    const connection = connectionOn(channel, host.clock);
    const sendAway = ({ code, text, retryAfterMs }: Refusal): void =>
      connection.bye(code, text, retryAfterMs);
    const leave = pending.add(() => sendAway(SILENT));
    const admits = (by: string, request: Message): boolean => {
      leave();
      // A continuous log lasts: places are reserved for the owner's other requests.
      const isFollow = request.kind === 'log' && request.follow;
      const most = isFollow || operators.has(by) ? OPERATOR_CONNECTIONS_MAX : CONTROL_CONNECTIONS_MAX;
      const count = [...answered.values()].filter((other) => other === by).length;
      if (count < most) answered.set(connection, by);
      else sendAway(busy(`at most ${most} requests at once${isFollow ? ' where a log is followed' : ''}`));
      return count < most;
    };
    connections.add(connection);
    const callerOf = () => operators.callerOf(channel.peer, place.owner);
    const exchange = new ControlExchange(connection, host.clock, host.turn);
    const houseFor = async ({ kind }: Message): Promise<House> => {
      if (kind === 'status' && house === undefined)
        throw new ProtocolError(ErrorCode.notReady, 'the publisher is starting: it reads its store');
      return opening;
    };
    await serveRequest(exchange, houseFor, pushMemory, logger, callerOf, admits);
    connection.close();
    leave();
    answered.delete(connection);
    connections.delete(connection);
  };
  const stop = (): void => {
    for (const connection of connections) connection.bye(ErrorCode.shuttingDown, 'the publisher stops');
  };
  return serveAll(host, placesOf(endpoints, operators.all), serve, stop, curve);
}
