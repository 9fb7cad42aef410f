/** A rule set as nftables: the sink, and what tests need of the plan it makes. Start with `createNftSink`. */

export { ApplierError } from './applier-client.ts';
export type { ApplierCommand } from './applier-process.ts';
export type { Hits, NftHits, PolicyHits } from './hits.ts';
export {
  applierCommand,
  createNftSink,
  type NftRelease,
  type NftSink,
  type NftSinkOptions,
  type NftStatus,
  type SinkLogger,
  type SinkTrouble,
} from './sink.ts';
