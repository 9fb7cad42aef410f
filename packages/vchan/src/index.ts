/**
 * Bounded two-way byte channels between two processes, over any transport. Begin with channel/channel.ts, the
 * interface of a channel, then channel/endpoint.ts, the URLs, and transport.ts, whose `connect` and `listen`
 * know every kind. stream/ has the channels over byte streams, zeromq/ those over ZeroMQ's messages.
 */
export {
  type Channel,
  ChannelClosedError,
  ChannelConnectError,
  type ChannelConnectErrorCode,
  type ChannelRole,
  type ChannelState,
  type Listener,
  type PeerIdentity,
} from './channel/channel.ts';
export {
  type Endpoint,
  EndpointError,
  type EndpointErrorCode,
  EndpointInUseError,
  type ExecEndpoint,
  formatEndpoint,
  type MemoryEndpoint,
  needsCurve,
  parseEndpoint,
  type QrexecEndpoint,
  type StdioEndpoint,
  type UnixEndpoint,
  type VchanEndpoint,
  type ZmqEndpoint,
  type ZmqIpcEndpoint,
  type ZmqTcpEndpoint,
} from './channel/endpoint.ts';
export { type ChannelPair, createMemoryPair, type MemoryPairOptions } from './channel/memory.ts';
export { GROUP_FILE, groupId } from './stream/socket-group.ts';
export { type ConnectOptions, connect, type ListenOptions, listen, listenWith } from './transport.ts';
export type { CurveClientKeys, CurveServerKeys } from './zeromq/curve.ts';
export {
  type CurveKeyPair,
  curveKeyText,
  curvePeerKeys,
  isCurveKey,
  newCurveKeyPair,
  openCurveKeyPair,
  readCurveKeyPair,
} from './zeromq/curve-key.ts';
