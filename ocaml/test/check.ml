(* What is not as a vector says is written, and counted. *)

open Rulecast
open Document

let failures = ref 0
let checks = ref 0

let fail name text =
  incr failures;
  Printf.printf "  %s: %s\n" name text

let check name holds =
  incr checks;
  if not holds then fail name "not as the vector says"

(* What is made, or the code with which it is refused. *)
let result make =
  match make () with value -> Ok value | exception Cursor.Refused (code, text) -> Error (code, text)

let expect name wanted make =
  incr checks;
  match result make with
  | Ok value -> if value <> wanted then fail name "another value than the vector's"
  | Error (code, text) -> fail name (Printf.sprintf "refused: %s, %s" code text)

let expect_refused name code make =
  incr checks;
  match result (fun () -> ignore (make ())) with
  | Ok () -> fail name ("taken, and not refused as " ^ code)
  | Error (found, text) -> if found <> code then fail name (Printf.sprintf "%s (%s), not %s" found text code)

let each key json f = List.iter (fun vector -> f (text "name" vector) vector) (J.to_list (member key json))
let hex key vector = of_hex (text key vector)
let number key vector = J.to_int (member key vector)

let whole code bytes read =
  let cursor = Cursor.of_string ~code bytes in
  let value = read cursor in
  Cursor.finish cursor;
  value
