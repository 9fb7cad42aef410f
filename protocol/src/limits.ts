/**
 * Every number of the protocol in one place: chapter "Limits" of WIRE.md, CONTENT.md, CONTROL.md and
 * DEPOT.md. The first block is the wire itself: two implementations that differ in one of them do not
 * understand each other. The second block is ours to change.
 */

// ── Fixed by the protocol ──────────────────────────────────────────────────────────────────────────────────

/**
 * First four bytes of every frame, "RCST" in ASCII, read as a little-endian word: it refuses a peer that
 * speaks something else.
 */
export const FRAME_MAGIC = 0x54534352;
/** The only protocol version that is spoken here; also the version byte of frames, but of those below. */
export const PROTOCOL_VERSION = 2;
/**
 * The version byte of HELLO, WELCOME, GREET and BYE, in every version: by these two sides find out what they
 * speak.
 */
export const GREETING_VERSION = 1;
/** magic 4, version 1, type 1, flags 2, transaction 4, sequence 4, body length 4, checksum 4. */
export const FRAME_HEADER_BYTES = 24;
/**
 * Header and body together are at most 65,536 bytes, so that a frame fits the buffer of any channel seen in
 * the wild.
 */
export const FRAME_BODY_MAX_BYTES = 65_512;
/** The last sequence number and the largest transaction id: the field is a u32 and never wraps. */
export const SEQUENCE_MAX = 0xffff_ffff;
/**
 * A control body is small by construction; checked before the decoder sees it, it bounds what a hostile map
 * can cost.
 */
export const CONTROL_BODY_MAX_BYTES = 4096;
/** SHA-256: digests, manifest hashes, stream hashes. */
export const HASH_BYTES = 32;
/** Length of the id of a stream that may be resumed. */
export const STREAM_ID_BYTES = 16;
/**
 * A smaller snapshot that was cut is sent again from the beginning: a second on a slow channel, and no state
 * to keep.
 */
export const RESUMED_MIN_BYTES = 2 * 1024 * 1024;
/** Ed25519, RFC 8032. */
export const SIGNATURE_BYTES = 64;
export const LINEAGE_BYTES = 16;
/** Length of a key's id in signatures. */
export const KEY_ID_BYTES = 8;
/** Signatures of one block: all root keys of a root and of the next. */
export const SIGNATURES_MAX = 32;
/** Keys of a root, over all roles: more people than look after any firewall. */
export const ROOT_KEYS_MAX = 16;
/** Roots of a chain, from the one that a trust line names: one a week for twenty years. */
export const ROOTS_MAX = 1024;
/** Ed25519 public keys, raw, RFC 8032. */
export const PUBLIC_KEY_BYTES = 32;
/** Length of a nonce for freshness: enough that none comes twice. */
export const NONCE_BYTES = 16;
/** Tag 4, nonce 16, lineage 16, root 32, two numbers of 8, hash 32. */
export const STATEMENT_BYTES = 116;
/** Tag 4, lineage 16, four numbers of 8, three counts of 4, bytes 8, digest 32. */
export const MANIFEST_BYTES = 104;
/**
 * Parts of a release: three times 10,000 lists and as many policies. It also bounds the fixed cost of parts.
 */
export const PARTS_MAX = 65_536;
/** Versions, counts and sizes stay exact in a double: 2^53 - 1. */
export const VERSION_MAX = Number.MAX_SAFE_INTEGER;
/**
 * Name of a subscriber or publisher, UTF-8: the length of a DNS label, and longer than any qube's name (31).
 */
export const PEER_NAME_MAX_BYTES = 63;
/** Hashes in HELLO: 32 × 34 bytes are a quarter of a control body; only recent refusals matter. */
export const REFUSED_MAX = 32;
/**
 * Text for people in NACK, ABORT, BYE, DONE, FAIL and records, UTF-8. With every other field it stays below a
 * control body.
 */
export const TEXT_MAX_BYTES = 512;
/** Stable codes: kebab case, ASCII. */
export const CODE_MAX_BYTES = 64;
/** The name of a part in an error: the kind's word, a space, the name of at most 63 bytes. */
export const PART_TEXT_MAX_BYTES = 96;
/** A canonical rule line in a verdict: a 253-byte host name, every option, and a comment. */
export const RULE_TEXT_MAX_BYTES = 1536;
/** An address or prefix as text: 39 characters of IPv6, four more for `/128`. */
export const ADDRESS_TEXT_MAX_BYTES = 43;
/** Name of a pushed file. */
export const FILE_NAME_MAX_BYTES = 1024;
/** Entries of a list are encoded in blocks; each picks its own codec. */
export const ENTRY_BLOCK_ENTRIES = 4096;
/**
 * Longest comment of a rule, ASCII, and latest expiry, in seconds since 1970: what the rule grammar takes, so
 * that every rule that was read can be sent.
 */
export {
  COMMENT_MAX_CHARS as COMMENT_MAX_BYTES,
  EXPIRE_MAX as EXPIRE_MAX_SECONDS,
} from '@rulecast/rules/limits';
/**
 * The most that a deflated body may inflate to, which is announced before it; a larger body is sent raw. 2^18
 * rules are 1.3 MB.
 */
export const INFLATED_MAX_BYTES = 64 * 1024 * 1024;
/** Deltas of one transfer. A chain longer than this costs more than a snapshot in any case seen. */
export const STEPS_MAX = 1024;
/**
 * The longest rule in canonical bytes, in a run of its own: action, protocol and flags 3, ports 4, expiry 8,
 * comment 2 + 4,096, kind of remote 1, host name 1 + 253. As it travels a splice of its own comes before it:
 * keep 5, drop 5, count of runs 4.
 */
export const RULE_MAX_BYTES = 3 + 4 + 8 + 2 + 4096 + 1 + 1 + 253 + (5 + 5 + 4);
/**
 * Prefixes of policies and addresses of names in a release: no manifest counts them. 8,192 names of 256
 * addresses.
 */
export const UNCOUNTED_MAX = 2 ** 21;
/**
 * Work of a transfer that is free, whatever it makes: that of all that no manifest counts, and of a thousand
 * small steps. 0.2 s here at most.
 */
export const WORK_FREE = 2 ** 23;
/**
 * Bytes of a stream that are free, whatever it makes: a chain of small steps may be longer than the snapshot
 * of a small release.
 */
export const STREAM_FREE_BYTES = 2 ** 17;
/** Entries of a release between base and result, beyond twice the larger of them. */
export const STEP_ENTRIES_FREE = 2 ** 16;
/** The canonical bytes of a step, likewise. */
export const STEP_BYTES_FREE = 2 ** 22;
/** Capabilities in HELLO, WELCOME, GREET and UNSUPPORTED, a CODE each: half a control body. */
export const CAPABILITIES_MAX = 32;
/** Types of messages from here on are skipped by peers that do not know them. */
export const SKIPPABLE_TYPE_MIN = 128;
/** Counters of an ANSWER: with names of 32 bytes two thirds of a control body. */
export const COUNTERS_MAX = 64;
/** Samples in a record, with labels of 63 bytes two thirds of a control body. */
export const SAMPLES_MAX = 24;
export const METRIC_LABELS_MAX = 2;
/** Name of a counter: `rule.`, the name of a policy, and the number of a rule with its block. */
export const COUNTER_NAME_MAX_BYTES = 96;
/** Reasons in a head record, one TEXT of at most 128 bytes each: half a control body. */
export const DEGRADED_MAX = 16;
export const DEGRADED_TEXT_MAX_BYTES = 128;
/** Refusals of an ANSWER: of the shortest, with three quarters of a control body. */
export const REFUSALS_MAX = 32;
/** Name of a network interface of Linux. */
export const INTERFACE_MAX_BYTES = 15;
/**
 * Key, qube and socket that a name is bound to, a TEXT of at most 128 bytes each: the longest is a path of
 * 107.
 */
export const BINDINGS_MAX = 3;
export const BINDING_TEXT_MAX_BYTES = 128;
/**
 * Changed parts that a history record names, one PART_TEXT each; with a TEXT beside them they fit a control
 * body.
 */
export const CHANGED_PARTS_SHOWN_MAX = 16;
/** Lines of one edit record: at 15 bytes a prefix, a control body is full before. */
export const EDIT_LINES_MAX = 256;
/** Lists that one REFRESH names, 64 bytes each at most: half a control body. */
export const REFRESH_LISTS_MAX = 32;
/** Subscribers that one request requires, 64 bytes each at most: half a control body. */
export const REQUIRE_MAX = 32;
/** Codes in one `+permit`. */
export const PERMITS_MAX = 32;
/**
 * Formats and protected prefixes that a list record names; with its texts beside them they fit a control
 * body.
 */
export const LIST_FORMATS_SHOWN_MAX = 4;
export const PROTECTED_SHOWN_MAX = 4;
export const LEFT_OUT_SHOWN_MAX = 32;
/** Codes by which refusals of names that report are counted. */
export const FLEET_CODES_MAX = 16;
/** Entries that are named of a list that holds something. */
export const HOLDING_ENTRIES_MAX = 4;
/** The message of a release: a line or two. */
export const MESSAGE_MAX_BYTES = 200;
/** An entry of a list: a host name is at most 253 bytes, a prefix less. */
export const ENTRY_TEXT_MAX_BYTES = 255;
/** Names that one is an alias of, of a question to be judged. */
export const ALIASES_ASKED_MAX = 8;
/** Files of one push: the document, and the lists it names. More than PARTS_MAX could not become parts. */
export const PUSH_FILES_MAX = 65_536;
/**
 * A hundred years in milliseconds: the longest duration or age from a peer, of which a thousand still add up
 * exactly.
 */
export const DURATION_MAX_MS = 3_155_760_000_000;
/** The target of a row: a host name, with its marks. */
export const BLOCK_TARGET_MAX_BYTES = 255;
/** The comment of a row, in the characters of a rule's comment. */
export const BLOCK_COMMENT_MAX_BYTES = 100;
/** Ten years; a longer block has no end. */
export const BLOCK_MAX_SECONDS = 315_576_000;
/** Rows that one UNBLOCK names, 9 bytes each at most: half a control body. */
export const UNBLOCK_ROWS_MAX = 256;
/** A day: the longest wait a push may ask for. */
export const WAIT_MAX_MS = 86_400_000;
/**
 * A minute: the longest heartbeat that WELCOME may ask for. A subscriber takes three times as long to notice
 * a dead publisher, and an attacker who has the channel for a moment gains no more than that.
 */
export const HEARTBEAT_MAX_MS = 60_000;

/**
 * Five minutes: the longest silence that a BYE, or pause that a NACK, may ask for; an attacker who has the
 * channel for a moment gains no more than that.
 */
export const RETRY_AFTER_MAX_MS = 300_000;
/** The head of a depot: 204 bytes, and a signature of each key that a role may have. */
export const DEPOT_HEAD_MAX_BYTES = 1357;
/** The page of a release: a manifest with all signatures, and each list of it full, take a tenth. */
export const DEPOT_PAGE_MAX_BYTES = 65_536;
/**
 * The first bytes of an older release's hash, by which its delta is found: two of 32 do not collide by
 * chance.
 */
export const DEPOT_BASE_BYTES = 8;
/** Deltas that a page names. */
export const DEPOT_DELTAS_MAX = 32;
/** Pieces of a snapshot: after so many that are composed a new one is written. */
export const DEPOT_PIECES_MAX = 8;
/** A report with a proof by every key that a role may have, and its answer. */
export const REPORT_MAX_BYTES = 2048;
/** Reports of one request: half a megabyte at worst, and some milliseconds of the publisher. */
export const REPORTS_MAX = 256;

// ── Our choice ─────────────────────────────────────────────────────────────────────────────────────────────

/**
 * From connect to WELCOME. Both ends are on one machine or one LAN; a busy dom0 has been seen to stall for 3
 * s.
 */
export const HANDSHAKE_TIMEOUT_MS = 10_000;
/**
 * The same while many are silent at once: more than the two seconds that a claim of a name may take, and a
 * busy peer's second.
 */
export const HANDSHAKE_PRESSED_MS = 3_000;
/**
 * ROOTs of a session: the largest of them, 2,305 bytes of signatures and 1,182 of root, fit what may wait for
 * a peer, as do a WELCOME and an OFFER beside them.
 */
export const SESSION_ROOTS_MAX = 48;
/**
 * Silent connections of an endpoint: those of a fleet come all at once after a publisher's restart, and each
 * sends HELLO some turns of busy processors later; few enough to be no load.
 */
export const WAITING_MAX = 256;
/**
 * How long the holder of a name may take to answer the PING that asks whether it is still there: event loops
 * here stall for less than half a second.
 */
export const NAME_PATIENCE_MS = 2_000;
/**
 * The interval of PINGs: twelve a minute are no load, and a peer whose power was cut, which closes no stream,
 * is noticed in 15 s.
 */
export const HEARTBEAT_MS = 5_000;
/** The interval of nonces, whatever WELCOME says; each gets a statement of freshness. */
export const FRESH_EVERY_MS = 5_000;
/** Answers with a bad signature that are checked for one nonce, as each check costs time. */
export const FRESH_TRIES_MAX = 4;
/** The longest pause obeyed if the peer has answered no nonce: it may be anybody. */
export const UNPROVED_RETRY_MAX_MS = 60_000;
/** Nonces of a connection that may still be answered: a PING may wait behind a slow transfer. */
export const NONCES_MAX = 4;
/**
 * A release in force is stale if it was not confirmed as the newest for so long: two of the longest
 * heartbeats, and a restart of the publisher.
 */
export const STALE_AFTER_MS = 120_000;
/** Thirty days before a root is overdue its people are told: a vault is not opened every week. */
export const RENEWAL_NOTICE_SECONDS = 2_592_000;
/** Nothing received for three heartbeats: a busy dom0 has been seen to stall for 3 s. */
export const SILENCE_TIMEOUT_MS = 3 * HEARTBEAT_MS;
/** For ANSWER and PROOF: the subscriber's event loop never stalls so long unless it is stuck. */
export const ANSWER_TIMEOUT_MS = 5_000;
/** A control connection that sends nothing within a push, or reads nothing of an answer, for so long. */
export const STALL_TIMEOUT_MS = 60_000;
/**
 * From the first byte of a frame to its last, while it is waited for: 64 KiB at 4 kB/s, which no channel here
 * is so slow as to need.
 */
export const FRAME_TIMEOUT_MS = 15_000;
/**
 * Bytes that wait in one connection for a peer that does not read, with an overhead for each message: three
 * frames of the largest size, or 180 PONGs. A sender with more waits for `send`.
 */
export const SEND_QUEUE_MAX_BYTES = 256 * 1024;
/**
 * A message in the queue: header, promises and closures. 1,400 bytes of resident memory were measured for a
 * PONG.
 */
export const SENT_MESSAGE_COST_BYTES = 1400;
/** A transfer must move so much in so long: a modem does, and a slower peer only occupies a place. */
export const TRANSFER_WINDOW_MS = 15_000;
export const TRANSFER_WINDOW_MIN_BYTES = 64 * 1024;
/** CHUNK bodies are as large as a frame may be: the header and the checksum call are paid least often. */
export const CHUNK_BYTES = 65_512;
/** One read of a channel: a whole frame of the largest size, since channels copy per read. */
export const READ_BYTES = FRAME_HEADER_BYTES + FRAME_BODY_MAX_BYTES;
/**
 * Sessions of subscribers at once, under names without a binding: a fleet, for no host runs so many
 * firewalls. One that reads nothing holds 0.4 MB at most, all of them 0.4 GB.
 */
export const SUBSCRIBERS_MAX = 1000;
/** Control connections at once: each may hold a push in memory. */
export const CONTROL_CONNECTIONS_MAX = 16;
/** … and of one operator, besides those: CONTROL.md "Operators". */
export const OPERATOR_CONNECTIONS_MAX = 4;
/**
 * QUERYs a second that a subscriber answers, and TESTs that a publisher relays: ten times what a person
 * types.
 */
export const QUERIES_PER_SECOND_MAX = 20;
/** Pages of refusals, apart from those: a whole log has some hundred, and each costs next to nothing. */
export const REFUSED_PAGES_PER_SECOND_MAX = 500;
/** Bytes of all files of one push: 1M IPv6 prefixes as text are 40 MB; ten of those. */
export const PUSH_MAX_BYTES = 400 * 1024 * 1024;
/**
 * Largest transfer a subscriber takes unless configured: 1M random prefixes are 1.75 MB; a hundred times
 * that.
 */
export const TRANSFER_MAX_BYTES = 256 * 1024 * 1024;
/**
 * Entries and rules of a release a subscriber takes unless configured: 16 × the million the design is
 * measured with.
 */
export const ENTRIES_MAX = 16 * 1024 * 1024;
/** The wait before another attempt if there was no place: a crowd of silent connections is gone by then. */
export const BUSY_RETRY_AFTER_MS = 5_000;
/** A subscriber that was refused with `later` is tried again after this if it named no time. */
export const RETRY_AFTER_MS = 30_000;
