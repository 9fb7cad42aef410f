/**
 * The engine: what WebAssembly does better than JavaScript, over the table's one shared memory. It owns no bytes of its own: all
 * addresses come from its caller, who has made sure that they stay (src/double-buffer.ts).
 *
 * The compiler of AssemblyScript checks these files. `@ts-ignore: decorator` is for editors only: TypeScript knows no decorators of
 * functions, and the comment covers the line of the decorator and nothing else.
 */

export {
  classesOf4,
  classesOf6,
  classOf4,
  classOf6,
  egress4,
  lookup4,
  lookup6,
  lookupAll4,
  lookupAll6,
} from './lookup';

/** Copies bytes of the table's memory as memory; the ranges may overlap. */
export function move(to: usize, from: usize, bytes: usize): void {
  memory.copy(to, from, bytes);
}
