/** A rule set in an environment, compiled to a table that answers lookups from any thread. */

export type { ImageSizes } from './image/image.ts';
export {
  DEFAULT_TABLE_LIMITS,
  TableEngineCode,
  TableEngineError,
  TableLimitCode,
  TableLimitError,
  type TableLimits,
  TableWorkerCode,
  TableWorkerError,
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
export { type TableHandle, TablePinnedError } from './memory/double-buffer.ts';
export { CODE_ACTION_MASK, CodeAction } from './program/program.ts';
export { type Prepared, Table, type TableOptions, type TableStats } from './table.ts';
