/** Bounds of the proxy. All of them our choice; `QUESTIONS_PER_S` of a qube is that of the kernel. */

/** Questions of one qube that wait for an upstream; beyond, SERVFAIL. */
export const QUESTIONS_MAX = 256;
/**
 * Bytes for questions that were not read yet, some 2,700 of them; as much of it as the kernel gives
 * (`net.core.rmem_max`), unless the service manager has set it for the socket (rulecast-dns.socket).
 */
export const RECEIVED_BYTES = 2_097_152;
/** Waiting questions of all qubes. */
export const ALL_QUESTIONS_MAX = 4096;
/** Sockets that wait for the next question. */
export const IDLE_SOCKETS_MAX = 256;
/** Qubes with a state in memory; idle ones are forgotten first. */
export const ASKERS_MAX = 4096;
/** The timeout of an upstream, and how many times one is asked for a question. */
export const ATTEMPT_MS = 1500;
export const ATTEMPTS_MAX = 3;
/**
 * Questions in a row that an upstream does not answer before it is down, and for how long then: twice as long
 * each time, up to the longest. An attempt is longer than the first pause and shorter than the next ones, so
 * that no two questions are tried at a time.
 */
export const UNANSWERED_MAX = 3;
export const DOWN_MS = 1000;
export const DOWN_LONGEST_MS = 30_000;
/**
 * For an upstream over TLS: the time to connect, and how long it may be silent while questions wait. The
 * latter is shorter than an attempt, so that the next one uses another connection.
 */
export const CONNECT_MS = 3000;
export const SILENT_MS = 1400;
/**
 * The pause after a connection that was refused, or ended without an answer; doubled each time, up to the
 * longest. A question waits for the end of a short pause; else the next upstream is asked.
 */
export const PAUSE_MS = 100;
export const PAUSE_LONGEST_MS = 3200;
export const PAUSE_WAITED_MS = 400;
/** How long an answer waits for its addresses to be opened, before it is tried once more. */
export const OPEN_MS = 50;
/** Names that an answer may make aliases of; beyond, it is none. */
export const ALIASES_MAX = 64;
/** How long a qube may cache that a name is blocked. */
export const BLOCKED_TTL_S = 60;
/** TCP connections of one qube, of all, and how long one may be idle; likewise for one to an upstream. */
export const CONNECTIONS_MAX = 16;
export const ALL_CONNECTIONS_MAX = 1024;
export const IDLE_MS = 10_000;
/** Bytes that wait for a connection that is not read; beyond, it ends. */
export const UNREAD_MAX_BYTES = 256 * 1024;
