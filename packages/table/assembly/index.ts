/**
 * The engine: what WebAssembly does better than JavaScript, over the table's one shared memory. It owns no
 * bytes of its own: all addresses come from its caller, who has made sure that they stay
 * (src/memory/double-buffer.ts).
 *
 * `@inline` stands where the compiler would not do it by itself, mostly to have a function once for each
 * family; without it lookups are 13 to 19 % slower. TypeScript knows no decorators of functions:
 * `@ts-ignore: decorator` says so to editors, for that line only. What checks these files is the compiler of
 * AssemblyScript.
 */

export {
  batch4,
  egress4,
  judgePacket,
  lookup4,
  lookup6,
  lookupAll,
  lookupRest,
  open,
} from './lookup';

/** Copies bytes of the table's memory as memory; the ranges may overlap. */
export function move(to: usize, from: usize, bytes: usize): void {
  memory.copy(to, from, bytes);
}
