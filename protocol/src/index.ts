/** What two implementations must agree on byte for byte; PROTOCOL.md says it in words. */

export { hexOf } from './bytes.ts';
export { canonicalBytes, canonicalChunks, contentOf, decodeCanonical, digestOf } from './canonical.ts';
export {
  type ByteStream,
  Connection,
  type Received,
  type SendBytesOptions,
  type SentBytes,
} from './connection.ts';
export {
  type ControlRecord,
  type ControlRecordOf,
  SUBSCRIBER_STATES,
  type SubscriberState,
} from './control.ts';
export {
  applyChain,
  applyDelta,
  decodeChain,
  diffRuleSets,
  encodeChain,
  encodeDelta,
  encodeSnapshot,
  type PartChange,
  type RuleSetDelta,
} from './delta.ts';
export { ErrorCode, type ErrorDetails, ProtocolError } from './error.ts';
export { boundText } from './field.ts';
export { type Frame, FrameDecoder, FrameEncoder } from './frame.ts';
export {
  ADDRESS_TEXT_MAX_BYTES,
  ANSWER_TIMEOUT_MS,
  APPLY_TIMEOUT_MS,
  CHANGES_MAX,
  CHUNK_BYTES,
  CODE_MAX_BYTES,
  COMMENT_MAX_BYTES,
  CONTROL_BODY_MAX_BYTES,
  CONTROL_CONNECTIONS_MAX,
  DEGRADED_MAX,
  DEGRADED_TEXT_MAX_BYTES,
  ENTRIES_MAX,
  ENTRY_BLOCK_ENTRIES,
  EXPIRE_MAX_SECONDS,
  FILE_NAME_MAX_BYTES,
  FRAME_BODY_MAX_BYTES,
  FRAME_HEADER_BYTES,
  FRAME_MAGIC,
  HANDSHAKE_TIMEOUT_MS,
  HASH_BYTES,
  HEARTBEAT_MS,
  INFLATED_MAX_BYTES,
  LINEAGE_BYTES,
  MANIFEST_MAX_BYTES,
  PART_TEXT_MAX_BYTES,
  PARTS_MAX,
  PEER_NAME_MAX_BYTES,
  PROTOCOL_VERSION,
  PUBLIC_KEY_BYTES,
  PUSH_FILES_MAX,
  PUSH_MAX_BYTES,
  QUERIES_PER_SECOND_MAX,
  READ_BYTES,
  REFUSED_MAX,
  RETRY_AFTER_MS,
  RULE_TEXT_MAX_BYTES,
  SEQUENCE_MAX,
  SIGNATURE_BYTES,
  SILENCE_TIMEOUT_MS,
  STALL_TIMEOUT_MS,
  STEPS_MAX,
  SUBSCRIBERS_MAX,
  TEXT_MAX_BYTES,
  TRANSFER_MAX_BYTES,
  VERSION_MAX,
  WAIT_MAX_MS,
} from './limits.ts';
export {
  compareRelease,
  decodeManifest,
  encodeManifest,
  type Manifest,
  type ManifestPart,
  manifestFor,
  manifestHash,
  type ReleaseIdentity,
  signManifest,
  verifyRuleSet,
  verifySignature,
} from './manifest.ts';
export {
  decodeMessage,
  type EncodedMessage,
  encodeMessage,
  type Message,
  type MessageKind,
  type MessageOf,
  MessageType,
  type SignedManifest,
} from './message.ts';
export {
  comparePartIds,
  type Part,
  type PartId,
  PartKind,
  partCount,
  partOfList,
  partsOf,
  partText,
  partWord,
  type Resolutions,
} from './part.ts';
export type { EditCounts, PartEdits } from './part-edits.ts';
export {
  packetFromWire,
  packetToWire,
  verdictToWire,
  type WirePacket,
  type WireVerdict,
} from './query.ts';
export type { RuleSplice } from './rule-splice.ts';
export { defaultEndpoints, type RuntimeEndpoints, runtimeDirectory } from './runtime.ts';
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
} from './session.ts';
export { formatTrust, parseTrust, type Trust } from './trust.ts';
