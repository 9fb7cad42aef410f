/**
 * Chains in the kernel's form. It has a set for each prefix length of a column of addresses, and a rule looks
 * into one set, so one rule of a plan may become several.
 */

import { type AddressSet, type Plan, type PlanRule, type Step, setNames } from './plan.ts';

/** The difference beside a large set that is about to change: elements it lacks, and elements to ignore. */
export interface Overlay {
  readonly added: AddressSet | undefined;
  readonly removed: AddressSet | undefined;
}

type PlannedChains = Pick<Plan, 'chains' | 'sets'>;

/** Lowers the chains of a plan; one is reused from the plan before if it and its sets are unchanged. */
export function kernelChains(plan: PlannedChains, before: Plan | undefined): Plan['kernelChains'] {
  const all = new Map<string, readonly Step[]>();
  for (const [name, steps] of plan.chains) {
    const isSame =
      before?.chains.get(name) === steps &&
      setsOf(steps).every((set) => plan.sets.get(set) === before.sets.get(set));
    all.set(name, (isSame ? before.kernelChains.get(name) : undefined) ?? lowered(steps, plan));
  }
  return all;
}

/** The chains of a plan while its large sets do not have what they are to have. */
export function overlaidChains(plan: Plan, overlays: ReadonlyMap<string, Overlay>): Plan['kernelChains'] {
  const overlaid = [...plan.chains].filter(([, steps]) => setsOf(steps).some((set) => overlays.has(set)));
  return new Map([
    ...plan.kernelChains,
    ...overlaid.map(([name, steps]) => [name, lowered(steps, plan, overlays)] as const),
  ]);
}

function setsOf(steps: readonly Step[]): readonly string[] {
  return steps.filter(asksSet).map(({ remote }) => remote.set);
}

type SetRule = PlanRule & { readonly remote: { readonly kind: 'set' } };

function asksSet(step: Step): step is SetRule {
  return step.kind === 'rule' && step.remote.kind === 'set';
}

/** The lowered steps; the same object if no step uses a set. */
function lowered(
  steps: readonly Step[],
  { sets }: PlannedChains,
  overlays: ReadonlyMap<string, Overlay> = new Map(),
): readonly Step[] {
  if (!steps.some(asksSet)) return steps;
  return steps.flatMap((step): readonly Step[] => {
    if (!asksSet(step)) return [step];
    const set = sets.get(step.remote.set);
    if (set === undefined) return [];
    const { added, removed } = overlays.get(step.remote.set) ?? {};
    const except = removed === undefined ? [] : setNames(removed);
    const rule = (name: string, without: readonly string[]): Step => ({
      ...step,
      remote: { kind: 'set', set: name, except: without },
    });
    return [
      ...(added === undefined ? [] : setNames(added).map((name) => rule(name, []))),
      ...setNames(set).map((name) => rule(name, except)),
    ];
  });
}
