/**
 * A rule set as nftables, kept in the kernel. Begin with `createNftSink` in sink/sink.ts, then
 * sink/reconciler.ts. plan/ decides what the kernel is to hold, and is pure. apply/ is the process with
 * CAP_NET_ADMIN, which parses no rule, and kernel/ its messages to nf_tables. log/ reads refused packets.
 * applier-main.ts is the program `rulecast-applier`; openings.ts and capture.ts are its interface to
 * `rulecast-dns`.
 */

export { parseSources } from './kernel/sources.ts';
export { openDropLog } from './log/drop-log.ts';
export type { RefusedPacket } from './log/packet.ts';
export type { AskPlans } from './sink/reconciler.ts';
export {
  applierCommand,
  createNftSink,
  type NftRelease,
  type NftSink,
  type NftSinkOptions,
  type SinkLogger,
} from './sink/sink.ts';
