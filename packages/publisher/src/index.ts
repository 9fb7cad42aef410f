/**
 * The management side: pushes and lists of sources become signed releases, which are served to subscribers.
 * Begin with release/publisher.ts, the class Publisher, then release/desk.ts and release/commit.ts, which
 * turn a rule set into the next release. daemon.ts is the process, requests/ has a file for each request of
 * `rulectl`; sessions with subscribers are the package sessions.
 */

export type { IngestNote, PushedFile, PushInput } from '@rulecast/formats';
export type { AskTable, ServedSubscribers, Service } from '@rulecast/sessions';
export type { Permits } from './guards/permits.ts';
export type { GuardRefusal } from './guards/refusal.ts';
/** @public */
export { type DnsOptions, dnsResolver, type NameAnswer, type ResolveName } from './names/resolve.ts';
/** @public */
export { GuardError, type ReleaseDraft } from './release/commit.ts';
export type { PushOutcome, ReleaseAudit } from './release/outcome.ts';
export { Publisher, type PublisherOptions } from './release/publisher.ts';
export type { PushOptions } from './release/request.ts';
/** @public */
export { WORK_IN_PLACE, type WorkHost } from './release/worker.ts';
/** @public */
export { serveControl } from './requests/serve.ts';
export { serveSubscribers } from './sessions/host.ts';
/** @public */
export { type Release, Store, StoreError, type StoreOptions } from './store/store.ts';
