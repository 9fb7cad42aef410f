/**
 * What the engine knows of the bytes that TypeScript writes. Written by layout.mjs at each build: change it
 * there, or where it says.
 */

// Of a header, in bytes.
export const OWNER4: usize = 8;
export const OWNER4_MASK: usize = 12;
export const OWNER6: usize = 16;
export const OWNER6_MASK: usize = 20;
export const OWNERS: usize = 24;
export const PROGRAMS: usize = 28;
export const HITS: usize = 36;
export const SHARES: usize = 52;
export const SHARE_COUNT: usize = 56;
export const SHARE_BYTES: usize = 60;
export const MAP4: usize = 68;
export const MAP4_MASK: usize = 72;
export const MAP6: usize = 76;
export const MAP6_MASK: usize = 80;

// Of the record of an owner, in bytes.
export const EGRESS_FIELD: usize = 0;
export const INGRESS_FIELD: usize = 4;

// Of all memory, where the header in force is; of scratch memory, its reader’s share and columns. In bytes.
export const IN_FORCE: usize = 4;
export const SHARE_INDEX: usize = 4;
export const COLUMNS: usize = 48;

// Of programs, in bytes.
export const PROGRAM_HEADER: usize = 64;
export const CLASS_MASK: usize = 4;
export const BASE: usize = 8;
export const NO_MATCH_FIELD: usize = 12;
export const WILDCARDS: usize = 16;
export const IS_PLAIN: usize = 40;
export const RECORD_COUNT: usize = 8;
export const PORTS: usize = 12;
export const SHAPELESS: usize = 16;
export const SHARED_PAGES: usize = 20;
export const FIRST: usize = 24;
export const ROW_PAGE_SHIFT: usize = 5;
export const PROTOCOL_BYTES: usize = 4100;
export const PAGE_SHIFT: usize = 6;
export const TABLE_BYTES: usize = 16;

// Sizes in bytes, as powers of two.
export const OWNER_SHIFT: usize = 3;
export const RECORD_SHIFT: usize = 6;

// Widths of values of maps.
export const BYTE: u32 = 0;
export const HALF: u32 = 1;
export const WORD: u32 = 2;
export const NONE: u32 = 3;

// Numbers in words.
export const EGRESS: i32 = 0;
export const INGRESS: i32 = 1;
export const NO_VERDICT: i32 = 0;
export const ACTION_BITS: i32 = 2;
export const ACTION_MASK: i32 = 3;
export const DROP: i32 = 2;
export const LIST: i32 = 0;
export const MAP: i32 = 1;
export const TABLE: i32 = 2;
export const KIND_MASK: i32 = 3;
export const OFFSET_SHIFT: i32 = 2;
export const TABLE_OF_MEMBERS: i32 = 1;
export const TABLE_EMPTY: i32 = -1;
export const NO_MATCH: i32 = 67108863;
export const ASKS_DETAIL: i32 = 16;
