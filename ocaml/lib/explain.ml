(* A question of the publisher as a packet, and its verdict as an answer: WIRE.md "Packet", "Verdict", MEANING.md
   "Rules as text". *)

open Message

(* None: its addresses are of two families. *)
let packet_of said =
  let find key = List.assoc_opt key said in
  let number key = match find key with Some (Int n) -> Some n | _ -> None in
  let address key = match find key with Some (Octets bytes) -> Some (Address.of_bytes bytes) | _ -> None in
  let direction =
    match find "direction" with
    | Some (Text "egress") -> Meaning.Egress
    | Some (Text "ingress") -> Ingress
    | _ -> Both
  in
  match (address "src", address "dst", number "proto") with
  | src, Some (family, dst), Some proto when Option.fold ~none:true ~some:(fun (f, _) -> f = family) src ->
     Some
       {
         Meaning.direction;
         family;
         src = Option.map snd src;
         dst;
         proto;
         port = number "port";
         icmp_type = number "icmpType";
       }
  | _ -> None

let rule_text_max = 1536

let line ~is_ingress ({ said; remote } : Rule.t) =
  let side = if is_ingress then "src" else "dst" in
  let word name value = Option.fold ~none:[] ~some:(fun text -> [ name ^ "=" ^ text ]) value in
  let remote =
    match remote with
    | Any -> []
    | Prefix (family, prefix) ->
       let digit = match family with V4 -> "4" | V6 -> "6" in
       [ side ^ digit ^ "=" ^ Address.prefix_text family prefix ]
    | Host name -> [ side ^ "host=" ^ name ]
    | List name -> [ side ^ "=@" ^ name ]
  in
  let protocol = match said.protocol with 1 -> Some "icmp" | 6 -> Some "tcp" | 17 -> Some "udp" | _ -> None in
  let ports = Option.map (fun (first, last) -> Printf.sprintf "%d-%d" first last) said.ports in
  let words =
    word "action" (Some (Rule.word_of_action said.action))
    @ word "expire" (Option.map string_of_int said.expiry)
    @ remote
    @ word "proto" protocol
    @ word "specialtarget" (if said.is_dns then Some "dns" else None)
    @ word "dstports" ports
    @ word "icmptype" (Option.map string_of_int said.icmp_type)
    @ word "private" (if said.is_private then Some "true" else None)
    @ word "comment" (Rule.comment_of said)
  in
  let line = String.concat " " words in
  String.sub line 0 (min rule_text_max (String.length line))

let verdict table environment packet =
  let action word = [ ("action", Text word) ] in
  match Table.explain table environment packet with
  | Nobody -> action "none"
  | No_flow -> action "drop"
  | Decided { action = decided; direction; policy; rule } -> (
     let optional key = Option.fold ~none:[] ~some:(fun text -> [ (key, Text text) ]) in
     let judged =
       action (Rule.word_of_action decided)
       @ [ ("direction", Text (Meaning.word_of_direction direction)) ]
       @ optional "policy" policy
     in
     match rule with
     | None -> judged
     | Some { block; index; run; list; prefix } ->
        let home = if block = Common then Some "common" else policy in
        let found = Option.map (fun name -> Table.rule table name direction block index) home in
        let text = Option.map (line ~is_ingress:(direction <> Egress)) found in
        let prefix = Option.map (fun (family, prefix) -> Address.prefix_text family prefix) prefix in
        judged @ optional "rulePolicy" home
        @ [ ("block", Text (Meaning.word_of_block block)) ]
        @ optional "rule" text
        @ [ ("ruleIndex", Int index); ("run", Int run) ]
        @ optional "list" list @ optional "prefix" prefix)
