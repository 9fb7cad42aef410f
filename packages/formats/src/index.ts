/** What people write, read into values and rejects. */

export { detectFormat, type Format } from './detect.ts';
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
export { DOCUMENT_SCHEMA, SchemaFault } from './document-schema.ts';
export { TreeFault } from './document-tree.ts';
export { EntryFaultCode } from './entry.ts';
export { FORMAT_LIMITS, type FormatLimits } from './limits.ts';
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
export { type DocumentReject, type Reject, TextFault } from './reject.ts';
export { parseRuleLines, type RuleLines, type RuleLinesOptions } from './rule-lines.ts';
