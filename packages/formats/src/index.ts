/**
 * Reads what people write and feeds publish into values and rejects. Pure: bytes in, values out; nothing here
 * opens a file. Begin with list/import.ts, which reads a list in any format, then ingest.ts, which applies a
 * push to a rule set, and config/config.ts, the publisher's configuration. A program that starts anew for
 * each command imports single files, such as `@rulecast/formats/detect`: the bundler keeps everything named
 * here, with ajv and yaml.
 */

export { isListFormatName, LIST_FORMATS, type ListFormatName } from './collect/format.ts';
export type { ImportOptions, Skipped } from './collect/options.ts';
export {
  type DepotConfig,
  type FleetConfig,
  type MustReach,
  type NeverBlockConfig,
  operandsOf,
  type PublisherConfig,
  parseConfig,
  SOURCE_LIMITS,
  type SourceLimits,
} from './config/config.ts';
export { isConfig } from './config/detect-config.ts';
export type { FetchConfig } from './config/fetch.ts';
export type { GuardConfig, ListConfig } from './config/list.ts';
export { LIST_DEFAULTS, type RestConfig } from './config/list-keys.ts';
export { OPERATOR_ROLES, type OperatorRole } from './config/operators.ts';
export type { ConfigText } from './config/reader.ts';
export type { ReadingConfig } from './config/reading.ts';
export type { BindingConfig } from './config/subscribers.ts';
export type { TableConfig } from './config/table.ts';
export {
  type DocumentEntrySink,
  parseDocument,
  type RuleSetDocument,
} from './document/document.ts';
export { isFirewallXml, readFirewallXml } from './document/firewall-xml.ts';
export { insertLines } from './document/insert.ts';
export { mergeDocument } from './document/merge.ts';
export {
  type ExpectedAction,
  parsePacketLine,
  parsePacketText,
} from './document/packet.ts';
export { isQuestionText, parseQuestionText } from './document/question.ts';
export { documentReferences } from './document/references.ts';
export { parseRuleLines } from './document/rule-lines.ts';
export {
  type IngestNote,
  type IngestResult,
  ingest,
  NO_OWNED_PARTS,
  NOTHING_TO_WITHDRAW,
  type OwnedParts,
} from './ingest.ts';
export { isJsonFormat } from './json/formats.ts';
export { jsonQueryOf } from './json/query.ts';
export { acceptImport, ImportRefusal } from './list/acceptance.ts';
export { detectFormat } from './list/detect-file.ts';
export { detectListFormat } from './list/detect-list.ts';
export { EXPORT_FORMATS, type ExportFormatName, exportList, isExportFormatName } from './list/export.ts';
export { adviceOn, type ImportedList, importList } from './list/import.ts';
export { listUse, type UsePlace } from './list-use.ts';
export {
  type PushedFile,
  type PushedParts,
  type PushInput,
  type PushObserver,
  type ReadFile,
  readPushed,
} from './pushed.ts';
export { FORMAT_LIMITS } from './text/limits.ts';
export { finderOf } from './text/pattern.ts';
export { type DocumentReject, type Reject, TextFault } from './text/reject.ts';
