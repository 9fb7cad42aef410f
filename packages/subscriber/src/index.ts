/**
 * The firewall side: receive, verify, compile, flip, acknowledge. Start with `createSubscriber`.
 *
 * To read, begin with apply/commit.ts, which has the order of a commit, then peer/machine.ts, which is a
 * connection without clock and channel, peer/session.ts, which gives it both, and peer/subscriber.ts.
 *
 *   OFFER ─WANT─▶ BEGIN CHUNK… END ─▶ stage ─▶ verify, draft on disk ─▶ compile, sink.prepare, candidate on disk ─▶
 *   sink.commit ─▶ flip ─▶ mark on disk ─▶ APPLIED
 *
 * verify/  a transfer as it comes in, and whether it makes what was signed
 * clock/   when rules end, by clocks of which one may be set
 * state/   what is in force, on disk, twice
 * content/ the thread that owns rule sets, plans, and the table as its writer, and what it is asked
 * apply/   from a verified offer to a release in force, and back after a restart
 * refused/ what was refused: read, kept, and judged by the release in force
 * peer/    the connection to the publisher, and the class behind createSubscriber
 * daemon/  enforcement by nftables, and the DNS addresses of a file; daemon.ts is the process
 */

export type { ActiveRelease, ApplyReport } from './apply/activator.ts';
export type { Sink, SinkRelease } from './apply/sink.ts';
export type { SubscriberEvents, SubscriberOptions, SubscriberStatus } from './peer/options.ts';
export { createSubscriber, type Subscriber } from './peer/subscriber.ts';
/** @public */
export { StateError } from './state/state.ts';
