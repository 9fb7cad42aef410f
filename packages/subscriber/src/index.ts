/**
 * The firewall side: receives, verifies, compiles and enforces releases, and answers lookups meanwhile. Use
 * it through `createSubscriber`. Begin with apply/commit.ts, which has the order of a commit, then
 * peer/machine.ts, which is a connection without clock and channel. peer/session.ts gives it both, and
 * peer/subscriber.ts is the class behind createSubscriber.
 */

export type { ActiveRelease, ApplyReport } from './apply/activator.ts';
export type { Sink, SinkRelease } from './apply/sink.ts';
export type { SubscriberEvents, SubscriberOptions, SubscriberStatus } from './peer/options.ts';
export { createSubscriber, type Subscriber } from './peer/subscriber.ts';
/** @public */
export { StateError } from './state/state.ts';
