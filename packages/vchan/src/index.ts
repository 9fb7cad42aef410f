/** Public face of the package: the channel interface, endpoint URLs, and `connect` and `listen` for every endpoint. */
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
  DEFAULT_BUFFER_BYTES,
  type Endpoint,
  EndpointError,
  type EndpointErrorCode,
  EndpointInUseError,
  type ExecEndpoint,
  formatEndpoint,
  MAX_BUFFER_BYTES,
  MAX_SOCKET_PATH_BYTES,
  type MemoryEndpoint,
  MIN_BUFFER_BYTES,
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
export { SOCKET_SLACK_BYTES } from './stream/channel.ts';
export { type ConnectOptions, connect, type ListenOptions, listen } from './transport.ts';
export type { CurveClientKeys, CurveServerKeys } from './zeromq/curve.ts';
export {
  type CurveKeyPair,
  curvePeerKeys,
  isCurveKey,
  openCurveKeyPair,
  readCurveKeyPair,
} from './zeromq/curve-key.ts';
