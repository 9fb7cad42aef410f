/** A rule set in an environment, compiled to a table that answers lookups from any thread. */
export { TablePinnedError } from './double-buffer.js';
export { READER_SLOTS } from './layout.js';
export { DEFAULT_TABLE_LIMITS, TableLimitCode, TableLimitError } from './limits.js';
export { LookupDirection, UNREADABLE, } from './lookup.js';
export { CODE_ACTION_MASK, CodeAction } from './program.js';
export { openReader } from './reader.js';
export { Table } from './table.js';
//# sourceMappingURL=index.js.map