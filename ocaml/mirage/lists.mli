(** Published rule sets in qubes-mirage-firewall: what a publisher's release drops of what the rules of QubesDB
    accept. It accepts nothing by itself, so it only narrows. *)

type t

(** Until the first release nothing passes.

    [entries]: that a release may have at most; [dns]: what `specialtarget=dns` stands for; [on_flip]: another
    release decides from here on.

    @raise Invalid_argument if [trust] is no trust line, or [name] no name of a subscriber. *)
val create :
  trust:string ->
  name:string ->
  entries:int ->
  dns:Ipaddr.V4.t list ->
  random:(int -> string) ->
  on_flip:(unit -> unit) ->
  t

(** For a packet that no NAT entry knows and the rules of QubesDB accept. A packet to another client is judged
    as what the one sends and as what the other gets, answers included: nothing remembers its connection. *)
val judge : t -> (_, [> `Client of _ ]) Packet.t -> [ `Accept | `Drop of string ]

(** Whether a connection in the NAT table would be dropped now: by source, destination, and its destination
    port, or none for ICMP. *)
val drops :
  t -> [ `Tcp | `Udp | `Icmp ] -> src:Ipaddr.V4.t -> dst:Ipaddr.V4.t -> port:int option -> bool

(** The version that decides, for logs. *)
val version : t -> int option

(** Calls the service `rulecast.Subscribe` of a qube, again and again. {!serve} answers no call from then on. *)
val follow : t -> Qubes.RExec.t -> vm:string -> 'a Lwt.t

(** Whether a command line of qrexec is a call of `rulecast.Subscribe`. *)
val is_call : string -> bool

(** Answers such a call, one at a time; ends with its exit code. *)
val serve : t -> Qubes.RExec.Flow.t -> int Lwt.t
