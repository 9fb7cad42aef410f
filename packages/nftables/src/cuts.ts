/**
 * Cuts: what to delete from the connection table so that the forbidden flows go and no other. Each deletion walks the whole table, so a
 * qube that may do nothing any more, or nothing with a host, is one deletion and not one for each of its flows.
 */

import type { Flow, FlowMatch } from './message.ts';

/** Fewer flows of one sender are deleted one by one: a flow that begins meanwhile is then left alone. */
const GATHERED_MIN = 8;

/** The deletions that take all forbidden ones of all flows from or to qubes. */
export function cutsFor(flows: readonly Flow[], forbidden: ReadonlySet<Flow>): readonly FlowMatch[] {
  const bySender = new Map<string, Flow[]>();
  for (const flow of flows) {
    const group = bySender.get(flow.src);
    if (group === undefined) bySender.set(flow.src, [flow]);
    else group.push(flow);
  }
  return [...bySender.values()].flatMap((group) => cutsOf(group, forbidden, ({ src }) => ({ src }), true));
}

function cutsOf(
  group: readonly Flow[],
  forbidden: ReadonlySet<Flow>,
  matchOf: (flow: Flow) => FlowMatch,
  divides: boolean,
): readonly FlowMatch[] {
  const cut = group.filter((flow) => forbidden.has(flow));
  const [first] = cut;
  if (first === undefined) return [];
  // Of senders that are no qubes, not all flows are known.
  if (first.fromQube && cut.length === group.length && cut.length >= GATHERED_MIN) return [matchOf(first)];
  if (!divides) return cut.map(exactMatch);
  const byReceiver = new Map<string, Flow[]>();
  for (const flow of group) {
    const members = byReceiver.get(flow.dst);
    if (members === undefined) byReceiver.set(flow.dst, [flow]);
    else members.push(flow);
  }
  return [...byReceiver.values()].flatMap((members) =>
    cutsOf(members, forbidden, ({ src, dst }) => ({ src, dst }), false),
  );
}

function exactMatch({ src, dst, protocol, srcPort, dstPort }: Flow): FlowMatch {
  return { src, dst, exact: { protocol, srcPort, dstPort } };
}
