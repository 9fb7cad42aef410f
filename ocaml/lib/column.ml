(* Prefixes of one family in order, kept as their canonical bytes: 5 bytes for one of IPv4, 17 for one of IPv6.
   All here goes by words, of which IPv4 has one and IPv6 four. CONTENT.md "Canonical bytes", "Delta and
   snapshot" (planes). *)

open Address

type t = { family : family; addresses : string; lengths : string }
type set = { v4 : t; v6 : t }

let count column = String.length column.lengths
let length column i = Char.code column.lengths.[i]
let word_at column i w = Cursor.u32_at column.addresses (4 * ((words column.family * i) + w))

let get ({ family; _ } as column) i =
  let at = word_at column i in
  let address =
    match family with V4 -> { zero with a = at 0 } | V6 -> { a = at 0; b = at 1; c = at 2; d = at 3 }
  in
  { address; length = length column i }

(* ── Words against words, without a value for each address ── *)

let rec compare_words x at y other left =
  if left = 0 then 0
  else
    let a = Cursor.u32_at x at and b = Cursor.u32_at y other in
    if a <> b then Int.compare a b else compare_words x (at + 4) y (other + 4) (left - 1)

(* The addresses of two members, of columns of one family. *)
let compare_at x i y j =
  let words = words x.family in
  compare_words x.addresses (4 * words * i) y.addresses (4 * words * j) words

let rec compare_from bytes at (address : Address.t) w words =
  if w = words then 0
  else
    let a = Cursor.u32_at bytes (at + (4 * w)) and b = word address w in
    if a <> b then Int.compare a b else compare_from bytes at address (w + 1) words

let compare_address column i address =
  let words = words column.family in
  compare_from column.addresses (4 * words * i) address 0 words

let rec starts_with bytes at (address : Address.t) w left =
  left <= 0
  || (Cursor.u32_at bytes (at + (4 * w)) lxor word address w) lsr (32 - Int.min 32 left) = 0
     && starts_with bytes at address (w + 1) (left - 32)

(* Whether a member holds an address. *)
let holds column i address =
  starts_with column.addresses (4 * words column.family * i) address 0 (length column i)

let rec same_bits bytes at other left =
  left <= 0
  || (Cursor.u32_at bytes at lxor Cursor.u32_at bytes other) lsr (32 - Int.min 32 left) = 0
     && same_bits bytes (at + 4) (other + 4) (left - 32)

(* Whether member i holds the address of member j. *)
let holds_member column i j =
  let stride = 4 * words column.family in
  same_bits column.addresses (stride * i) (stride * j) (length column i)

(* The first of sorted indices, from low to before high, that is on the right side; high if none is. *)
let rec first_right is_right low high =
  if low = high then low
  else
    let half = (low + high) / 2 in
    if is_right half then first_right is_right low half else first_right is_right (half + 1) high

(* ── Columns that are made ── *)

type builder = { of_family : family; to_addresses : Buffer.t; to_lengths : Buffer.t }

let builder of_family = { of_family; to_addresses = Buffer.create 64; to_lengths = Buffer.create 16 }
let add_word buffer word = Buffer.add_int32_le buffer (Int32.of_int word)

let push { of_family; to_addresses; to_lengths } { address; length } =
  for i = 0 to words of_family - 1 do
    add_word to_addresses (word address i)
  done;
  Buffer.add_uint8 to_lengths length

let built { of_family; to_addresses; to_lengths } =
  { family = of_family; addresses = Buffer.contents to_addresses; lengths = Buffer.contents to_lengths }

let of_seq family prefixes =
  let builder = builder family in
  Seq.iter (push builder) prefixes;
  built builder

let empty family = { family; addresses = ""; lengths = "" }
let empty_set = { v4 = empty V4; v6 = empty V6 }
let to_seq column = Seq.init (count column) (get column)
let set_count { v4; v6 } = count v4 + count v6

(* Prefixes in any order, without those that lie within others. *)
let of_prefixes family prefixes =
  let add kept next =
    match kept with last :: _ when Address.holds last next.address -> kept | _ -> next :: kept
  in
  of_seq family (List.to_seq (List.rev (List.fold_left add [] (List.sort Address.compare_prefix prefixes))))

(* Two columns by address, without those of the first whose bit is set in `gone`, which says how many
   they are. *)
let merge ?(gone = (Bytes.empty, 0)) x y =
  let gone, left_out = gone in
  let is_gone i = left_out > 0 && Bytes.get_uint8 gone (i / 8) land (1 lsl (i land 7)) > 0 in
  let stride = 4 * words x.family and total = count x - left_out + count y in
  let addresses = Bytes.create (stride * total) and lengths = Bytes.create total in
  let i = ref 0 and j = ref 0 in
  let skip () =
    while !i < count x && is_gone !i do
      incr i
    done
  in
  for n = 0 to total - 1 do
    Pause.at n;
    skip ();
    let is_first = !j = count y || (!i < count x && compare_at x !i y !j <= 0) in
    let from, at = if is_first then (x, i) else (y, j) in
    Bytes.blit_string from.addresses (stride * !at) addresses (stride * n) stride;
    Bytes.set lengths n from.lengths.[!at];
    incr at
  done;
  { x with addresses = Bytes.unsafe_to_string addresses; lengths = Bytes.unsafe_to_string lengths }

(* Columns of one family, pair by pair. *)
let rec merge_all family = function
  | [] -> empty family
  | [ column ] -> column
  | columns ->
     let rec pairs = function x :: y :: rest -> merge x y :: pairs rest | rest -> rest in
     merge_all family (pairs columns)

(* ── Bytes ── *)

(* A length beyond the family's, or bits behind it. *)
let check_prefixes cursor column =
  let words = words column.family in
  for i = 0 to count column - 1 do
    Pause.at i;
    let length = length column i in
    if length > 32 * words then Cursor.bad cursor "a length beyond the family's";
    for w = 0 to words - 1 do
      let kept = max 0 (min 32 (length - (32 * w))) in
      if (word_at column i w lsl kept) land low32 <> 0 then Cursor.bad cursor "host bits are set"
    done
  done;
  column

(* column(n, family) *)
let read cursor n family =
  if n > Cursor.left cursor then Cursor.bad cursor "it ends too soon";
  let addresses = Cursor.take cursor (4 * words family * n) in
  check_prefixes cursor { family; addresses; lengths = Cursor.take cursor n }

(* The same as planes: of all differences to the prefix before first the lowest bytes, then the next. *)
let read_planes cursor n family =
  let words = words family in
  if n > Cursor.left cursor / ((4 * words) + 1) then Cursor.bad cursor "it ends too soon";
  let planes = Cursor.skip cursor (4 * words * n) in
  let addresses = Bytes.create (4 * words * n) in
  for w = 0 to words - 1 do
    let before = ref 0 in
    for i = 0 to n - 1 do
      let byte k = Char.code cursor.bytes.[planes + (((4 * w) + k) * n) + i] lsl (8 * k) in
      before := (!before + byte 0 + byte 1 + byte 2 + byte 3) land low32;
      Bytes.set_int32_le addresses (4 * ((words * i) + w)) (Int32.of_int !before)
    done
  done;
  let addresses = Bytes.unsafe_to_string addresses in
  check_prefixes cursor { family; addresses; lengths = Cursor.take cursor n }

let write buffer { addresses; lengths; _ } =
  Buffer.add_string buffer addresses;
  Buffer.add_string buffer lengths

(* Sorted, and no member equal to or within another. *)
let check_canonical cursor column =
  for i = 1 to count column - 1 do
    Pause.at i;
    if compare_at column (i - 1) column i >= 0 || holds_member column (i - 1) i then
      Cursor.bad cursor "prefixes that do not ascend, or lie within another"
  done;
  column

let read_set cursor =
  let v4 = Cursor.u32 cursor in
  let v6 = Cursor.u32 cursor in
  let v4 = check_canonical cursor (read cursor v4 V4) in
  { v4; v6 = check_canonical cursor (read cursor v6 V6) }

let write_set buffer { v4; v6 } =
  List.iter (fun column -> Cursor.put_le buffer 4 (count column)) [ v4; v6 ];
  List.iter (write buffer) [ v4; v6 ]

let set_bytes { v4; v6 } = 8 + (5 * count v4) + (17 * count v6)
