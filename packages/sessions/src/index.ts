/**
 * The server side of sessions: a publisher serves subscribers with it, and so does a reader of its depot.
 * Begin with host.ts, the interface to the server, then session/machine.ts, one connection as a pure machine.
 * admission/ decides who may connect, and subscribers/ has the record of each subscriber.
 */

export {
  connectionOn,
  type ListenAddress,
  placesOf,
  type Service,
  serveAll,
} from './admission/accept.ts';
export { type Binding, Bindings, type OwnSocket, shownKey } from './admission/bindings.ts';
export { PendingConnections } from './admission/pending.ts';
export { busy, type Refusal, SILENT, versionRefusal } from './admission/refusal.ts';
export type { PublisherView, SessionHost, SessionRelease, SessionTransfer } from './host.ts';
export { Pace } from './pace.ts';
export { isStrange, provenRelease } from './session/greeting.ts';
export { Heartbeat } from './session/heartbeat.ts';
export type { RelayHost } from './session/relay.ts';
export {
  type AskTable,
  type ServedSubscribers,
  type SubscriberOptions,
  serveSessions,
} from './session/serve.ts';
/** @public */
export { type Admit, SubscriberSession } from './session/session.ts';
export {
  type HeldRelease,
  newEntry,
  type Reason,
  type Refusal as SubscriberRefusal,
  type ReleaseNumber,
  refusalOf,
  type StoredSubscriber,
  type SubscriberEntry,
} from './subscribers/entry.ts';
export { type Firewall, type Outcome, Subscribers } from './subscribers/subscribers.ts';
