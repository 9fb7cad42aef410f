(** Which entries of a NAT table go when a predicate says so of their connection. For [Storage] of mirage-nat. *)

(** What is asked of a table: `Lru.F.S` has it. *)
module type TABLE = sig
  type t
  type k
  type v

  val fold : (k -> v -> 'a -> 'a) -> 'a -> t -> 'a
  val remove : k -> t -> t
end

module Make (Table : TABLE) : sig
  (** Each connection has two entries: its requests, from the client, and what is answered, towards the
      translated source. Both go where [drops] is true for the first, which [answer] turns into the key of the
      second. *)
  val remove :
    drops:(Table.k -> bool) -> answer:(Table.k -> Table.v -> Table.k) -> Table.t -> Table.t
end
