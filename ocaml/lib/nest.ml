(* Which prefix holds an address: the innermost, of prefixes that may lie within one another. A column sorted by
   address, then length, is searched; the last member at or below an address holds it, or one that holds that
   member does. A lookup makes no value. *)

type t = {
  column : Column.t;
  parents : string; (* of each the one around it, its index and 1; 0: none. "": no member lies in another *)
  common : int; (* bits that all have in common *)
  directory : string; (* by the 16 bits behind those: how many members are below; "" of few *)
}

let u32 bytes i = Cursor.u32_at bytes (4 * i)

(* Ours: from how many members on 256 KiB are worth it. *)
let directory_from = 4096

(* 16 bits of an address from a bit on; 0 beyond its end. *)
let bits (x : Address.t) at =
  let w = at / 32 and off = at mod 32 in
  if off <= 16 then (Address.word x w lsr (16 - off)) land 0xffff
  else ((Address.word x w lsl (off - 16)) lor (Address.word x (w + 1) lsr (48 - off))) land 0xffff

let directory_of column common =
  let n = Column.count column and bytes = Bytes.create (4 * 65_537) in
  let filled = ref 0 in
  let fill_to high i =
    while !filled <= high do
      Bytes.set_int32_le bytes (4 * !filled) (Int32.of_int i);
      incr filled
    done
  in
  for i = 0 to n - 1 do
    Pause.at i;
    fill_to (bits (Column.get column i).address common) i
  done;
  fill_to 65_536 n;
  Bytes.unsafe_to_string bytes

(* Of sorted prefixes, none of which is there twice. *)
let with_parents column parents =
  let n = Column.count column in
  if n < directory_from then { column; parents; common = 0; directory = "" }
  else
    let address i = (Column.get column i).address in
    let first = address 0 and last = address (n - 1) in
    let common = if Address.compare first last = 0 then 0 else Address.first_difference first last in
    { column; parents; common; directory = directory_of column common }

let of_column column = with_parents column ""

let of_sorted column =
  let n = Column.count column in
  let parents = Bytes.create (4 * n) and is_nested = ref false in
  let rec around i j =
    if j < 0 || Column.holds_member column j i then j
    else around i (Int32.to_int (Bytes.get_int32_le parents (4 * j)) - 1)
  in
  for i = 0 to n - 1 do
    Pause.at i;
    let parent = around i (i - 1) in
    if parent >= 0 then is_nested := true;
    Bytes.set_int32_le parents (4 * i) (Int32.of_int (parent + 1))
  done;
  with_parents column (if !is_nested then Bytes.unsafe_to_string parents else "")

(* How many members are at or below an address. *)
let below { column; common; directory; _ } x =
  let n = Column.count column in
  let low = ref 0 and high = ref n in
  if directory <> "" then
    if Column.starts_with column.addresses 0 x 0 common then begin
      let at = bits x common in
      low := u32 directory at;
      high := u32 directory (at + 1)
    end
    else if Column.compare_address column 0 x > 0 then high := 0
    else low := n;
  while !low < !high do
    let half = (!low + !high) lsr 1 in
    if Column.compare_address column half x <= 0 then low := half + 1 else high := half
  done;
  !low

let parent { parents; _ } i = if parents = "" then -1 else u32 parents i - 1

let rec holding nest x i =
  if i < 0 || Column.holds nest.column i x then i else holding nest x (parent nest i)

(* The index of the innermost; -1: none. *)
let innermost nest x = holding nest x (below nest x - 1)
