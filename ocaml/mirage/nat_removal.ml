module type TABLE = sig
  type t
  type k
  type v

  val fold : (k -> v -> 'a -> 'a) -> 'a -> t -> 'a
  val remove : k -> t -> t
end

module Make (Table : TABLE) = struct
  let remove ~drops ~answer table =
    let add key value keys = if drops key then key :: answer key value :: keys else keys in
    List.fold_left (fun table key -> Table.remove key table) table (Table.fold add [] table)
end
