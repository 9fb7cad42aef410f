/**
 * Programs compiled as the table compiles them, and asked without maps, by assembly/program.ts as it is now.
 */

import {
  type Address,
  type Environment,
  type Family,
  IpProtocol,
  type Packet,
  type RuleSet,
  strideOf,
} from '@rulecast/rules';
import { ClassSets, type Cut, cutSpace } from '../src/classes/classes.ts';
import { ProtoBit } from '../src/classes/match-checks.ts';
import { Predicates } from '../src/classes/predicate.ts';
import { DEFAULT_TABLE_LIMITS, type TableLimits } from '../src/limits.ts';
import { detailOf } from '../src/lookup/verdict.ts';
import { compileWasm, instantiateWasm, TableMemory } from '../src/memory/memory.ts';
import { compilePrograms, type Programs } from '../src/program/compiler.ts';
import { programField } from '../src/program/origin.ts';
import { ProgramOutlines } from '../src/program/outline.ts';
import {
  NODE_KIND_MASK,
  NODE_OFFSET_SHIFT,
  NodeKind,
  ProgramHeader,
  TableKind,
} from '../src/program/program.ts';
import { compiledAssembly } from './assembly.ts';

export interface Compiled {
  readonly outlines: ProgramOutlines;
  readonly sets: ClassSets;
  readonly v4: Cut;
  readonly v6: Cut;
  readonly limits: TableLimits;
  readonly programs: Programs;
}

export function compile(
  ruleSet: RuleSet,
  environment: Environment,
  limits: Partial<TableLimits> = {},
): Compiled {
  const all = { ...DEFAULT_TABLE_LIMITS, ...limits };
  const predicates = new Predicates(ruleSet);
  const outlines = new ProgramOutlines(ruleSet, environment, predicates);
  const sets = new ClassSets(predicates.count, all);
  const [v4, v6] = [cutSpace(predicates.v4, sets), cutSpace(predicates.v6, sets)];
  return { outlines, sets, v4, v6, limits: all, programs: compilePrograms(outlines, sets, all) };
}

export function classOf({ v4, v6 }: Compiled, address: Address | undefined): number {
  return address === undefined ? 0 : classIn(address.family === 4 ? v4 : v6, address.words);
}

function classIn({ family, starts, classes, count }: Cut, words: Uint32Array): number {
  const stride = strideOf(family);
  let low = -1;
  let high = count;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    let order = 0;
    for (let w = 0; w < stride && order === 0; w++)
      order = (starts[middle * stride + w] ?? 0) - (words[w] ?? 0);
    if (order <= 0) low = middle;
    else high = middle;
  }
  return low < 0 ? 0 : (classes[low] ?? 0);
}

/** The program of a policy in one direction, or -1. */
export function programOf({ outlines }: Compiled, policy: string | undefined, direction: string): number {
  return outlines.all.findIndex(
    (outline) => outline.policy?.name === policy && outline.direction === direction,
  );
}

/** The protocol bit of a packet of a family, by its protocol number. */
export function protoBitOf(family: Family, proto: number): number {
  if (proto === IpProtocol.tcp) return ProtoBit.tcp;
  if (proto === IpProtocol.udp) return ProtoBit.udp;
  return proto === (family === 4 ? IpProtocol.icmp : IpProtocol.icmp6) ? ProtoBit.icmp : ProtoBit.other;
}

/** How a program finds the node of a class. */
export function rowKind(blob: Int32Array, program: number): 'one' | 'rows' | 'classes' | 'members' {
  const row = blob[programField(blob, program, 'rows')] ?? 0;
  if (programField(blob, program, 'classMask') !== 0) return 'rows';
  if (blob[ProgramHeader.shapeless] !== 0 || row < 0 || (row & NODE_KIND_MASK) !== NodeKind.table)
    return 'one';
  return blob[row >>> NODE_OFFSET_SHIFT] === TableKind.classes ? 'classes' : 'members';
}

const TILE = 64;
const ENTRY = `
  import { decide, decideTile, judgeOf } from './program';
  export function decideAll(blob: usize, packets: usize, count: i32, out: usize): void {
    for (let i = 0; i < count; i++) {
      const p = packets + (i << 4);
      store<i32>(out + (i << 2), decide(blob, load<i32>(p), load<i32>(p, 12), load<i32>(p, 4), load<i32>(p, 8)));
    }
  }
  export function decideTiles(blob: usize, programs: usize, program: i32, classes: usize, protos: usize, icmp: i32, details: usize,
    out: usize, count: i32, room: usize): void {
    for (let i = 0; programs != 0 && i < count; i++) {
      const judge = programs + (<usize>i << 2);
      store<u32>(judge, <u32>judgeOf(blob, load<i32>(judge)));
    }
    for (let i = 0; i < count; i += ${TILE}) {
      const at: usize = i << 2;
      const from: usize = programs == 0 ? 0 : programs + at;
      const some = min(count - i, ${TILE});
      decideTile(blob, from, program, classes + at, protos + i, icmp, details + at, out + at, some, room);
    }
  }`;

type Run = (...args: readonly number[]) => void;

/** Packets as columns, all for one family. */
export interface DecideColumns {
  /** A program for each packet, negative for none, or one for all. */
  readonly programs: Int32Array | number;
  readonly classes: Int32Array;
  readonly protos: Uint8Array;
  /** The protocol number of the family's ICMP. */
  readonly icmp: number;
  readonly details: Int32Array;
}

/** What a program is asked about. */
export type Question = readonly [program: number, classId: number, protoBit: number, detail: number];

/** assembly/program.ts in a memory of its own. */
export class ProgramEngine {
  readonly #memory: TableMemory;
  readonly #exports: Readonly<Record<string, unknown>>;

  private constructor(binary: Uint8Array) {
    this.#memory = TableMemory.create(65536, 2 ** 30);
    this.#exports = instantiateWasm(compileWasm(binary), this.#memory.handle);
  }

  static async load(): Promise<ProgramEngine> {
    return new ProgramEngine(await compiledAssembly(ENTRY, ['program', 'layout']));
  }

  /** The code of a packet that a program judges. */
  codeOf(compiled: Compiled, program: number, packet: Packet): number {
    const classId = classOf(compiled, packet.direction === 'egress' ? packet.dst : packet.src);
    const asked = [program, protoBitOf(packet.dst.family, packet.proto), detailOf(packet), classId];
    return this.decideAll(compiled.programs.blob, Int32Array.from(asked))[0] ?? -1;
  }

  decideEach(blob: Int32Array, questions: readonly Question[]): number[] {
    const asked = questions.flatMap(([program, classId, bit, detail]) => [program, bit, detail, classId]);
    return [...this.decideAll(blob, Int32Array.from(asked))];
  }

  /** The codes of many packets; each is a program, a protocol bit, a detail and a class. */
  decideAll(blob: Int32Array, packets: Int32Array): Int32Array {
    const count = packets.length / 4;
    const [at, from, out] = this.#place([blob, packets, new Int32Array(count)]);
    this.#run('decideAll', at, from, count, out);
    return this.#memory.views.words.slice(out >>> 2, (out >>> 2) + count);
  }

  /** The codes of many packets, tile by tile. */
  decideTiles(blob: Int32Array, { programs, classes, protos, icmp, details }: DecideColumns): Int32Array {
    const count = classes.length;
    const isColumn = typeof programs !== 'number';
    const protoWords = new Int32Array((count + 3) >> 2);
    new Uint8Array(protoWords.buffer).set(protos);
    const column = isColumn ? programs : new Int32Array(0);
    const places = this.#place([
      blob,
      column,
      classes,
      protoWords,
      details,
      new Int32Array(count),
      new Int32Array(TILE * 2),
    ]);
    const [at, programsAt, classesAt, protosAt, detailsAt, out, room] = places;
    const [from, one] = isColumn ? [programsAt, 0] : [0, programs];
    this.#run('decideTiles', at, from, one, classesAt, protosAt, icmp, detailsAt, out, count, room);
    return this.#memory.views.words.slice(out >>> 2, (out >>> 2) + count);
  }

  /** Puts arrays into the memory, end to end; returns the first byte of each. */
  #place<T extends readonly Int32Array[]>(arrays: readonly [...T]): { readonly [K in keyof T]: number } {
    let at = 64;
    const places = arrays.map(({ byteLength }) => {
      at += byteLength;
      return at - byteLength;
    });
    if (!this.#memory.reach(at + 64, 2 ** 30)) throw new RangeError(`no ${at} bytes of memory`);
    for (const [index, array] of arrays.entries())
      this.#memory.views.words.set(array, (places[index] ?? 0) >>> 2);
    return places as { readonly [K in keyof T]: number };
  }

  #run(name: string, ...args: readonly number[]): void {
    (this.#exports[name] as Run)(...args);
  }
}
