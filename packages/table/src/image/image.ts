/**
 * Images: a rule set in an environment, compiled for lookups. Compiling writes private arrays only, and
 * refuses a rule set that does not fit. It computes the memory needed, the owner of the heap chooses the
 * place, and writing then cannot fail.
 */

import { type Action, type Environment, formsOf, type RuleSet, timeFor } from '@rulecast/rules';
import { ClassSets, type Cut, cutSpace } from '../classes/classes.ts';
import { Predicates } from '../classes/predicate.ts';
import type { TableLimits } from '../limits.ts';
import { type MapShape, measureMap, type PrefixMap, writeMap } from '../map/map.ts';
import { type ValueWidth, widthFor } from '../map/node.ts';
import { GRANULE_BYTES, type MemoryViews } from '../memory/memory.ts';
import { compilePrograms, type Programs } from '../program/compiler.ts';
import type { BlockPredicates } from '../program/outline.ts';
import { ProgramOutlines } from '../program/outline.ts';
import { compileOwners, type Owners } from '../program/owner.ts';
import {
  HEADER_BYTES,
  type ImagePlaces,
  type NamesSection,
  shareBytes,
  shareCount,
  writeHeader,
} from './header.ts';
import { bytesOf, type ImagePieces } from './pieces.ts';

/** The sizes of a table's content. */
export interface ImageSizes {
  /** Bytes of all that the generation leads to, the hits and their shares included. */
  readonly bytes: number;
  /** Distinct classes of remote addresses since the last full compile. */
  readonly classes: number;
  /** Prefixes of all predicates: lists, names, runs' own, DNS. */
  readonly entries: number;
  readonly predicates: number;
  /** Addresses at which the class changes, within slots. */
  readonly boundaries4: number;
  readonly boundaries6: number;
  /** Runs over all programs, common ones once per program. */
  readonly runs: number;
  readonly programs: number;
  /** Words of all programs. */
  readonly programWords: number;
}

export const NO_SIZES: ImageSizes = {
  bytes: 0,
  classes: 0,
  entries: 0,
  predicates: 0,
  boundaries4: 0,
  boundaries6: 0,
  runs: 0,
  programs: 0,
  programWords: 0,
};

/** Seconds since 1970, or infinity. */
export type NextExpiry = Readonly<Record<Action, number>>;

/** The data of a compiled image that edits need. */
export interface EditBase {
  /**
   * The predicates of lists, names and DNS addresses, as `Predicates.byName` has them; negative for those of
   * no address.
   */
  readonly named: readonly (readonly [key: string, predicate: number])[];
  /** The predicates of all runs, by the number of their block. */
  readonly blocks: readonly BlockPredicates[];
  /** The checks of the programs' runs. */
  readonly asks: readonly number[];
  /** Edits go on using it. */
  readonly sets: ClassSets;
  /** When the next rule of each action expires, in seconds since 1970, or infinity. */
  readonly nextExpiry: NextExpiry;
}

/** A compiled image, not yet anywhere. */
export interface CompiledImage {
  readonly sizes: ImageSizes;
  /** Bytes. */
  readonly pieces: ImagePieces;
  readonly edit: EditBase;
  readonly map4: MeasuredMap;
  readonly map6: MeasuredMap;
  readonly owners: Owners;
  readonly owner4: MeasuredMap;
  readonly owner6: MeasuredMap;
  readonly programs: Programs;
  readonly names: Uint8Array;
}

interface MeasuredMap {
  readonly cut: Cut;
  readonly width: ValueWidth;
  readonly shape: MapShape;
}

/** Compiles a rule set. Throws TableLimitError. */
export function compileImage(ruleSet: RuleSet, environment: Environment, limits: TableLimits): CompiledImage {
  const predicates = new Predicates(ruleSet);
  const outlines = new ProgramOutlines(ruleSet, environment, predicates);
  const sets = new ClassSets(predicates.count, limits);
  const cuts = [cutSpace(predicates.v4, sets), cutSpace(predicates.v6, sets)] as const;
  const programs = compilePrograms(outlines, sets, limits);
  const owners = compileOwners(outlines, limits);
  const most = classesWithin(sets);
  const [map4, map6] = [measured(cuts[0], most), measured(cuts[1], most)];
  const owner4 = measured(owners.v4, owners.classCount);
  const owner6 = measured(owners.v6, owners.classCount);
  const names: NamesSection = { policies: programs.policyNames, lists: programs.listNames };
  const nameBytes = new TextEncoder().encode(JSON.stringify(names));
  const rest: ImagePieces = {
    header: HEADER_BYTES,
    directory4: map4.shape.slots * 4,
    directory6: map6.shape.slots * 4,
    nodes: map4.shape.nodeBytes + map6.shape.nodeBytes,
    owners: [owner4, owner6].reduce((sum, { shape }) => sum + mapBytes(shape), 0) + owners.records.byteLength,
    programs: programs.blob.byteLength + nameBytes.length,
    hits: programs.outcomeCount * 8,
    shares: 0,
  };
  const { outcomeCount } = programs;
  const shares = shareCount(outcomeCount, bytesOf(rest, rest)) * shareBytes(outcomeCount);
  const pieces: ImagePieces = { ...rest, shares };
  const sizes: ImageSizes = {
    bytes: bytesOf(pieces, pieces),
    classes: sets.count,
    entries: predicates.entryCount,
    predicates: predicates.count,
    boundaries4: map4.shape.bounds,
    boundaries6: map6.shape.bounds,
    runs: programs.runCount,
    programs: outlines.all.length,
    programWords: programs.usedWords,
  };
  const edit: EditBase = {
    named: [...predicates.byName],
    blocks: blockPredicates(outlines),
    asks: programs.asks,
    sets,
    nextExpiry: nextExpiry(ruleSet, environment),
  };
  return { sizes, pieces, edit, map4, map6, owners, owner4, owner6, programs, names: nameBytes };
}

/**
 * The number of classes that an image should have values for: edits may add some, but none if there is only
 * one predicate.
 */
function classesWithin({ count, predicateCount }: ClassSets): number {
  return predicateCount <= 1 ? 2 : Math.max(3, count + (count >> 6));
}

function measured(cut: Cut, classCount: number): MeasuredMap {
  const width = widthFor(cut.family, classCount);
  return { cut, width, shape: measureMap(cut, width) };
}

function blockPredicates({ blocks, policies }: ProgramOutlines): readonly BlockPredicates[] {
  return blocks.map(({ policy, block, direction, predicates }) => {
    return { policy: policies[policy]?.name ?? '', block, direction, predicates };
  });
}

function nextExpiry({ policies }: RuleSet, environment: Environment): NextExpiry {
  const next = { accept: Number.POSITIVE_INFINITY, drop: Number.POSITIVE_INFINITY };
  for (const { match } of formsOf(policies.values())) {
    const { action, expire = Number.POSITIVE_INFINITY } = match;
    if (expire > timeFor(action, environment) && expire < next[action]) next[action] = expire;
  }
  return next;
}

/** Bytes of a map in one piece: the directory, then the nodes at the next granule. */
function mapBytes({ slots, nodeBytes }: MapShape): number {
  return Math.max(GRANULE_BYTES, slots * 4) + nodeBytes;
}

/** Writes a compiled image to memory taken for it, which no reader may see meanwhile. */
export function writeImage(
  compiled: CompiledImage,
  generation: number,
  views: MemoryViews,
  places: ImagePieces,
): void {
  const { programs, names, owners } = compiled;
  let nodesAt = places.nodes;
  const written = ({ cut, width, shape }: MeasuredMap, directory: number): PrefixMap => {
    const map = { directory, slotMask: shape.slots - 1, width };
    writeMap(cut, views, map, nodesAt);
    nodesAt += shape.nodeBytes;
    return map;
  };
  const map4 = written(compiled.map4, places.directory4);
  const map6 = written(compiled.map6, places.directory6);
  const owner6At = places.owners + mapBytes(compiled.owner4.shape);
  const recordsAt = owner6At + mapBytes(compiled.owner6.shape);
  nodesAt = owner6At - compiled.owner4.shape.nodeBytes;
  const owner4 = written(compiled.owner4, places.owners);
  nodesAt = recordsAt - compiled.owner6.shape.nodeBytes;
  const owner6 = written(compiled.owner6, owner6At);
  views.words.set(owners.records, recordsAt >>> 2);
  views.words.set(programs.blob, places.programs >>> 2);
  const namesAt = places.programs + programs.blob.byteLength;
  views.bytes.set(names, namesAt);
  views.longs.fill(0n, places.hits >>> 3, (places.hits + compiled.pieces.hits) >>> 3);
  const sharesBytes = places.shares === 0 ? 0 : compiled.pieces.shares;
  views.longs.fill(0n, places.shares >>> 3, (places.shares + sharesBytes) >>> 3);
  const all: ImagePlaces = {
    generation,
    map4,
    map6,
    owner4,
    owner6,
    owners: recordsAt,
    programs: places.programs,
    programWords: programs.blob.length,
    hits: places.hits,
    shares: places.shares,
    shareCount: sharesBytes / shareBytes(programs.outcomeCount),
    hitsSince: generation,
    outcomeCount: programs.outcomeCount,
    names: namesAt,
    nameBytes: names.length,
  };
  writeHeader(views, places.header, all);
}
