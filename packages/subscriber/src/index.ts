/** The firewall side: receive, verify, compile, flip, acknowledge. Start with `createSubscriber`. */

export { type ActiveRelease, type ApplyReport, RefusedError } from './apply.ts';
export type { Sink, SinkRelease } from './sink.ts';
export { type ActiveMark, StateDirectory, StateError, type StoredRelease } from './state.ts';
export {
  createSubscriber,
  type Subscriber,
  type SubscriberEvents,
  type SubscriberOptions,
  type SubscriberStatus,
} from './subscriber.ts';
