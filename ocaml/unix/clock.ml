(* Milliseconds that never go back. A clock that is set back costs the time since it was last read; one that is
   set ahead ends sessions and makes stale, which opens nothing. *)

let last = ref (Unix.gettimeofday ())
let passed = ref 0.

let now () =
  let read = Unix.gettimeofday () in
  passed := !passed +. Float.max 0. (read -. !last);
  last := read;
  int_of_float (1000. *. !passed)
