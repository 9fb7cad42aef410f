/**
 * Makes room for openings: a qube may have a limited number of addresses by name and by list; beyond that,
 * its own openings without a flow give way.
 */

import { NAME_ADDRESSES_MAX } from '@rulecast/rules/columns';
import { NAME_ADDRESSES_OF_ONE_MAX, SPARED_MS } from '../limits.ts';
import type { NameLabel } from '../plan/name-set.ts';
import { aheadOf, type Entry, forgetEnded, type Holding, textOf } from './book.ts';
import { type Flows, NEEDS_LOOK } from './looks.ts';
import { Outcome } from './opening.ts';

/**
 * Chooses the openings of a qube that give way to new ones, of the same name and of all, over both of its
 * addresses. If that needs a look at flows, it also frees room for the next ones; then `takes` is how many
 * fit. `its`: the openings by its address of the other family.
 */
export function withoutRoom(
  mine: Holding,
  its: Holding | undefined,
  added: ReadonlyMap<string, Entry>,
  label: NameLabel,
  nowMs: number,
  flows: Flows | undefined,
):
  | {
      readonly takes: ReadonlyMap<string, Entry>;
      readonly mine: readonly Entry[];
      readonly its: readonly Entry[];
    }
  | typeof NEEDS_LOOK
  | typeof Outcome.full {
  // Nearly always there is room, and no flows need to be examined.
  const all = { takes: added, mine: [], its: [] };
  if (flows === undefined && isRoom(mine, its, added, label)) return all;
  forgetEnded(mine, nowMs);
  if (its !== undefined) forgetEnded(its, nowMs);
  if (flows === undefined) return isRoom(mine, its, added, label) ? all : NEEDS_LOOK;
  for (const each of [...mine.values(), ...(its?.values() ?? [])])
    if (flows.has(textOf(each.key))) each.usedMs = nowMs;
  const takes = admitted(mine, its, added, label, nowMs, flows);
  if (takes.size === 0 && added.size > 0) return Outcome.full;
  const gone = new Set<Entry>();
  const isAhead = added.size === 0;
  for (const { entries, idle, most } of crowdsOf(besides(mine, its, takes), label, nowMs, flows, isAhead)) {
    const excess = entries.filter((each) => !gone.has(each)).length + takes.size - (most - 2 * aheadOf(most));
    const idleLeft = idle.filter((each) => !gone.has(each));
    for (const each of idleLeft.slice(0, Math.max(0, excess))) gone.add(each);
  }
  const isGone = (entry: Entry): boolean => gone.has(entry);
  return { takes, mine: [...mine.values()].filter(isGone), its: [...(its?.values() ?? [])].filter(isGone) };
}

/** The openings of a qube other than those at these addresses. */
function besides(
  mine: Holding,
  its: Holding | undefined,
  addresses: ReadonlyMap<string, Entry>,
): readonly Entry[] {
  const own = [...mine].flatMap(([address, entry]) => (addresses.has(address) ? [] : [entry]));
  return [...own, ...(its?.values() ?? [])];
}

/**
 * The added addresses that fit once all openings that may give way are gone. Addresses that the qube has
 * already need no room and come first, those of this name before others.
 */
function admitted(
  mine: Holding,
  its: Holding | undefined,
  added: ReadonlyMap<string, Entry>,
  label: NameLabel,
  nowMs: number,
  flows: Flows,
): ReadonlyMap<string, Entry> {
  const crowds = crowdsOf(besides(mine, its, added), label, nowMs, flows, added.size === 0);
  const room = Math.min(...crowds.map(({ entries, idle, most }) => most - (entries.length - idle.length)));
  if (room >= added.size) return added;
  const rank = ([address]: readonly [string, Entry]): number => {
    const entry = mine.get(address);
    return entry?.label === label ? 0 : entry === undefined ? 2 : 1;
  };
  return new Map([...added].sort((a, b) => rank(a) - rank(b)).slice(0, Math.max(0, room)));
}

/** The openings of one name, then all, with their limit; and those of them that may give way. */
function crowdsOf(
  all: readonly Entry[],
  label: NameLabel,
  nowMs: number,
  flows: Flows,
  isAhead: boolean,
): readonly { readonly entries: readonly Entry[]; readonly idle: readonly Entry[]; readonly most: number }[] {
  const ofName = all.filter((each) => each.label === label);
  const [most, mostOfName] = [NAME_ADDRESSES_MAX, NAME_ADDRESSES_OF_ONE_MAX];
  const [spared, sparedOfName] = isAhead ? [most / 2, mostOfName] : [0, 0];
  return [
    { entries: ofName, idle: idleIn(ofName, sparedOfName, nowMs, flows), most: mostOfName },
    { entries: all, idle: idleIn(all, spared, nowMs, flows), most },
  ];
}

/** The rank of an older opening: it gives way before all recent ones. */
const OLD_RANK = Number.MAX_SAFE_INTEGER;

/**
 * The openings without a flow, in the order in which they give way: the least recently used first. Recent
 * openings come last, beginning with the domain that has most, its oldest first, so that a domain with many
 * names does not crowd out others. Each domain keeps its newest `spared`.
 */
function idleIn(entries: readonly Entry[], spared: number, nowMs: number, flows: Flows): readonly Entry[] {
  const counts = new Map<string, number>();
  const newestFirst = entries
    .filter(({ key }) => !flows.has(textOf(key)))
    .sort((a, b) => b.usedMs - a.usedMs);
  const ranked = newestFirst.map((entry) => {
    if (nowMs - entry.sinceMs > SPARED_MS) return { entry, rank: OLD_RANK };
    const domain = domainOf(entry.label);
    const rank = counts.get(domain) ?? 0;
    counts.set(domain, rank + 1);
    return { entry, rank };
  });
  return ranked
    .filter(({ rank }) => rank >= spared)
    .reverse()
    .sort((a, b) => b.rank - a.rank)
    .map(({ entry }) => entry);
}

/** Names below one domain are its owner's, who can make up as many as he likes; digests have none. */
function domainOf(label: NameLabel): string {
  return label.includes('.') ? label.split('.').slice(-2).join('.') : '';
}

function isRoom(
  mine: Holding,
  its: Holding | undefined,
  added: ReadonlyMap<string, Entry>,
  label: NameLabel,
): boolean {
  let [more, moreOfName] = [0, 0];
  for (const address of added.keys()) {
    const entry = mine.get(address);
    if (entry === undefined) more++;
    if (entry?.label !== label) moreOfName++;
  }
  return (
    mine.size + (its?.size ?? 0) + more <= NAME_ADDRESSES_MAX &&
    mine.countOf(label) + (its?.countOf(label) ?? 0) + moreOfName <= NAME_ADDRESSES_OF_ONE_MAX
  );
}
