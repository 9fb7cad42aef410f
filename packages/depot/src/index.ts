/**
 * Reads a depot, the files by which releases travel without a session, and serves sessions from it. DEPOT.md.
 * Begin with feed.ts, which finds the newest release at the mirrors of source.ts and http.ts. host.ts serves
 * sessions from it, and reporter.ts sends reports back.
 */

export { DepotFeed, type DepotStream, type FeedOptions } from './feed.ts';
export { type DepotHostOptions, depotHost } from './host.ts';
export { type HttpOptions, HttpSource, isMirrorUrl } from './http.ts';
export { type Attested, Reporter, type ReporterOptions } from './reporter.ts';
export { type DepotSource, SourceError } from './source.ts';
