/**
 * Files, feeds and archives, fetched, cached, guarded and kept fresh as lists. Begin with sources.ts, which
 * runs all of it, then source/source.ts, one list from its origin to what is in force.
 *
 *     file, url ─schedule─▶ fetch, watch ─▶ read: inputs ─unpack─▶ members ─formats─▶ list ─guard─▶ layers ─▶ expressions ─▶ delivery
 *
 * Its folders, lowest first:
 *
 *     lists/     what is made of lists: expressions, layers with their ages, and what of both is kept over a restart
 *     guard/     what is conspicuous about a change, and what is refused for it
 *     schedule/  when something is loaded, and how often what flaps is taken
 *     fetch/     downloads, with their cache, proxies and private addresses
 *     unpack/    from a compressed file or an archive to the files in it
 *     watch/     files that change, and whether they have come to rest
 *     read/      from files and downloads to a list, off the event loop where that is long
 *     source/    one list or table with its state, and the way into the next release
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
