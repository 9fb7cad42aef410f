type identifier = string

let identifier number = Printf.sprintf "MIRAGE%025u" number

(* A field that C reads up to its NUL, which has to be in it. *)
let field ~length text =
  if String.length text >= length || String.contains text '\000' then
    invalid_arg (Printf.sprintf "qrexec: %S does not fit into %d bytes" text length);
  text ^ String.make (length - String.length text) '\000'

let trigger ~version ~service ~vm identifier =
  match version with
  | `V2 ->
     (`Trigger_service, field ~length:64 service ^ field ~length:32 vm ^ field ~length:32 identifier)
  | `V3 ->
     let name = field ~length:(String.length service + 1) service in
     (`Trigger_service3, field ~length:64 vm ^ field ~length:32 identifier ^ name)

let refused body =
  match String.index_opt body '\000' with Some length -> String.sub body 0 length | None -> body

let connected body =
  if String.length body < 8 then None
  else
    let identifier = refused (String.sub body 8 (String.length body - 8)) in
    Some (String.get_int32_le body 0, String.get_int32_le body 4, identifier)
