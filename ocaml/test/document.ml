(* The vectors' own notation: addresses, rules and parts as text in JSON, made into values. What is wrong here
   is the vectors' fault, and raises Invalid_argument. *)

open Rulecast
module J = Yojson.Basic.Util

let wrong what text = invalid_arg (Printf.sprintf "%s: %s" what text)
let member key json = match json with `Assoc _ -> J.member key json | _ -> `Null
let text key json = J.to_string (member key json)
let texts key json = match member key json with `Null -> [] | list -> List.map J.to_string (J.to_list list)
let fields key json = match member key json with `Null -> [] | assoc -> J.to_assoc assoc

let of_hex text = Trust.of_hex (String.concat "" (String.split_on_char ' ' text))
let to_hex = Trust.to_hex

let address said =
  if String.contains said ':' then begin
    let groups part = List.filter (( <> ) "") (String.split_on_char ':' part) in
    let hex group = int_of_string ("0x" ^ group) in
    let front, back =
      match
        List.find_opt (fun i -> String.sub said i 2 = "::") (List.init (String.length said - 1) Fun.id)
      with
      | None -> (groups said, [])
      | Some i -> (groups (String.sub said 0 i), groups (String.sub said (i + 2) (String.length said - i - 2)))
    in
    let zeros = List.init (8 - List.length front - List.length back) (fun _ -> "0") in
    let all = Array.of_list (List.map hex (front @ zeros @ back)) in
    (Address.V6, Address.of_words (fun w -> (all.(2 * w) lsl 16) lor all.((2 * w) + 1)))
  end
  else
    match List.map int_of_string (String.split_on_char '.' said) with
    | [ a; b; c; d ] -> (V4, { Address.zero with a = (a lsl 24) lor (b lsl 16) lor (c lsl 8) lor d })
    | _ -> wrong "no address" said

let prefix said =
  match String.split_on_char '/' said with
  | [ host ] ->
     let family, address = address host in
     (family, { Address.address; length = Address.width family })
  | [ network; length ] ->
     let family, address = address network in
     (family, { Address.address; length = int_of_string length })
  | _ -> wrong "no prefix" said

(* In canonical form: without what lies within another. *)
let column family texts =
  let of_family (f, prefix) = if f = family then Some prefix else None in
  Column.of_prefixes family (List.filter_map of_family (List.map prefix texts))

let set texts = { Column.v4 = column V4 texts; v6 = column V6 texts }

let key name =
  let of_end code name =
    match Names.key_of_name name with
    | Some key -> Names.with_end key code
    | None -> wrong "no host name" name
  in
  let after n = String.sub name n (String.length name - n) in
  if String.starts_with ~prefix:"*." name then of_end 1 (after 2)
  else if String.starts_with ~prefix:"." name then of_end 2 (after 1)
  else of_end 0 name

let keys names =
  let sorted = List.sort_uniq String.compare (List.map key names) in
  let bytes = String.concat "" sorted in
  Names.read_keys (Cursor.of_string ~code:"bad-canonical" bytes) (List.length sorted)

(* A canonical line, as the bytes of a run of that rule alone, which are then read like any others. *)
let rule builder ~is_ingress line =
  let words, comment =
    let mark = " comment=" in
    let length = String.length mark in
    let starts i = String.sub line i length = mark in
    match List.find_opt starts (List.init (max 0 (String.length line - length + 1)) Fun.id) with
    | None -> (line, None)
    | Some i -> (String.sub line 0 i, Some (String.sub line (i + length) (String.length line - i - length)))
  in
  let options =
    List.map
      (fun word ->
        match String.index_opt word '=' with
        | Some i -> (String.sub word 0 i, String.sub word (i + 1) (String.length word - i - 1))
        | None -> wrong "no option" line)
      (String.split_on_char ' ' words)
  in
  let find name = List.assoc_opt name options in
  let side name = find ((if is_ingress then "src" else "dst") ^ name) in
  let protocol =
    match find "proto" with
    | None -> 0
    | Some "icmp" -> 1
    | Some "tcp" -> 6
    | Some "udp" -> 17
    | Some p -> wrong "proto" p
  in
  let ports =
    Option.map
      (fun said ->
        match List.map int_of_string (String.split_on_char '-' said) with
        | [ first; last ] -> (first, last)
        | _ -> wrong "no ports" said)
      (find "dstports")
  in
  let flag bit option = if option = None then 0 else bit in
  let number bytes name b = Option.iter (fun n -> Cursor.put_le b bytes (int_of_string n)) (find name) in
  let bytes =
    Cursor.written (fun b ->
       Cursor.put_le b 4 1;
       Buffer.add_uint8 b (if find "action" = Some "accept" then 1 else 0);
       Buffer.add_uint8 b protocol;
       Buffer.add_uint8 b
         (flag 1 (find "specialtarget")
         + flag 2 ports
         + flag 4 (find "icmptype")
         + flag 8 (find "expire")
         + flag 16 comment
         + flag 32 (find "private"));
       Option.iter
         (fun (first, last) ->
           Cursor.put_le b 2 first;
           Cursor.put_le b 2 last)
         ports;
       number 1 "icmptype" b;
       number 8 "expire" b;
       Option.iter
         (fun c ->
           Cursor.put_le b 2 (String.length c);
           Buffer.add_string b c)
         comment;
       let one kind said =
         let family, prefix = prefix said in
         Buffer.add_uint8 b kind;
         Cursor.put_le b 4 1;
         Column.write b (Column.of_seq family (Seq.return prefix))
       in
       match (side "4", side "6", side "host", side "") with
       | Some said, _, _, _ -> one 1 said
       | _, Some said, _, _ -> one 2 said
       | _, _, Some name, _ ->
          Buffer.add_uint8 b 3;
          Cursor.put_text8 b name
       | _, _, _, Some list ->
          Buffer.add_uint8 b 4;
          Cursor.put_text8 b (String.sub list 1 (String.length list - 1))
       | _ -> Buffer.add_uint8 b 0)
  in
  let cursor = Cursor.of_string ~code:"bad-canonical" bytes in
  Rules.read_runs builder cursor ~is_ingress ~column:Column.read;
  Cursor.finish cursor

let rules ~is_ingress lines =
  let builder = Rules.builder () in
  List.iter (rule builder ~is_ingress) lines;
  Rules.built builder

let action said = match said with "accept" -> Rule.Accept | "drop" -> Drop | said -> wrong "no action" said

(* How names are answered, as the base of a policy has it. *)
let answers json =
  let said key words =
    match member key json with
    | `Null -> 0
    | `String word when List.mem_assoc word words -> List.assoc word words
    | _ -> wrong key ""
  in
  said "blocked" [ ("nxdomain", 2); ("refused", 4); ("null", 6) ]
  + said "unlisted" [ ("answer", 8); ("nxdomain", 16) ]

let policy ~default json =
  let exceptions = member "exceptions" json in
  Part.Policy
    {
      base = Rule.byte_of_action default + answers json;
      prefixes = set (texts "prefixes" json);
      egress = rules ~is_ingress:false (texts "egress" json);
      ingress = rules ~is_ingress:true (texts "ingress" json);
      egress_exceptions = rules ~is_ingress:false (texts "egress" exceptions);
      ingress_exceptions = rules ~is_ingress:true (texts "ingress" exceptions);
    }

let resolve json =
  match member "resolve" json with
  | `Bool true -> 1
  | `String "firewall" -> 2
  | `String "firewall-private" -> 3
  | `Bool false | `Null -> 0
  | _ -> wrong "resolve" ""

let resolutions named =
  let by_key (a, _) (b, _) = String.compare (key a) (key b) in
  Part.Resolutions
    (List.sort by_key
       (List.map (fun (name, said) -> (name, set (List.map J.to_string (J.to_list said)))) named))

let names json =
  { Names.resolve = resolve json; keys = keys (texts "names" json); exceptions = keys (texts "exceptions" json) }

(* A part as the vectors of formats have it, with its name. *)
let part json =
  let name = match member "name" json with `String name -> name | _ -> "" in
  let part =
    match text "kind" json with
    | "list" -> Part.Prefixes (set (texts "prefixes" json))
    | "names" -> Names (names json)
    | "policy" -> policy ~default:(action (text "defaultAction" json)) json
    | "resolutions" -> resolutions (fields "names" json)
    | "unmatched" -> Unmatched (action (text "action" json))
    | kind -> wrong "no kind" kind
  in
  ((Part.kind_of part, name), part)

let rule_set specs =
  Part.Map.of_list
    (List.map
       (fun spec ->
         let key, part = part spec in
         (key, Delta.hold part))
       (J.to_list specs))

(* A document, as the vectors of verdicts have it. *)
let document json =
  let list (name, said) =
    if member "entries" said <> `Null then ((1, name), Part.Prefixes (set (texts "entries" said)))
    else ((2, name), Part.Names (names said))
  in
  let policies =
    let apart name = match member name json with `Null -> [] | policy -> [ (name, policy) ] in
    fields "policies" json @ apart "first" @ apart "common"
  in
  let policy (name, said) =
    let default = match member "default" said with `String said -> action said | _ -> Drop in
    ((3, name), policy ~default said)
  in
  let resolved =
    match fields "resolutions" json with [] -> [] | named -> [ ((4, ""), resolutions named) ]
  in
  let unmatched =
    match member "unmatched" json with `String said -> [ ((5, ""), Part.Unmatched (action said)) ] | _ -> []
  in
  Part.Map.of_list (List.map list (fields "lists" json) @ List.map policy policies @ resolved @ unmatched)

let environment json =
  let number key default = match member key json with `Int n -> n | _ -> default in
  let earlier = number "earlier" 0 in
  { Meaning.earlier; later = number "later" earlier; dns = List.map address (texts "dns" json) }

(* DIRECTION SOURCE DESTINATION PROTOCOL DETAIL *)
let packet said =
  match String.split_on_char ' ' said with
  | [ direction; src; dst; proto; detail ] ->
     let direction =
       match direction with
       | "egress" -> Meaning.Egress
       | "ingress" -> Ingress
       | "both" -> Both
       | _ -> wrong "no direction" said
     in
     let family, dst = address dst and proto = int_of_string proto in
     let detail = if detail = "-" then None else Some (int_of_string detail) in
     let only protocols = if List.mem proto protocols then detail else None in
     let src = if src = "-" then None else Some (snd (address src)) in
     { Meaning.direction; family; src; dst; proto; port = only [ 6; 17 ]; icmp_type = only [ 1; 58 ] }
  | _ -> wrong "no packet" said

let verdict_text = function
  | Meaning.Nobody -> "none"
  | No_flow -> "drop"
  | Decided { action; direction; policy; rule } ->
     let word = Rule.word_of_action action and way = Meaning.word_of_direction direction in
     let judged = Printf.sprintf "%s %s %s" word way (Option.value policy ~default:"-") in
     let of_rule { Meaning.block; index; run; list; prefix } =
       Printf.sprintf " %s %d run %d%s%s" (Meaning.word_of_block block) index run
         (Option.fold ~none:"" ~some:(( ^ ) " list ") list)
         (Option.fold ~none:""
            ~some:(fun (family, prefix) -> " in " ^ Address.prefix_text family prefix)
            prefix)
     in
     judged ^ Option.fold ~none:"" ~some:of_rule rule

(* ── Messages ── *)

let rec value_of = function
  | `Assoc [ ("hex", `String bytes) ] -> Message.Octets (of_hex bytes)
  | `Assoc [ ("zeros", `Int n) ] -> Octets (String.make n '\000')
  | `Bool said -> Bool said
  | `Int n -> Int n
  | `String said -> Text said
  | `List items -> List (List.map value_of items)
  | `Assoc fields -> Map (List.map (fun (key, said) -> (key, value_of said)) fields)
  | _ -> invalid_arg "no value"

let message_types =
  [
    ("hello", 1);
    ("welcome", 2);
    ("offer", 3);
    ("want", 4);
    ("begin", 5);
    ("chunk", 6);
    ("end", 7);
    ("abort", 8);
    ("applied", 9);
    ("nack", 10);
    ("query", 11);
    ("answer", 12);
    ("prove", 13);
    ("proof", 14);
    ("ping", 15);
    ("pong", 16);
    ("bye", 17);
    ("unsupported", 18);
    ("root", 19);
    ("fresh", 20);
  ]

(* Its type and its body. *)
let message json =
  let kind = List.assoc (text "kind" json) message_types in
  let field (key, v) = if key = "kind" then None else Some (key, value_of v) in
  let said = List.filter_map field (J.to_assoc json) in
  let octets key = match List.assoc key said with Message.Octets bytes -> bytes | _ -> wrong "no bytes" key in
  ( kind,
    match kind with
    | 3 | 14 | 19 | 20 -> octets "signatures" ^ octets "content"
    | 6 -> octets "bytes"
    | _ -> Message.body_of said )
