/**
 * Images: a rule set in an environment compiled to the bytes that answer lookups. Compiling writes private arrays only
 * and refuses what does not fit; writing puts them into a buffer and cannot refuse.
 */

import type { Environment } from '@rulecast/rules';
import { ClassSets, type Cut, cutSpace } from './classes.ts';
import {
  type Image,
  type ImagePlan,
  mapSections,
  type NamesSection,
  openImage,
  planImage,
  writeHeader,
} from './layout.ts';
import type { TableLimits } from './limits.ts';
import { compileOwners, type Owners } from './owner.ts';
import { Predicates } from './predicate.ts';
import { type MapShape, measureMap, writeMap } from './prefix-map.ts';
import { compilePrograms, ProgramPlans, type Programs } from './program.ts';
import type { RuleColumns } from './rule-columns.ts';

/** How large a table's content is. */
export interface ImageSizes {
  /** Bytes of the image. */
  readonly bytes: number;
  /** Distinct classes of remote addresses: in all, and those of each family. */
  readonly classes: number;
  readonly classes4: number;
  readonly classes6: number;
  /** Prefixes of all predicates: lists, names, runs' own, DNS. */
  readonly entries: number;
  readonly predicates: number;
  /** Addresses where the class changes. */
  readonly boundaries4: number;
  readonly boundaries6: number;
  /** Runs over all programs, common ones once per program. */
  readonly runs: number;
  readonly programs: number;
  /** Words of all candidate lists. */
  readonly listWords: number;
}

/** A compiled image, not yet anywhere. */
export interface CompiledImage {
  readonly plan: ImagePlan;
  readonly sizes: ImageSizes;
  readonly destination4: PlannedMap;
  readonly destination6: PlannedMap;
  readonly owner4: PlannedMap;
  readonly owner6: PlannedMap;
  readonly owners: Owners;
  readonly programs: Programs;
  readonly names: Uint8Array;
}

interface PlannedMap {
  readonly cut: Cut;
  readonly shape: MapShape;
}

/** Compiles a rule set. Throws TableLimitError. */
export function compileImage(
  rules: RuleColumns,
  environment: Environment,
  limits: TableLimits,
): CompiledImage {
  const predicates = new Predicates(rules);
  const plans = new ProgramPlans(rules.policies, environment, predicates);
  const sets = new ClassSets(predicates.count, limits);
  const cut4 = cutSpace(predicates.v4, sets);
  const cut6 = cutSpace(predicates.v6, sets);
  const programs = compilePrograms(plans, sets, limits);
  const owners = compileOwners(plans, limits);
  const planned = (cut: Cut, classCount: number): PlannedMap => ({ cut, shape: measureMap(cut, classCount) });
  const destination4 = planned(cut4, sets.count);
  const destination6 = planned(cut6, sets.count);
  const owner4 = planned(owners.v4, owners.classCount);
  const owner6 = planned(owners.v6, owners.classCount);
  const names: NamesSection = { policies: programs.policyNames, lists: programs.listNames };
  const nameBytes = new TextEncoder().encode(JSON.stringify(names));
  const words = (array: Int32Array): { elements: number; elementBytes: number } => ({
    elements: array.length,
    elementBytes: 4,
  });
  const plan = planImage([
    ...[destination4, destination6, owner4, owner6].flatMap(({ shape }) => mapSections(shape)),
    words(owners.records),
    words(programs.programs),
    words(programs.rows),
    words(programs.lists),
    words(programs.candidates),
    { elements: programs.outcomeCount, elementBytes: 8 },
    words(programs.blocks),
    words(programs.runLists),
    { elements: nameBytes.length, elementBytes: 1 },
  ]);
  const sizes: ImageSizes = {
    bytes: plan.bytes,
    classes: sets.count,
    classes4: cut4.classCount,
    classes6: cut6.classCount,
    entries: predicates.entryCount,
    predicates: predicates.count,
    boundaries4: cut4.count,
    boundaries6: cut6.count,
    runs: programs.outcomeCount - 1 - plans.plans.length,
    programs: plans.plans.length,
    listWords: programs.lists.length,
  };
  return { plan, sizes, destination4, destination6, owner4, owner6, owners, programs, names: nameBytes };
}

/** Writes a compiled image to the start of a buffer of at least `plan.bytes` bytes. Nobody else may look at it meanwhile. */
export function writeImage(compiled: CompiledImage, generation: number, buffer: ArrayBufferLike): Image {
  const { programs } = compiled;
  writeHeader(buffer, compiled.plan, {
    generation,
    width4: compiled.destination4.shape.width,
    ownerWidth4: compiled.owner4.shape.width,
  });
  const image = openImage(buffer);
  writeMap(compiled.destination4.cut, image.destination4);
  writeMap(compiled.destination6.cut, image.destination6);
  writeMap(compiled.owner4.cut, image.owner4);
  writeMap(compiled.owner6.cut, image.owner6);
  image.owners.set(compiled.owners.records);
  image.programs.set(programs.programs);
  image.rows.set(programs.rows);
  image.lists.set(programs.lists);
  image.candidates.set(programs.candidates);
  image.hits.fill(0);
  image.blocks.set(programs.blocks);
  image.runLists.set(programs.runLists);
  image.names.set(compiled.names);
  return image;
}
