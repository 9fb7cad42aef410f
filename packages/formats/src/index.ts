/** What people write, read into values and rejects. */

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
} from './config.ts';
export type { FetchConfig } from './config-fetch.ts';
export {
  type GuardConfig,
  LIST_DEFAULTS,
  type ListConfig,
  type ListSource,
  type RestConfig,
  type TableConfig,
} from './config-list.ts';
export type { ConfigText } from './config-node.ts';
export type { ReadingConfig } from './config-reading.ts';
export type { BindingConfig, SocketConfig, SubscriberConfig } from './config-subscribers.ts';
export { detectFormat, type Format } from './detect.ts';
// Lists in every format.
export { detectListFormat } from './detect-list.ts';
export {
  type DocumentEntrySink,
  DocumentFault,
  type DocumentOptions,
  documentReferences,
  parseDocument,
  type ReadReferenced,
  type RuleSetDocument,
} from './document.ts';
export { formatDocument } from './document-print.ts';
export { DOCUMENT_SCHEMA } from './document-schema.ts';
export { TreeFault } from './document-tree.ts';
export { EntryFaultCode, type HostBits, type ShortPrefixes } from './entry.ts';
export {
  EXPORT_FORMATS,
  type ExportFormatName,
  type ExportOptions,
  exportList,
  isExportFormatName,
  type ListExport,
} from './export.ts';
export { type ImportedList, importList } from './import.ts';
export {
  type DeclaredCount,
  ImportFault,
  type ImportOptions,
  SKIP_REASONS,
  type SkipCode,
  type Skipped,
} from './import-options.ts';
export { type IngestHow, type IngestNote, type IngestResult, ingest } from './ingest.ts';
export { DEFAULT_TOLERANCE, type ImportVerdict, JudgeCode, type JudgeOptions, judgeImport } from './judge.ts';
export { FORMAT_LIMITS, type FormatLimits } from './limits.ts';
export {
  isListFormatName,
  LIST_FILTERS,
  LIST_FORMATS,
  type ListFilter,
  type ListFormat,
  type ListFormatName,
  listFormat,
} from './list-format.ts';
export { type EntrySink, type ListText, type ListTextOptions, parseListText } from './list-text.ts';
export {
  type ExpectedAction,
  PACKET_TEXT_HELP,
  PacketFault,
  type PacketFaultResult,
  type PacketResult,
  parsePacketLine,
  parsePacketText,
} from './packet.ts';
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
export { type DocumentReject, type Reject, TextFault } from './reject.ts';
export { parseRuleLines, type RuleLines, type RuleLinesOptions } from './rule-lines.ts';
export { SchemaFault } from './shape.ts';
