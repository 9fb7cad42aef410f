/**
 * Files, feeds and archives, fetched, cached, guarded and kept fresh as lists. Begin with sources.ts, which
 * runs all of it, then source/source.ts, one list from its origin to its delivery, and guard/guard.ts, the
 * reasons to refuse one.
 */

export { type Clock, SYSTEM_CLOCK } from './clock.ts';
export { Fetcher } from './fetch/fetcher.ts';
export { isPrivateText } from './fetch/private-address.ts';
export { ProxyError } from './fetch/proxy.ts';
export {
  coverageFinding,
  type Finding,
  FindingCode,
  kindFinding,
  listSizeFinding,
  sizeFinding,
  wholeFamilies,
  wholeFinding,
} from './guard/finding.ts';
export type { Permits } from './guard/guard.ts';
export type { EntryCounts } from './lists/change.ts';
export { InputError, InputErrorCode, readBelow, readWhole } from './read/inputs.ts';
export { ListWorker } from './read/list-worker.ts';
export { Damper } from './schedule/damper.ts';
export type { BatchOutcome, DeliveryRefusal } from './source/delivery.ts';
export type { ListStatus } from './source/status.ts';
export { Sources, type WatchPaths } from './sources.ts';
export { FileRest } from './watch/rest.ts';
export { type WatchOptions, watchPaths } from './watch/watch.ts';
