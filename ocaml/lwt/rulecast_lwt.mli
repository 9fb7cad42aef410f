(** Follows a publisher over flows of Lwt, one connection after the other: a Mirage firewall over qrexec, for one.

    A decoder that takes long gives way every two milliseconds, so that packets flow and PING is answered
    meanwhile. Cancelling what these functions return ends the session, and closes its flow. *)

(** A connection, of bytes in order. *)
type flow = {
  read : unit -> string option Lwt.t;  (** [None] or an exception: it ended *)
  write : string -> unit Lwt.t;  (** an exception: it ended *)
  close : unit -> unit Lwt.t;  (** called once *)
}

type t = {
  memory : Rulecast.Session.memory;
  config : Rulecast.Session.config;
  now : unit -> int;  (** milliseconds of a clock that never goes back *)
  sleep : int -> unit Lwt.t;  (** milliseconds *)
  flip : Rulecast.Session.release -> unit;  (** a release is active from here on *)
  tell : string -> unit;  (** a line for people *)
}

(** One session; ends with how many milliseconds to wait before the next connection. *)
val session : t -> flow -> int Lwt.t

(** Connects again and again; [None] or an exception of [connect]: there is no connection. *)
val follow : t -> (unit -> flow option Lwt.t) -> 'a Lwt.t
