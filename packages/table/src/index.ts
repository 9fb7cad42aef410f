/**
 * The table: a rule set in an environment, compiled to bytes of one shared memory that answer lookups from
 * any thread. Begin with table.ts, the writer's side, and lookup/reader.ts, the readers'. Then follow the
 * data: predicates and classes of addresses (classes/), maps from an address to its class (map/), programs
 * from a class, protocol and port to a code (program/), and the image of a generation (image/). edit/ changes
 * one in place.
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
