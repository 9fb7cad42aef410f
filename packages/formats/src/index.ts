/** What people write, read into values and rejects. */

export {
  isListFormatName,
  LIST_FILTERS,
  LIST_FORMATS,
  type ListFilter,
  type ListFormat,
  type ListFormatName,
  listFormat,
} from './collect/format.ts';
export {
  type DeclaredCount,
  ImportFault,
  type ImportOptions,
  SKIP_REASONS,
  type SkipCode,
  type Skipped,
} from './collect/options.ts';
export {
  type ConfigDocument,
  type CurveConfig,
  type MustReach,
  type NeverBlockConfig,
  operandsOf,
  type PublisherConfig,
  parseConfig,
  SOURCE_LIMITS,
  type SourceLimits,
} from './config/config.ts';
export type { FetchConfig } from './config/fetch.ts';
export {
  type GuardConfig,
  LIST_DEFAULTS,
  type ListConfig,
  type ListSource,
  type RestConfig,
  type TableConfig,
} from './config/list.ts';
export type { ConfigText } from './config/reader.ts';
export type { ReadingConfig } from './config/reading.ts';
export type { BindingConfig, SocketConfig, SubscriberConfig } from './config/subscribers.ts';
export {
  type DocumentEntrySink,
  DocumentFault,
  type DocumentOptions,
  documentReferences,
  parseDocument,
  type ReadReferenced,
  type RuleSetDocument,
} from './document/document.ts';
export {
  type ExpectedAction,
  PACKET_TEXT_HELP,
  PacketFault,
  type PacketFaultResult,
  type PacketResult,
  parsePacketLine,
  parsePacketText,
} from './document/packet.ts';
export { formatDocument } from './document/print.ts';
export { parseRuleLines, type RuleLines, type RuleLinesOptions } from './document/rule-lines.ts';
export { DOCUMENT_SCHEMA } from './document/schema.ts';
export { SchemaFault } from './document/shape.ts';
export { TreeFault } from './document/tree.ts';
export { type IngestHow, type IngestNote, type IngestResult, ingest } from './ingest.ts';
export { detectFormat, type Format } from './list/detect-file.ts';
// Lists in every format.
export { detectListFormat } from './list/detect-list.ts';
export {
  EXPORT_FORMATS,
  type ExportFormatName,
  type ExportOptions,
  exportList,
  isExportFormatName,
  type ListExport,
} from './list/export.ts';
export { type ImportedList, importList } from './list/import.ts';
export {
  DEFAULT_TOLERANCE,
  type ImportVerdict,
  JudgeCode,
  type JudgeOptions,
  judgeImport,
} from './list/judge.ts';
export {
  joinLists,
  type PushAction,
  type PushedFile,
  type PushedParts,
  type PushInput,
  type PushObserver,
  type ReadFile,
  readPushed,
} from './pushed.ts';
export { EntryFaultCode, type HostBits, type ShortPrefixes } from './text/entry.ts';
export { FORMAT_LIMITS, type FormatLimits } from './text/limits.ts';
export { type DocumentReject, type Reject, TextFault } from './text/reject.ts';
