(* Prefixes of one family in order, kept as their canonical bytes: 5 bytes for one of IPv4. CONTENT.md
   "Canonical bytes", "Delta and snapshot" (planes). *)

open Address

type t = { family : family; addresses : string; lengths : string }
type set = { v4 : t; v6 : t }

let count column = String.length column.lengths

let get { family; addresses; lengths } i =
  let at w = Cursor.u32_at addresses (4 * ((words family * i) + w)) in
  let address =
    match family with V4 -> { zero with a = at 0 } | V6 -> { a = at 0; b = at 1; c = at 2; d = at 3 }
  in
  { address; length = Char.code lengths.[i] }

(* The first of sorted indices, from low to before high, that is on the right side; high if none is. *)
let rec first_right is_right low high =
  if low = high then low
  else
    let half = (low + high) / 2 in
    if is_right half then first_right is_right low half else first_right is_right (half + 1) high

(* One that is being made. *)
type builder = { of_family : family; to_addresses : Buffer.t; to_lengths : Buffer.t }

let builder of_family = { of_family; to_addresses = Buffer.create 64; to_lengths = Buffer.create 16 }

let push { of_family; to_addresses; to_lengths } { address; length } =
  for i = 0 to words of_family - 1 do
    Cursor.put_le to_addresses 4 (word address i)
  done;
  Buffer.add_uint8 to_lengths length

let built { of_family; to_addresses; to_lengths } =
  { family = of_family; addresses = Buffer.contents to_addresses; lengths = Buffer.contents to_lengths }

let of_seq family prefixes =
  let builder = builder family in
  Seq.iter (push builder) prefixes;
  built builder

let empty family = of_seq family Seq.empty
let empty_set = { v4 = empty V4; v6 = empty V6 }
let to_seq column = Seq.init (count column) (get column)
let set_count { v4; v6 } = count v4 + count v6

let check_prefix cursor family { address; length } =
  if length > width family then Cursor.bad cursor "a length beyond the family's";
  if mask address length <> address then Cursor.bad cursor "host bits are set"

(* column(n, family) *)
let read cursor n family =
  if n > Cursor.left cursor then Cursor.bad cursor "it ends too soon";
  let addresses = Cursor.take cursor (4 * words family * n) in
  let column = { family; addresses; lengths = Cursor.take cursor n } in
  Seq.iter (check_prefix cursor family) (to_seq column);
  column

(* The same as planes: of all differences to the prefix before first the lowest bytes, then the next. *)
let read_planes cursor n family =
  let words = words family in
  if n > Cursor.left cursor / ((4 * words) + 1) then Cursor.bad cursor "it ends too soon";
  let planes = Cursor.take cursor (4 * words * n) in
  let addresses = Bytes.create (4 * words * n) in
  for w = 0 to words - 1 do
    let before = ref 0 in
    for i = 0 to n - 1 do
      let byte k = Char.code planes.[(((4 * w) + k) * n) + i] lsl (8 * k) in
      before := (!before + byte 0 + byte 1 + byte 2 + byte 3) land low32;
      Bytes.set_int32_le addresses (4 * ((words * i) + w)) (Int32.of_int !before)
    done
  done;
  let column = { family; addresses = Bytes.to_string addresses; lengths = Cursor.take cursor n } in
  Seq.iter (check_prefix cursor family) (to_seq column);
  column

let write buffer { addresses; lengths; _ } =
  Buffer.add_string buffer addresses;
  Buffer.add_string buffer lengths

(* Sorted, and no member equal to or within another. *)
let check_canonical cursor column =
  for i = 1 to count column - 1 do
    let before = get column (i - 1) and { address; _ } = get column i in
    if Address.compare before.address address >= 0 || holds before address then
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
