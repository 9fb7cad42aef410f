/** A rule set in an environment, compiled to a table that answers lookups from any thread. */

export { READER_SLOTS } from './control.ts';
export { type TableHandle, TablePinnedError } from './double-buffer.ts';
export { EngineKind, type PacketColumns } from './engine.ts';
export type { Explanation } from './explain.ts';
export type { ProgramHits, TableHits } from './hits.ts';
export type { ImageSizes } from './image.ts';
export {
  DEFAULT_TABLE_LIMITS,
  TableLimitCode,
  TableLimitError,
  type TableLimits,
  TableWorkerCode,
  TableWorkerError,
} from './limits.ts';
export {
  LookupDirection,
  type PacketBatch,
  type TableVerdict,
  UNREADABLE,
  type VerdictBatch,
} from './lookup.ts';
export { CODE_ACTION_MASK, CodeAction } from './program.ts';
export { openReader, type TableReader } from './reader.ts';
export { type Prepared, Table, type TableOptions, type TableStats } from './table.ts';
