let remove ~fold ~remove ~drops ~answer table =
  let add key value keys = if drops key then key :: answer key value :: keys else keys in
  List.fold_left (fun table key -> remove key table) table (fold add [] table)
