(** Removes entries of a NAT table whose connection a predicate drops. For [Storage] of mirage-nat. *)

(** [fold] and [remove] are those of the table, such as an `Lru.F.S`. A connection has two entries: requests,
    from the client, and answers, towards the translated source. Both go where [drops] is true for the key of the
    first; [answer] makes the key of the second from the first. *)
val remove :
  fold:(('k -> 'v -> 'k list -> 'k list) -> 'k list -> 'table -> 'k list) ->
  remove:('k -> 'table -> 'table) ->
  drops:('k -> bool) ->
  answer:('k -> 'v -> 'k) ->
  'table ->
  'table
