/** The management side: sources to signed releases, served to subscribers. */

export type { IngestNote, PushAction, PushedFile, PushInput } from '@rulecast/formats';
export type { Served } from './accept.ts';
export { GuardError, type Plan } from './commit.ts';
export { type Identity, IdentityError, openIdentity } from './identity.ts';
export { Publisher, type PublisherOptions, type PushOptions, type PushOutcome } from './publisher.ts';
export type { GuardRefusal, PushPermits } from './push-guard.ts';
export {
  type DnsOptions,
  dnsResolver,
  type NameAnswer,
  type ResolveName,
  withFixedNames,
} from './resolve.ts';
export { serveControl } from './serve-control.ts';
export { type AskTable, type ServedSubscribers, serveSubscribers } from './serve-subscribers.ts';
export { type Release, Store, StoreError, type StoreOptions } from './store.ts';
