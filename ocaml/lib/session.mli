(** A subscriber's session with a publisher: WIRE.md "Sessions", "Subscriber". It is pure: bytes and the time
    go in, and what is to be done comes out. Who drives it has the connection, the clock and the packets.

    {v
      connect ─▶ create ─▶ outputs      bytes ─▶ receive ─▶ outputs      deadline is over ─▶ tick ─▶ outputs
      the connection ended ─▶ disconnected ─▶ outputs
    v}

    Times are milliseconds of one clock that never goes back. A decoder that takes long performs
    {!Pause.Pause} in between: a driver that handles it lets packets through; without a handler it goes on. *)

(** A release that was verified. *)
type release = {
  manifest : Trust.manifest;
  signed : string;  (** the manifest with its signatures, as OFFER brought it *)
  parts : Delta.rule_set;
  table : Table.t;  (** by which packets are judged: [Table.judge] *)
}

(** What outlives a connection. One session uses it at a time. Without a disk it begins anew with each start. *)
type memory

(** [floor]: [signed] of the release that was the last to be active before. Nothing older is taken then.
    @raise Invalid_argument for what is no trust line, and for a floor that is damaged or of another lineage. *)
val memory : ?floor:string -> trust:string -> now:int -> unit -> memory

val active : memory -> release option

type standing =
  | Fresh  (** known to be the newest *)
  | Unsure  (** it has not run for long enough to say more *)
  | Stale  (** not known to be the newest for longer than [stale_after]: nothing may be opened *)

type config = {
  name : string;  (** what it calls itself *)
  entries : int;  (** that it takes of a release at most *)
  bytes : int;  (** that it takes of a transfer at most *)
  stale_after : int;  (** milliseconds *)
  capabilities : string list;  (** that it lists, of {!capabilities} *)
  random : int -> string;  (** so many random bytes *)
  environment : unit -> Meaning.environment;  (** by which questions of the publisher are answered *)
}

(** What it may list: {!usual_capabilities}; {!starts_closed}; and [no-deflate], with which a publisher sends
    snapshots alone and packs nothing; what is deflated is refused then. *)
val capabilities : string list

(** For a firewall that drops every packet until it has a release: [rulectl status] does not report then that
    it keeps none. *)
val starts_closed : string

val usual_capabilities : string list

val standing : memory -> config -> now:int -> standing

type output =
  | Send of string  (** bytes for the connection, in order *)
  | Flip of release  (** it is active from here on; APPLIED follows *)
  | Tell of string  (** a line for people *)
  | Closed of { code : string; pause : int }
      (** close the connection once all is sent, and connect again after so many milliseconds. The code is that
          of a BYE of either side, or [disconnected]. *)

type t

(** The state of the protocol's table that it is in, for tests and for people. *)
val state : t -> string

(** A session on a connection that was just made, and HELLO. *)
val create : memory -> config -> now:int -> t * output list

(** What came. It may be called while another call of it has performed [Pause]: PING is answered meanwhile. *)
val receive : t -> now:int -> string -> output list

(** When [tick] has something to do. *)
val deadline : t -> int

val tick : t -> now:int -> output list

(** The connection ended. *)
val disconnected : t -> output list

(** This side ends the session, in order. *)
val stop : t -> output list

(** No connection could be made: for how many milliseconds to wait. *)
val unreachable : memory -> config -> int
