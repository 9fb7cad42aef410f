/**
 * Reads a depot: the files by which releases travel without a session. DEPOT.md. Begin with `source.ts`, then
 * `feed.ts`.
 */

export { DepotFeed, type DepotRelease, type DepotStream, type FeedOptions } from './feed.ts';
export { type HttpOptions, HttpSource, isMirrorUrl } from './http.ts';
export { type DepotSource, SourceError } from './source.ts';
