/**
 * The chains of a plan, within our limits for a kernel. If rules are chosen by the class of the address, each
 * class has a chain of its own, and class maps lead there (class-maps.ts).
 */

import {
  type Direction,
  type Family,
  FIREWALL_CHAINS_MAX,
  FIREWALL_RULES_MAX,
  type MatchClasses,
  type RuleMatch,
} from '@rulecast/rules';
import type { BlockPlan } from './blocks.ts';
import { classMapsOf, type LoadedMaps } from './class-maps.ts';
import { endsAlways, matchRule } from './matches.ts';
import { type ClassMap, partChain, type Step } from './plan.ts';

/** A part of a chain: a step, or runs among which the class of the address chooses. */
export type Part = Step | ClassPart;

interface ClassPart {
  readonly kind: 'classes';
  /** Direction, family, policy and block. */
  readonly place: string;
  readonly classes: MatchClasses;
  readonly together: BlockPlan['together'];
}

/** The classes of a part, with data that the next plan reuses. */
export interface ClassBasis {
  readonly classes: MatchClasses;
  /** Maps that were loaded whole. */
  readonly loaded: LoadedMaps;
  readonly chains: ReadonlyMap<readonly RuleMatch[], ClassChain>;
}

interface ClassChain {
  /** Cache key: everything but the class that the chain depends on. */
  readonly context: string;
  readonly chain: string;
  readonly steps: readonly Step[];
}

export class Chains {
  readonly all = new Map<string, readonly Step[]>();
  readonly classMaps = new Map<string, ClassMap>();
  /** By place. */
  readonly basis = new Map<string, ClassBasis>();
  readonly #before: ReadonlyMap<string, ClassBasis> | undefined;
  #ruleTotal = 0;

  constructor(before: ReadonlyMap<string, ClassBasis> | undefined) {
    this.#before = before;
  }

  /** Throws RangeError where it is one too many. */
  add(name: string, steps: readonly Step[]): void {
    if (this.all.has(name)) return; // of the same class
    this.#ruleTotal += steps.length;
    this.all.set(name, steps);
    if (this.#ruleTotal > FIREWALL_RULES_MAX || this.all.size > FIREWALL_CHAINS_MAX) {
      throw new RangeError(
        `the release needs more than ${FIREWALL_RULES_MAX} rules or ${FIREWALL_CHAINS_MAX} chains of nftables: gather destinations in lists`,
      );
    }
  }

  /**
   * The parts of a chain as steps. A class chain without a verdict continues with the parts after it, which
   * then are a chain of their own; so the last parts are built first.
   */
  addParts(name: string, parts: readonly Part[], direction: Direction, family: Family): readonly Step[] {
    let steps: Step[] = [];
    let after = 0; // parts of classes
    for (const part of [...parts].reverse()) {
      if (part.kind !== 'classes') {
        steps.unshift(part);
        continue;
      }
      const rest = steps;
      const falls = part.classes.classes.some((matches) => !endsAlways(matches));
      if (falls && rest.length > 0) {
        const chain = partChain(direction, family, `${name} rest ${after++}`);
        this.add(chain, rest);
        steps = [{ kind: 'goto', chain }];
      }
      steps = this.#classify(part, direction, family, falls ? steps[0] : undefined);
    }
    this.add(name, steps);
    return steps;
  }

  /**
   * The lookups that find the class of an address, and the chains of the classes. `rest`: the steps if these
   * decide nothing.
   */
  #classify(
    { place, classes, together }: ClassPart,
    direction: Direction,
    family: Family,
    rest: Step | undefined,
  ): Step[] {
    const before = this.#before?.get(place);
    const inUse = new Uint8Array(classes.classes.length);
    markUsed(inUse, classes.classOf);
    const loadedBefore = before?.loaded.classes;
    if (loadedBefore?.classes === classes.classes) markUsed(inUse, loadedBefore.classOf); // its maps lead there
    const context = JSON.stringify([direction, family, together, rest]);
    const made = new Map<readonly RuleMatch[], ClassChain>();
    const chains = classes.classes.map((matches, own) => {
      if (inUse[own] === 0) return '';
      if (matches.length === 0 && rest?.kind === 'goto') return rest.chain;
      const known = before?.chains.get(matches);
      const each =
        known?.context === context
          ? known
          : classChain(matches, { context, together, direction, family, rest });
      made.set(matches, each);
      this.add(each.chain, each.steps);
      return each.chain;
    });
    const { maps, otherwise, loaded } = classMapsOf(classes, chains, before?.loaded);
    this.basis.set(place, { classes, loaded, chains: made });
    for (const { name, map } of maps) this.classMaps.set(name, map);
    const lookups = maps.map(({ name }): Step => ({ kind: 'classify', map: name }));
    return [...lookups, { kind: 'goto', chain: otherwise }];
  }
}

/** The chain of a class. */
function classChain(
  matches: readonly RuleMatch[],
  of: Pick<ClassPart, 'together'> & {
    readonly context: string;
    readonly direction: Direction;
    readonly family: Family;
    readonly rest: Step | undefined;
  },
): ClassChain {
  const { context, together, direction, family, rest } = of;
  const steps: Step[] = matches.flatMap((match): Step[] => {
    const rule = matchRule(match, family);
    if (rule === undefined) return [];
    return [{ ...rule, remote: { kind: 'any' }, original: false, counter: together[match.action] }];
  });
  if (rest !== undefined && !endsAlways(matches)) steps.push(rest);
  return { context, chain: partChain(direction, family, JSON.stringify(steps)), steps };
}

function markUsed(inUse: Uint8Array, classOf: Uint32Array): void {
  for (let at = 0; at < classOf.length; at++) inUse[classOf[at]!] = 1; // at < length; an iterator is slow until it is compiled
}
