/** The management side: sources to signed releases, served to subscribers. */

export type { IngestNote, PushAction, PushedFile, PushInput } from '@rulecast/formats';
export type { Served } from './admission/accept.ts';
export type { GuardRefusal, PushPermits } from './guards/refusal.ts';
export {
  type DnsOptions,
  dnsResolver,
  type NameAnswer,
  type ResolveName,
  withFixedNames,
} from './names/resolve.ts';
export { GuardError, type ReleaseDraft } from './release/commit.ts';
export {
  Publisher,
  type PublisherOptions,
  type PushOptions,
  type PushOutcome,
  type ReleaseAudit,
} from './release/publisher.ts';
export { serveControl } from './requests/serve.ts';
export { type AskTable, type ServedSubscribers, serveSubscribers } from './session/serve.ts';
export { type Identity, IdentityError, openIdentity } from './store/identity.ts';
export { type Release, Store, StoreError, type StoreOptions } from './store/store.ts';
