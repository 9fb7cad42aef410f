/** Files, feeds and archives, fetched, cached and kept fresh as lists. */

export type { EntryCounts } from './change.ts';
export { type Clock, SYSTEM_CLOCK } from './clock.ts';
export { DAMPER_LIMITS, Damper } from './damper.ts';
export type { BatchOutcome, DeliveryRefusal, ListBatch, ListConsumer } from './delivery.ts';
export { Fetcher, type FetcherOptions } from './fetch.ts';
export {
  coverageFinding,
  type Finding,
  FindingCode,
  kindFinding,
  sizeFinding,
  wholeFamilies,
  wholeFinding,
} from './finding.ts';
export type { Permits, Refusal } from './guard.ts';
export type { Log } from './log.ts';
export { isPrivateAddress, isPrivateName } from './private-address.ts';
export { ProxyError } from './proxy.ts';
export { Reader } from './reader.ts';
export type { ReadingJob, ReadList, ReadRefused } from './reading.ts';
export type { ListWork } from './source.ts';
export {
  type AuditEntry,
  Sources,
  type SourcesConfig,
  type SourcesOptions,
  type WatchPaths,
} from './sources.ts';
export type { ListStatus } from './status.ts';
export { PathWatch, type WatchOptions, watchPaths } from './watch.ts';
