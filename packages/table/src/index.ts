/**
 * The table: a rule set in an environment, compiled to bytes of one shared memory that answer lookups from
 * any thread.
 *
 * Begin with table.ts (what its owner does) and lookup/reader.ts (what everybody else does), then follow the
 * data:
 *
 *   rule set ─▶ predicates ─▶ classes of addresses ─▶ maps ┐
 *      └─▶ outlines ─▶ parts ─▶ rows and nodes: programs ──┴─▶ image ─▶ flip ─▶ address ─ map ─▶ class ─ program ─▶ code ─▶ verdict
 *
 * The folders, each of which imports those before it:
 *
 *   memory    the bytes that all threads share: control words, which generation is in force, what of the heap is in use
 *   classes   what rules ask of an address, and the classes of addresses of which they ask the same
 *   map       from an address to its class, and how a map is edited
 *   program   from a class, protocol and port to a code; program.ts draws the words
 *   image     all of a generation in one: its header, the pieces it takes, and how one follows another
 *   edit      what a small change of lists, names or rules is in terms of predicates, made in place of a compile
 *   lookup    the engine in WebAssembly (../assembly), readers, hits, verdicts in words and explained
 */

export type { ImageSizes } from './image/image.ts';
export {
  DEFAULT_TABLE_LIMITS,
  TableEngineCode,
  TableEngineError,
  TableLimitCode,
  TableLimitError,
  type TableLimits,
} from './limits.ts';
export type { PacketColumns } from './lookup/engine.ts';
export type { Explanation } from './lookup/explain.ts';
export type { ProgramHits, TableHits } from './lookup/hits.ts';
export { openReader, type TableReader } from './lookup/reader.ts';
export {
  LookupDirection,
  type PacketBatch,
  type TableVerdict,
  UNREADABLE,
  type VerdictBatch,
} from './lookup/verdict.ts';
export { READER_SLOTS } from './memory/control.ts';
export { flipTable, type TableFlip, type TableHandle, TablePinnedError } from './memory/double-buffer.ts';
export { CODE_ACTION_MASK, CodeAction } from './program/program.ts';
export { type Prepared, Table, type TableOptions, type TableStats } from './table.ts';
