(* `packets TRUST SESSION PACKETS`: the verdicts of packets by the release of a recorded session, compared with
   those beside them. The first line is the environment: earlier, later, and servers of DNS. It writes how many
   were compared, and those that differ; it ends with 1 if any does. *)

open Rulecast

let environment line =
  match String.split_on_char ' ' line with
  | earlier :: later :: dns ->
     {
       Meaning.earlier = int_of_string earlier;
       later = int_of_string later;
       dns = List.map Document.address dns;
     }
  | _ -> invalid_arg "no environment"

let word = function Table.Accept -> "accept" | Drop -> "drop" | Nobody -> "none"

let () =
  let table = (Recorded.release Sys.argv.(1) (Recorded.read Sys.argv.(2))).table in
  let compared = ref 0 and differing = ref 0 in
  In_channel.with_open_bin Sys.argv.(3) (fun file ->
     let environment = environment (Option.get (In_channel.input_line file)) in
     let rec go () =
       match In_channel.input_line file with
       | None -> ()
       | Some line ->
          let at = String.index line '\t' in
          let packet = Document.packet (String.sub line 0 at) in
          let wanted = String.sub line (at + 1) (String.length line - at - 1) in
          let found = Document.verdict_text (Table.explain table environment packet) in
          let action = word (Table.judge table environment packet) in
          incr compared;
          if found <> wanted || not (String.starts_with ~prefix:action found) then begin
            incr differing;
            Printf.printf "%s: %s (%s), not %s\n" (String.sub line 0 at) found action wanted
          end;
          go ()
     in
     go ());
  Printf.printf "%d compared\n" !compared;
  if !differing > 0 then exit 1
