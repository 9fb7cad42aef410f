/**
 * A rule set as nftables, kept in the kernel. Begin with `createNftSink` in sink/sink.ts.
 *
 *   release ─▶ plan/ ─▶ sink/ ══ pipe ══▶ apply/ ─▶ kernel/ ─▶ nf_tables
 *              without privileges         CAP_NET_ADMIN, no parser
 *
 * - limits.ts: every constant, what nftables fixes and what we chose;
 * - plan/: what the kernel is to hold for a release (planner, with blocks, matches, remotes, chains,
 *   class-maps and lowering), and the change from one plan to the next; pure;
 * - kernel/: commands and expressions of rules, netlink messages, sockets, and what is read back; used by the
 *   applier only;
 * - apply/: the applier's process, the messages it takes and how it checks them, the order of transactions,
 *   the pipe to it, and what is open by name (opening, door, book, looks, room, name-tables, openings) and by which interface each qube comes (sources, interfaces);
 * - log/: reads what the kernel logs of refused packets;
 * - sink/: where the subscriber puts a release: keeps the kernel at it, gives flows their marks, reads
 *   counts.
 *
 * applier-main.ts is the program `rulecast-applier`; openings.ts is what `rulecast-dns` says to it, and
 * capture.ts what it and `rulecast-dns-net` call the way there.
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
