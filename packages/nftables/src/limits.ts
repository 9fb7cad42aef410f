/** Every constant of the kernel side in one place: those that nftables fixes, and those we chose. */

// ── Fixed by nftables, Qubes or conntrack ──────────────────────────────────────────────────────────────────

/** Link group of the interfaces of downstream qubes. */
export const DOWNSTREAM_GROUP = 2;
/** Link groups are u32. */
export const GROUP_MAX = 0xffff_ffff;
/** Labels of a connection: bits that it has or not. */
export const CONNECTION_LABELS = 128;

// ── Our choice ─────────────────────────────────────────────────────────────────────────────────────────────

/** Our tables, in family inet: a release is built in the one that is not in force. */
export const TABLES = ['rulecast_a', 'rulecast_b'] as const;
/**
 * Lets nothing pass from or to downstream qubes: at boot (packaging/systemd), and where ours was taken away.
 */
export const CLOSED_TABLE = 'rulecast_closed';
/** Our third table: redirects DNS of qubes to `rulecast-dns`, while a release needs that. */
export const CAPTURE_TABLE = 'rulecast_dns';
/** The link to `rulecast-dns`, and the byte of a packet's mark by which routing selects it. */
export const CAPTURE_LINK = 'rulecast-dns';
export const CAPTURE_MARK = 0x00530000;
export const CAPTURE_MARK_BITS = 0x00ff0000;
/** Resolver addresses whose questions are captured. */
export const CAPTURED_MAX = 64;
/**
 * Questions of one qube in a second, in one burst too: a fifth of the room in the socket that all share.
 * Beyond, they are dropped. For TCP the kernel counts connections, and `rulecast-dns` questions.
 */
export const QUESTIONS_PER_S = 500;
/**
 * Senders that a link may bring in a second, beside those that are counted already: a qube that forges the
 * addresses of others takes no more room among them than this, for as long as each is remembered.
 */
export const SENDERS_PER_S = 500;
/** Longer than it takes to regain a second's questions: forgetting a sender changes nothing. */
export const SENDER_REMEMBERED_MS = 2000;
/** Senders of a family, and links: some 200 bytes each in the kernel, once there are as many. */
export const SENDERS_MAX = 16_384;
/**
 * Logged packets a second, of one qube at one interface, and of an interface beyond that. A person reads no
 * more; counters have the full numbers.
 */
export const LOGGED_PER_S = 20;
/** Logged packets a second of all addresses at an interface: as many as the subscriber judges. */
export const LOGGED_OF_LINK_PER_S = 200;
/** Addresses of qubes of a family, and interfaces, that have a rate of their own at one time. */
export const LOGGED_SENDERS_MAX = 1024;
export const LOGGED_REMEMBERED_MS = 60_000;
/** Bytes logged of a packet: the headers of IPv6 with two extensions, and of TCP without options. */
export const LOGGED_BYTES = 96;
/** Groups of NFLOG are u16; 0 is what the kernel's own logs have. */
export const LOG_GROUP_MAX = 65_535;
/** The interval at which the route of marked questions is checked, which takes some 10 µs. */
export const CAPTURE_LOOK_EVERY_MS = 1000;
/** The priority of our base chain: before the `filter` priority 0 of Qubes' own. */
export const HOOK_PRIORITY = -10;
/**
 * Values of flow marks, each a connection label: the upper ones, as other programs begin with the lowest. So
 * flows are looked at about every 64 releases.
 */
export const FLOW_MARK_MAX = 96;
export const NO_FLOW_MARK = 0;
/**
 * With fewer free values, labels of former releases are cleared from all flows: so many releases may come
 * until that is done.
 */
export const FLOW_MARKS_FREE_MIN = 32;
/**
 * Changes whenever the same plan is rendered otherwise: then what a former version left in the kernel is
 * loaded anew.
 */
export const RENDERING = 8;

/** Sets with up to so many members are replaced, not changed, by a release, which costs 20 ms at worst. */
export const SMALL_MEMBERS_MAX = 2048;
/** A large set is changed in place by up to this share of its members; beyond, it is replaced. */
export const IN_PLACE_SHARE = 0.5;
/**
 * A small column of up to so many lengths is hash sets, which load faster; one of more is an interval set,
 * which needs one lookup.
 */
export const FEW_LENGTHS = 2;
/**
 * Share of extra elements that expanding rare prefix lengths into longer ones may cost, to have fewer
 * lookups.
 */
export const EXPANSION_SHARE = 0.25;
/**
 * So many networks of class maps are patched at most, which takes the kernel some 20 ms; with more, all are
 * loaded again.
 */
export const PATCHED_MAX = 8192;
/** So many extra elements may always be spent on it: ten milliseconds, once. */
export const EXPANSION_MIN = 4096;
/**
 * A hash set has room for its members and this share more, so that deltas fit; beyond, it is made anew,
 * larger.
 */
export const ROOM_SHARE = 0.25;
/** Smallest and largest log2 of the buckets of a hash set. */
export const BUCKETS_LOG2_MIN = 4;
export const BUCKETS_LOG2_MAX = 26;

/**
 * With up to so many members in all sets, a release is always loaded into a new table, which takes some
 * milliseconds.
 */
export const WHOLE_MEMBERS_MAX = 10_000;
/** A rule takes as long to load as so many members of sets. */
export const MEMBERS_OF_A_RULE = 40;
/** Elements of one transaction: others wait for it, 1.5 ms. Four times as many would load no faster. */
export const PIECE_ELEMENTS = 2048;
/**
 * Commands of one transaction that makes what no packet gets to yet. A rule takes up to 600 bytes; in a user
 * namespace a socket has room for twice net.core.wmem_max, which is 425,984 bytes unless somebody set it.
 */
export const PIECE_COMMANDS = 500;
/**
 * A set with so many buckets is made in a transaction of its own: the kernel clears them all, 8 MB of a set
 * for half a million elements.
 */
export const SLOW_BUCKETS_LOG2 = 16;
/** Rules of the table in force change in one transaction, which may not take over 25 ms. */
export const CHANGED_STEPS_MAX = 500;
/**
 * Room of the sets that such a change takes away at once: to free a million elements keeps the next
 * transaction waiting for 0.2 s.
 */
export const GONE_MAX = 50_000;

/**
 * Most rules, over all chains: each is a few hundred bytes of kernel memory and a step for every packet that
 * gets there.
 */
export const RULES_MAX = 262_144;
/** Most elements of one transaction. `nft` takes 320 bytes for each. */
export const ELEMENTS_MAX = 33_554_432;
/**
 * Default of `--kernel-mib`: kernel memory that two tables in turn may take. A list of a million networks
 * takes 108 MB in each.
 */
export const KERNEL_MIB = 512;
export const KERNEL_MIB_MAX = 65_536;
/** Addresses that one qube may hold for one name of a list: the next ones take the place of the oldest. */
export const NAME_ADDRESSES_OF_ONE_MAX = 64;
/**
 * Addresses that are opened in one transaction, which takes some 1.5 ms at worst, and which fit into one
 * message as a list of elements.
 */
export const OPENED_TOGETHER = 128;
/** Pairs of an interface and an address: with more, none is known, and no name opens anything. */
export const SOURCES_MAX = 4096;
/** Networks of qubes that all name sets may be for. */
export const NAME_QUBE_NETWORKS_MAX = 262_144;
/** The least and the most time that an address stays open, and the grace beyond it, in seconds. */
export const OPEN_MIN_S = 60;
export const OPEN_MAX_S = 86_400;
export const OPEN_GRACE_S = 30;
/**
 * The interval of looks for flows to addresses that would end before the next look but one; they stay open
 * while such a flow exists. A look reads all flows, and is skipped if no opening ends.
 */
export const LIVE_EVERY_MS = 10_000;
/**
 * Bytes of names that a change of lists may be told by, all together; of a list beyond, everything that it
 * opened is closed. Some 50,000 names, which the applier reads in 10 ms.
 */
export const NAMES_LEFT_MAX_BYTES = 1_048_576;
/** Openings that wait for a look at flows, as others must give way; and those of one qube. */
export const LOOKS_MAX = 1024;
export const LOOKS_OF_ONE_MAX = 16;
/**
 * When less than this part of the room is free, entries that may give way are sought in advance, and twice as
 * much is freed: a look takes 0.01 to 0.3 s, longer than an answer can wait.
 */
export const ROOM_AHEAD = 8;
/** A qube connects to a new address within this time, so a younger opening gives way last. */
export const SPARED_MS = 10_000;
/** Names that are remembered to be left in a list, or not, so that they are looked up once. */
export const LABELS_KNOWN_MAX = 65_536;
/** Elements of name sets that are carried over at a time. */
export const CARRIED_ELEMENTS = 128;
/** Most bytes of the JSON header and of the binary body of a message to the applier. */
export const HEADER_MAX_BYTES = 134_217_728;
export const BODY_MAX_BYTES = 671_088_640;
/**
 * The kernel lists a hash set in quadratic time: larger ones are not listed, but probed with so many
 * elements.
 */
export const LISTED_ELEMENTS_MAX = 32_768;
export const PROBED_ELEMENTS = 256;
/**
 * The interval at which the generation of the ruleset is read, which takes 3 µs, while other programs can
 * remove our table; and if the table has an owner, for changes of Qubes and others beside it.
 */
export const NOTICE_EVERY_MS = 25;
export const OWNER_NOTICE_EVERY_MS = 500;
/** The interval of an applier's signs of life; and how many it may miss before it is killed. */
export const ALIVE_EVERY_MS = 1000;
export const MISSED_MAX = 5;
/**
 * Pause before the next applier is started. It doubles, up to the longest, after one that lived for less than
 * STEADY_MS. With the start of a process, 0.1 to 0.5 s, it stays below a second: if the tables are flushed,
 * the firewall is open for as long.
 */
export const RESPAWN_MS = 20;
export const RESPAWN_LONGEST_MS = 160;
export const STEADY_MS = 5000;
/** How long a request waits for an applier to run. */
export const REQUEST_WAITS_MS = 5000;
/**
 * How long work under way may take when the daemon ends; and how long an applier may, before it is killed:
 * together, under two seconds.
 */
export const CLOSE_WAITS_MS = 500;
