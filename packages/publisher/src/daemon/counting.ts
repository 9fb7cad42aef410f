/** Has the publisher's sums grow by what connected firewalls count. */

import { Capability } from '@rulecast/protocol';
import { CounterPoll } from '../counts/poll.ts';
import type { Publisher } from '../release/publisher.ts';
import type { AskTable } from '../session/serve.ts';

/** Until it is closed. */
export function countFirewalls(publisher: Publisher, ask: AskTable): CounterPoll {
  const { clock, sums, subscribers } = publisher;
  return new CounterPoll({
    clock,
    sums,
    ask: (subscriber, from) => ask(subscriber, { question: 'stats', '+from': from }),
    connected: () =>
      subscribers
        .connected()
        .filter((name) => subscribers.find(name)?.capabilities?.includes(Capability.pages) === true),
    isKnown: (name) => subscribers.find(name) !== undefined,
    released: () => publisher.head?.ruleSet,
    inForceMs: (name) => {
      const { held, appliedAtMs, connectedSinceMs } = subscribers.find(name) ?? {};
      const { head } = publisher;
      if (held === undefined || head === undefined || !Buffer.from(held.hash).equals(head.hash))
        return undefined;
      return publisher.nowMs() - (appliedAtMs ?? connectedSinceMs ?? publisher.nowMs());
    },
  });
}
