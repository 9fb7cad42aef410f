/**
 * Bounded two-way byte channels between two processes, whatever carries them. Begin with channel/channel.ts,
 * which says what a channel is; then channel/endpoint.ts (the URL of where one leads) and transport.ts
 * (`connect` and `listen`, which know every kind).
 *
 *   write() ─▶ write ring ─▶ transport ═══▶ transport ─▶ chunk queue ─▶ read()
 *
 * - `channel/`: the interface, endpoints, the bounded pieces that every channel is made of, and the channel
 *   within a process.
 * - `stream/`: over streams of the kernel: Unix sockets and the care of their files, pipes, a program of
 *   one's own, qrexec, what libvchan-socket does, and Xen's vchans by their library.
 * - `zeromq/`: over ZeroMQ's messages, bounded by credit, with keys.
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
