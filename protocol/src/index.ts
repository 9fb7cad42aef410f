/**
 * The formats and rules that two implementations must agree on byte for byte; WIRE.md, CONTENT.md and
 * MEANING.md specify them. Begin with content/part.ts, the parts of a release, and content/manifest.ts, which
 * is signed. Then read codec/delta.ts, the difference of two releases, wire/message.ts, the messages, and
 * peer/session.ts, which message may come when. depot/ has the files by which a release travels without a
 * session.
 */

export { ByteReader } from './bytes/reader.ts';
export { hexOf } from './bytes/words.ts';
export { ByteWriter } from './bytes/writer.ts';
export {
  applyChain,
  applyDelta,
  applyDeltas,
  chainPieces,
  decodeChain,
  deltaPieces,
  diffPieces,
  diffRuleSets,
  type EncodedChange,
  encodeChain,
  encodeChange,
  encodeDelta,
  encodeSnapshot,
  joinChanges,
  type PartChange,
  type RuleSetDelta,
} from './codec/delta.ts';
export type { EditCounts, PartEdits } from './codec/part-edits.ts';
export type { RuleSplice } from './codec/rule-splice.ts';
export {
  Budget,
  entriesIn,
  isBeyond,
  stepMost,
  stepWorkLeast,
  streamMaxBytes,
  uncountedIn,
  workMax,
} from './content/budget.ts';
export { canonicalBytes, canonicalPieces, decodeCanonical } from './content/canonical.ts';
export {
  Capability,
  capabilitiesFor,
  DEFAULT_CAPABILITIES,
} from './content/capability.ts';
export {
  type Catalogue,
  catalogueOf,
  cataloguePieces,
  manifestFor,
  type PartRecord,
  verifyRuleSet,
} from './content/catalogue.ts';
export {
  contentOf,
  digestOf,
  type Leaves,
} from './content/digest.ts';
export {
  compareRelease,
  decodeManifest,
  encodeManifest,
  FORK_HASH_CHARS,
  type Manifest,
  manifestHash,
  type ReleaseIdentity,
  type Totals,
} from './content/manifest.ts';
export {
  comparePartIds,
  isPartKind,
  type Part,
  type PartId,
  PartKind,
  partCount,
  partOfList,
  partsOf,
  partText,
  partWord,
  type Resolutions,
} from './content/part.ts';
export {
  type ClockReadings,
  dateText,
  type Renewal,
  renewalOf,
  renewalText,
} from './content/renewal.ts';
export {
  encodeRoot,
  isSignedBy,
  keysOf,
  ROLES,
  type Role,
  type RoleName,
  type Root,
  type Roots,
  readRoot,
  rootHash,
  rootsAfter,
  rootsFrom,
  type SignedRoot,
  wasSignedBy,
  withRoot,
} from './content/root.ts';
export {
  joinSignatures,
  joinSigned,
  type Signed,
  signersIn,
  splitSigned,
} from './content/signature-block.ts';
export { keyIdOf, publicBytes, signBytes, signersAmong } from './content/signatures.ts';
export { encodeStatement, readStatement, type Statement } from './content/statement.ts';
export { compareHead, type DepotHead, encodeDepotHead, readDepotHead } from './depot/head.ts';
export {
  isObject,
  type ObjectReference,
  objectPath,
  referenceOf,
} from './depot/object.ts';
export {
  type DepotDelta,
  type DepotPage,
  decodeDepotPage,
  deltaFrom,
  encodeDepotPage,
} from './depot/page.ts';
export {
  encodeReport,
  encodeReportAnswer,
  type HeldReport,
  joinReports,
  type Report,
  type ReportAnswer,
  readKeptReport,
  readReport,
  readReportAnswer,
  splitReports,
  type TokenFor,
  tokenOf,
} from './depot/report.ts';
export { ErrorCode, type ErrorDetails, ProtocolError } from './error.ts';
export {
  ADDRESS_TEXT_MAX_BYTES,
  ANSWER_TIMEOUT_MS,
  BINDING_TEXT_MAX_BYTES,
  BINDINGS_MAX,
  BLOCK_COMMENT_MAX_BYTES,
  BLOCK_MAX_SECONDS,
  BLOCK_TARGET_MAX_BYTES,
  BUSY_RETRY_AFTER_MS,
  CHANGED_PARTS_SHOWN_MAX,
  CHUNK_BYTES,
  CODE_MAX_BYTES,
  COMMENT_MAX_BYTES,
  CONTROL_BODY_MAX_BYTES,
  CONTROL_CONNECTIONS_MAX,
  COUNTERS_MAX,
  DEGRADED_MAX,
  DEGRADED_TEXT_MAX_BYTES,
  DEPOT_BASE_BYTES,
  DEPOT_HEAD_MAX_BYTES,
  DEPOT_PAGE_MAX_BYTES,
  DURATION_MAX_MS,
  EDIT_LINES_MAX,
  ENTRIES_MAX,
  ENTRY_BLOCK_ENTRIES,
  ENTRY_TEXT_MAX_BYTES,
  EXPIRE_MAX_SECONDS,
  FILE_NAME_MAX_BYTES,
  FLEET_CODES_MAX,
  FRAME_BODY_MAX_BYTES,
  FRAME_HEADER_BYTES,
  FRAME_MAGIC,
  FRESH_EVERY_MS,
  FRESH_TRIES_MAX,
  HANDSHAKE_PRESSED_MS,
  HANDSHAKE_TIMEOUT_MS,
  HASH_BYTES,
  HEARTBEAT_MS,
  HOLDING_ENTRIES_MAX,
  INFLATED_MAX_BYTES,
  INTERFACE_MAX_BYTES,
  KEY_ID_BYTES,
  LINEAGE_BYTES,
  MANIFEST_BYTES,
  MESSAGE_MAX_BYTES,
  NAME_PATIENCE_MS,
  NONCE_BYTES,
  NONCES_MAX,
  OPERATOR_CONNECTIONS_MAX,
  PART_TEXT_MAX_BYTES,
  PARTS_MAX,
  PEER_NAME_MAX_BYTES,
  PROTOCOL_VERSION,
  PUBLIC_KEY_BYTES,
  PUSH_FILES_MAX,
  PUSH_MAX_BYTES,
  QUERIES_PER_SECOND_MAX,
  READ_BYTES,
  REFUSALS_MAX,
  REFUSED_MAX,
  REFUSED_PAGES_PER_SECOND_MAX,
  REPORT_MAX_BYTES,
  REPORTS_MAX,
  REQUIRE_MAX,
  RESUMED_MIN_BYTES,
  RETRY_AFTER_MS,
  ROOT_KEYS_MAX,
  ROOTS_MAX,
  RULE_TEXT_MAX_BYTES,
  SAMPLES_MAX,
  SEQUENCE_MAX,
  SESSION_ROOTS_MAX,
  SILENCE_TIMEOUT_MS,
  STALE_AFTER_MS,
  STALL_TIMEOUT_MS,
  STEPS_MAX,
  STREAM_ID_BYTES,
  SUBSCRIBERS_MAX,
  TEXT_MAX_BYTES,
  TRANSFER_MAX_BYTES,
  TRANSFER_WINDOW_MIN_BYTES,
  TRANSFER_WINDOW_MS,
  UNBLOCK_ROWS_MAX,
  UNCOUNTED_MAX,
  UNPROVED_RETRY_MAX_MS,
  VERSION_MAX,
  WAIT_MAX_MS,
  WAITING_MAX,
} from './limits.ts';
export { Alarm, NEVER } from './peer/alarm.ts';
export {
  type After,
  STEADY_CLOCK,
  type SteadyClock,
  systemAfter,
  systemTurn,
  type Turn,
} from './peer/clock.ts';
export {
  type ByteStream,
  Connection,
  type Received,
  type SendBytesOptions,
  type SentBytes,
} from './peer/connection.ts';
export {
  asked,
  beaten,
  heard,
  isOverRate,
  type MovingWindow,
  moved,
  NO_QUERIES,
  type Pulse,
  pulseDeadline,
  pulseFrom,
  type QueryRate,
  windowFrom,
} from './peer/pace.ts';
export { formatRoots, parseRoots } from './peer/root-file.ts';
export { RootWatch } from './peer/root-watch.ts';
export {
  PUBLISHER_EVENTS,
  PUBLISHER_STATES,
  PUBLISHER_TABLE,
  type PublisherAction,
  type PublisherEvent,
  type PublisherState,
  SUBSCRIBER_EVENTS,
  SUBSCRIBER_SESSION_STATES,
  SUBSCRIBER_TABLE,
  type SubscriberAction,
  type SubscriberEvent,
  type SubscriberSessionState,
  stepPublisher,
  stepSubscriber,
  type Transition,
} from './peer/session.ts';
export { formatTrust, parseTrust, type Trust, trustFault } from './peer/trust.ts';
export {
  BLOCK_VERBS,
  type BlockVerb,
  type ControlRecord,
  type ControlRecordOf,
  type DoneCode,
  type EditAspect,
  FLEET_STATES,
  type FleetState,
  LIST_SOURCES,
  LIST_STATES,
  RELEASE_CAUSES,
  type ReleaseCause,
  SUBSCRIBER_STATES,
  type SubscriberState,
} from './wire/control.ts';
export { boundText } from './wire/field.ts';
export { type Frame, FrameDecoder, FrameEncoder } from './wire/frame.ts';
export {
  decodeMessage,
  type EncodedMessage,
  encodeMessage,
  type Message,
  type MessageKind,
  type MessageOf,
  MessageType,
} from './wire/message.ts';
export {
  addressBytes,
  addressFromBytes,
  packetFromWire,
  packetToWire,
  questionFromWire,
  questionToWire,
  verdictToWire,
  type WirePacket,
  type WireQuestion,
  type WireRefused,
  type WireRefusedQuery,
  type WireTold,
  type WireVerdict,
} from './wire/query.ts';
