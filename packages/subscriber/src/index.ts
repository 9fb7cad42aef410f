/** The firewall side: receive, verify, compile, flip, acknowledge. Start with `createSubscriber`. */

export { type ActiveRelease, type ApplyReport, RefusedError } from './apply/activator.ts';
export type { Sink, SinkRelease } from './apply/sink.ts';
export {
  createSubscriber,
  type Subscriber,
  type SubscriberEvents,
  type SubscriberOptions,
  type SubscriberStatus,
} from './peer/subscriber.ts';
export { type ActiveMark, StateDirectory, StateError, type StoredRelease } from './state/state.ts';
