(* Host names and their codes: PROTOCOL.md "Host names", "Codes of names". A name is its key: the labels from
   the last to the first, and the end, which says what it stands for. *)

open Cursor

type t = { resolve : int; keys : string array }

let end_of key = Char.code key.[String.length key - 1]
let body_of key = String.sub key 0 (String.length key - 1)
let with_end key code = body_of key ^ String.make 1 (Char.chr code)

let is_number label =
  let is_digit = function '0' .. '9' -> true | _ -> false in
  let is_hex = function '0' .. '9' | 'a' .. 'f' -> true | _ -> false in
  String.for_all is_digit label
  || String.starts_with ~prefix:"0x" label
     && String.for_all is_hex (String.sub label 2 (String.length label - 2))

let is_label label =
  let is_char = function 'a' .. 'z' | '0' .. '9' | '-' | '_' -> true | _ -> false in
  let length = String.length label in
  length >= 1 && length <= 63 && String.for_all is_char label && label.[0] <> '-' && label.[length - 1] <> '-'

let is_body body =
  let labels = String.split_on_char '\003' body in
  String.length body <= 253 && List.for_all is_label labels && not (is_number (List.hd labels))

(* The key of a name without a wildcard, in the order of the others: resolutions are sorted by it. *)
let key_of_name name =
  let key = String.concat "\003" (List.rev (String.split_on_char '.' name)) ^ "\000" in
  if is_body (body_of key) && not (String.contains name '\003') then Some key else None

let name_of_key key = String.concat "." (List.rev (String.split_on_char '\003' (body_of key)))

(* Keys one behind another, ascending strictly, each name once. *)
let read_keys cursor count =
  if count > left cursor then bad cursor "it ends too soon";
  let before = ref "" in
  let key _ =
    let start = cursor.at in
    while u8 cursor > 2 do
      ()
    done;
    let key = String.sub cursor.bytes start (cursor.at - start) in
    if not (is_body (body_of key)) then bad cursor "no host name";
    if !before <> "" && (String.compare !before key >= 0 || body_of !before = body_of key) then
      bad cursor "names that do not ascend";
    before := key;
    key
  in
  Array.init count key

(* ── Characters, as the leaves of a tree ── *)

let depths =
  [
    3;
    4;
    6;
    7;
    7;
    7;
    8;
    8;
    8;
    9;
    9;
    8;
    9;
    9;
    4;
    6;
    6;
    5;
    4;
    6;
    6;
    5;
    4;
    7;
    7;
    6;
    5;
    4;
    4;
    6;
    6;
    5;
    4;
    5;
    6;
    6;
    5;
    6;
    7;
    7;
  ]

type tree = Leaf of int | Node of { left : tree; right : tree; mutable number : int; first_right : int }

let alphabet =
  let rec build depth first depths =
    match depths with
    | d :: rest when d = depth -> (Leaf first, first + 1, rest)
    | _ ->
       let left, first_right, rest = build (depth + 1) first depths in
       let right, next, rest = build (depth + 1) first_right rest in
       (Node { left; right; number = 0; first_right }, next, rest)
  in
  let root, _, _ = build 0 0 depths in
  let rec number count = function
    | [] -> ()
    | level ->
       let visit (count, below) = function
         | Leaf _ -> (count, below)
         | Node node ->
            node.number <- count;
            (count + 1, node.right :: node.left :: below)
       in
       let count, below = List.fold_left visit (count, []) level in
       number count (List.rev below)
  in
  number 0 [ root ];
  root

let code_of_char = function
  | '\003' -> 1
  | '-' -> 2
  | '0' .. '9' as c -> Char.code c - Char.code '0' + 3
  | '_' -> 13
  | c when c >= 'a' -> Char.code c - Char.code 'a' + 14
  | _ -> 0

let char_of_code = String.get "\000\003-0123456789_abcdefghijklmnopqrstuvwxyz"

let codes_of key =
  Array.init (String.length key) (fun i ->
     code_of_char (if i < String.length key - 1 then key.[i] else '\000'))

(* ── The coder's contexts ── *)

let pace =
  [| 32768; 21846; 16384; 13108; 10923; 9363; 8192; 7282; 6554; 5958; 5462; 5042; 4682; 4370; 4096; 3856 |]

let share = [| 52; 86; 110; 128; 143; 154; 163; 171; 178; 183; 188; 192; 196; 200; 203; 205 |]

type context = { mutable chance : int; mutable count : int }

(* Contexts are found by what they are about; none costs anything before it is met. *)
type coder = { range : Range_coder.t; contexts : (int * int * int * int, context) Hashtbl.t }

let context coder key =
  match Hashtbl.find_opt coder.contexts key with
  | Some context -> context
  | None ->
     let context = { chance = 32768; count = 0 } in
     Hashtbl.add coder.contexts key context;
     context

let learn context is_one =
  let target = if is_one then 0 else 65536 in
  let moved = context.chance + (((target - context.chance) * pace.(context.count)) asr 16) in
  context.chance <- max moved 64 land lnot 15;
  context.count <- min (context.count + 1) 15

let decide coder key =
  let context = context coder key in
  let is_one = Range_coder.decide coder.range context.chance in
  learn context is_one;
  is_one

let decide_mixed coder slot pair =
  let slot = context coder slot and pair = context coder pair in
  if slot.count = 0 then slot.chance <- pair.chance;
  let share = share.(slot.count) in
  let is_one =
    Range_coder.decide coder.range (((slot.chance * share) + (pair.chance * (256 - share))) asr 8)
  in
  learn slot is_one;
  learn pair is_one;
  is_one

(* So many bits, the highest first; `say` is given the bits so far behind a leading 1. *)
let bits_by say count =
  let rec go so_far n = if n = 0 then so_far else go ((2 * so_far) + Bool.to_int (say so_far)) (n - 1) in
  go 1 count - (1 lsl count)

let even coder _ = Range_coder.decide coder.range 32768

(* What a context is about: the first of its four numbers. *)
let shared_after = 0
let shared_between = 1
let first_of_name = 2
let pair_of_chars = 3
let slot_of_chars = 4
let end_of_name = 5
let number_length = 6 (* and more, by which number: kept, removed, unchanged, passed *)
let number_bits = 10
let kept = 0
let removed = 1
let unchanged = 2
let passed = 3

let number coder which =
  let length = bits_by (fun so_far -> decide coder (number_length + which, so_far, 0, 0)) 5 in
  let value = ref 1 in
  for i = 0 to length - 1 do
    let is_one = if i < 3 then decide coder (number_bits + which, length, !value, 0) else even coder () in
    value := (2 * !value) + Bool.to_int is_one
  done;
  !value - 1

(* ── Names ── *)

type speaker = { coder : coder; slots : int; is_wild : bool; mutable shared : int; mutable last_end : int }

let say_end speaker =
  let before = speaker.last_end in
  let is_not_0 = decide speaker.coder (end_of_name, before, 0, 0) in
  let code = if is_not_0 then if decide speaker.coder (end_of_name, before, 1, 0) then 2 else 1 else 0 in
  speaker.last_end <- code;
  code

let bad_name speaker text = bad speaker.coder.range.cursor text

(* A character: what follows from its being above `low`, or not above `high`, is not said. *)
let say_character ~low ~high decide_at =
  let rec go on_low on_high = function
    | Leaf code -> code
    | Node { left; right; number; first_right } ->
       let is_right =
         if on_low && low >= first_right then true
         else if on_high && high < first_right then false
         else decide_at number
       in
       go
         (on_low && is_right = (low >= first_right))
         (on_high && is_right = (high >= first_right))
         (if is_right then right else left)
  in
  go true true alphabet

let common_length x y =
  let rec go i = if i < Array.length x && i < Array.length y && x.(i) = y.(i) then go (i + 1) else i in
  go 0

(* A name after the one before, and below the next one; keys without which there is none. *)
let say_name speaker ~before ~next =
  let coder = speaker.coder in
  let old = match before with Some key -> codes_of key | None -> [| 0 |] in
  let limit = Option.map codes_of next in
  let known = match limit with Some limit -> common_length old limit | None -> 0 in
  let context =
    match limit with None -> (shared_after, min speaker.shared 63) | Some _ -> (shared_between, min known 63)
  in
  let more = bits_by (fun so_far -> decide coder (fst context, snd context, so_far, 0)) 6 in
  let more = if more = 63 then 63 + bits_by (even coder) 8 else more in
  let shared = known + more in
  if shared >= Array.length old then bad_name speaker "it shares more than there is";
  speaker.shared <- shared;
  let codes = Array.make 256 0 in
  Array.blit old 0 codes 0 shared;
  let separators = Array.fold_left (fun n code -> n + Bool.to_int (code = 1)) 0 (Array.sub old 0 shared) in
  let begins = shared = 0 || old.(shared - 1) = 1 in
  let bound_at at is_bound = match limit with Some limit when is_bound -> limit.(at) | _ -> 39 in
  let place = (min separators 2 * 2) + Bool.to_int begins in
  let decide_first node = decide coder (first_of_name, place, old.(shared), node) in
  let rec say at is_bound =
    if at > 253 then bad_name speaker "a name of more than 253 characters";
    let high = bound_at at is_bound in
    let code =
      if at = shared then say_character ~low:old.(shared) ~high decide_first
      else begin
        let c k = if at >= k then codes.(at - k) else 0 in
        let x = (c 4 * 64000) + (c 3 * 1600) + (c 2 * 40) + c 1 in
        let y = x * 2654435761 land 0xffffffff in
        let h = y lxor (y lsr 15) land (speaker.slots - 1) in
        say_character ~low:0 ~high (fun node ->
           let m = if node > 31 then node - 7 else node in
           decide_mixed coder (slot_of_chars, h, m, 0) (pair_of_chars, c 2, c 1, node))
      end
    in
    if at = shared && code <= old.(shared) then bad_name speaker "names that do not ascend";
    codes.(at) <- code;
    if code > 0 then say (at + 1) (is_bound && code = high) else at
  in
  let length = say shared (limit <> None && shared = known) in
  let body = String.init length (fun i -> char_of_code codes.(i)) in
  if not (is_body body) then bad_name speaker "no host name";
  if Option.map body_of next = Some body then bad_name speaker "a name that is there already";
  let code = if speaker.is_wild then say_end speaker else 0 in
  body ^ String.make 1 (Char.chr code)

let speaker cursor ~flags ~names =
  let rec slots k = if k < 15 && 1 lsl (k + 1) < names then slots (k + 1) else 1 lsl k in
  let coder = { range = Range_coder.start cursor; contexts = Hashtbl.create 256 } in
  { coder; slots = slots 10; is_wild = flags land 2 > 0; shared = 0; last_end = 0 }

let flags cursor =
  let flags = u8 cursor in
  if flags > 7 || flags land 5 = 5 then bad cursor "flags of names";
  (flags, if flags land 4 > 0 then 2 else flags land 1)

let finish_names speaker said =
  Range_coder.finish speaker.coder.range;
  if speaker.is_wild <> Seq.exists (fun key -> end_of key > 0) said then
    bad_name speaker "the flag of wildcards"

let put cursor (room : Entries.room) =
  let flags, resolve = flags cursor in
  let count = varint cursor in
  Entries.claim room count;
  let speaker = speaker cursor ~flags ~names:count in
  let before = ref None in
  let name _ =
    let key = say_name speaker ~before:!before ~next:None in
    before := Some key;
    key
  in
  let keys = Array.of_seq (Seq.init count name) in
  finish_names speaker (Array.to_seq keys);
  { resolve; keys }

let patch cursor { resolve = old_resolve; keys = old } (room : Entries.room) =
  let flags, resolve = flags cursor in
  let removals = varint cursor in
  let changes = varint cursor in
  let additions = varint cursor in
  let size = Array.length old in
  if removals + changes + additions = 0 && resolve = old_resolve then
    bad cursor "a patch that changes nothing";
  if removals > size || changes > size then refuse "bad-base" "more than there is";
  Entries.claim room additions;
  let speaker = speaker cursor ~flags ~names:additions in
  let coder = speaker.coder in
  let is_removed = Array.make size false and ends = Array.map end_of old in
  let place i = if i >= size then refuse "bad-base" "an index beyond the old list" else i in
  let rec remove at still =
    if still > 0 then begin
      let pass = number coder kept in
      if pass = 0 && at > 0 then bad cursor "two runs that are one";
      let count = number coder removed + 1 in
      if count > still then bad cursor "more removed than it says";
      ignore (place (at + pass + count - 1));
      Array.fill is_removed (at + pass) count true;
      remove (at + pass + count) (still - count)
    end
  in
  remove 0 removals;
  let at = ref 0 in
  for _ = 1 to changes do
    let i = place (!at + number coder unchanged) in
    let code = say_end speaker in
    if is_removed.(i) || code = ends.(i) then
      refuse "bad-base" "a change of what is removed, or to what is there";
    ends.(i) <- code;
    at := i + 1
  done;
  let added = ref [] and at = ref 0 in
  for _ = 1 to additions do
    let pass = number coder passed in
    at := !at + pass;
    if !at > size then refuse "bad-base" "an index beyond the old list";
    let before =
      match !added with
      | (_, key) :: _ when pass = 0 -> Some key
      | _ -> if !at > 0 then Some old.(!at - 1) else None
    in
    let next = if !at < size then Some old.(!at) else None in
    added := (!at, say_name speaker ~before ~next) :: !added
  done;
  finish_names speaker (Seq.map snd (List.to_seq !added));
  let is_kept i = i < size && not is_removed.(i) in
  let kept = Seq.map (fun i -> with_end old.(i) ends.(i)) (Seq.filter is_kept (Seq.init size Fun.id)) in
  let keys = Seq.sorted_merge String.compare kept (Seq.map snd (List.to_seq (List.rev !added))) in
  { resolve; keys = Array.of_seq keys }
