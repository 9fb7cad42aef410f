/**
 * Reads a depot, the files by which releases travel without a session, and serves sessions from it. DEPOT.md.
 *
 *   source, http ─▶ feed ─▶ host ─▶ a session ◀─ reporter ─▶ source
 */

export { DepotFeed, type DepotStream, type FeedOptions } from './feed.ts';
export { type DepotHostOptions, depotHost } from './host.ts';
export { type HttpOptions, HttpSource, isMirrorUrl } from './http.ts';
export { type Attested, Reporter, type ReporterOptions } from './reporter.ts';
export { type DepotSource, SourceError } from './source.ts';
