(* Sequences, groups and trees: CONTENT.md "Entry encoding". *)

open Cursor
open Address

(* How many entries may still come, and what it is called if there are more. *)
type room = { mutable free : int; over : string }

let claim room n =
  if n > room.free then refuse room.over "more entries than there is room for";
  room.free <- room.free - n

let block_entries = 4096

(* A number of 128 bits that changes in place, the most significant word first: a sequence makes no value for
   each of its own. *)
type number = { mutable w0 : int; mutable w1 : int; mutable w2 : int; mutable w3 : int }

let number () = { w0 = 0; w1 = 0; w2 = 0; w3 = 0 }
let word { w0; w1; w2; w3 } = function 0 -> w0 | 1 -> w1 | 2 -> w2 | 3 -> w3 | _ -> 0

let set_word n w value =
  match w with
  | 0 -> n.w0 <- value
  | 1 -> n.w1 <- value
  | 2 -> n.w2 <- value
  | _ -> n.w3 <- value

(* Whether it has at most so many bits. *)
let fits { w0; w1; w2; w3 } bits =
  let beyond word below = word lsr Int.max 0 (Int.min 32 (bits - below)) in
  beyond w3 0 lor beyond w2 32 lor beyond w1 64 lor beyond w0 96 = 0

(* Adds another and a carry; whether it is more than 128 bits then. *)
let add n m carry =
  let sum = n.w3 + m.w3 + carry in
  n.w3 <- sum land low32;
  let sum = n.w2 + m.w2 + (sum lsr 32) in
  n.w2 <- sum land low32;
  let sum = n.w1 + m.w1 + (sum lsr 32) in
  n.w1 <- sum land low32;
  let sum = n.w0 + m.w0 + (sum lsr 32) in
  n.w0 <- sum land low32;
  sum lsr 32 > 0

(* A gap of up to 19 bytes; of IPv4 and of indices up to 5. *)
let read_gap cursor family gap =
  let width = width family in
  let last = (width - 1) / 7 in
  gap.w0 <- 0;
  gap.w1 <- 0;
  gap.w2 <- 0;
  gap.w3 <- 0;
  let rec go i =
    let byte = u8 cursor in
    let bits = byte land 127 and at = 7 * i in
    if i = last && byte lsr (width - at) > 0 then bad cursor "a gap beyond its range";
    let w = 3 - (at / 32) and shift = at mod 32 in
    set_word gap w (word gap w lor ((bits lsl shift) land low32));
    if shift > 25 && w > 0 then set_word gap (w - 1) (bits lsr (32 - shift));
    if byte >= 128 then go (i + 1) else if byte = 0 && i > 0 then bad cursor "a gap in too long a form"
  in
  go 0

(* Rice codes: so many gaps, of one word each. *)
let rice cursor count gap each =
  if left cursor > 5 * count then bad cursor "more than five bytes a gap";
  let parameter = u8 cursor in
  if parameter > 31 then bad cursor "a parameter above 31";
  let hold = ref 0 and held = ref 0 in
  let refill () =
    hold := !hold lor (u8 cursor lsl !held);
    held := !held + 8
  in
  for _ = 1 to count do
    let quotient = ref 0 in
    if !held = 0 then refill ();
    while !hold land 1 = 0 do
      incr quotient;
      hold := !hold lsr 1;
      decr held;
      if !held = 0 then refill ()
    done;
    hold := !hold lsr 1;
    decr held;
    while !held < parameter do
      refill ()
    done;
    let value = (!quotient lsl parameter) lor (!hold land ((1 lsl parameter) - 1)) in
    hold := !hold lsr parameter;
    held := !held - parameter;
    if value > low32 then bad cursor "a gap beyond a word";
    gap.w3 <- value;
    each ()
  done;
  if !hold <> 0 then bad cursor "a bit after the end"

(* Strictly ascending numbers, each handed to `each`, which must not keep it; `start` gets their count. *)
let sequence cursor family room ~start each =
  let total = varint cursor in
  claim room total;
  spend cursor 16 total;
  if total > 8 * left cursor then bad cursor "it ends too soon"; (* each takes a bit at least *)
  start total;
  let number = number () and gap = number () and carry = ref 0 in
  let width = width family in
  let take_gap () =
    if add number gap !carry || not (fits number width) then bad cursor "a number beyond its range";
    carry := 1;
    each number
  in
  let left_over = ref total in
  while !left_over > 0 do
    Pause.pause ();
    let count = min block_entries !left_over in
    let codec = u8 cursor in
    let payload = sub cursor (varint cursor) in
    (match codec with
    | 0 ->
       for _ = 1 to count do
         read_gap payload family gap;
         take_gap ()
       done
    | 2 ->
       gap.w0 <- 0;
       gap.w1 <- 0;
       gap.w2 <- 0;
       rice payload count gap take_gap
    | _ -> bad cursor "an unknown codec");
    finish payload;
    left_over := !left_over - count
  done

(* A number as the network of a prefix of that length, at a place. *)
let put_network bytes at family number length =
  let words = words family and shift = width family - length in
  let whole = shift / 32 and bits = shift mod 32 in
  for i = 0 to words - 1 do
    let source = 4 - words + i + whole in
    let high = if source > 3 then 0 else word number source lsl bits in
    let low = if source > 2 then 0 else word number (source + 1) lsr (32 - bits) in
    Bytes.set_int32_le bytes (at + (4 * i)) (Int32.of_int (high lor low))
  done

let group cursor family room length =
  let stride = 4 * words family in
  let addresses = ref Bytes.empty and at = ref 0 in
  let start n =
    if n = 0 then bad cursor "an empty group";
    addresses := Bytes.create (stride * n)
  in
  sequence cursor family room ~start (fun number ->
     if not (fits number length) then bad cursor "a network that its length cannot hold";
     put_network !addresses !at family number length;
     at := !at + stride);
  let lengths = String.make (!at / stride) (Char.chr length) in
  { Column.family; addresses = Bytes.unsafe_to_string !addresses; lengths }

let groups cursor family count room =
  if count > width family + 1 then bad cursor "more groups than lengths";
  let before = ref (-1) in
  let next _ =
    let length = u8 cursor in
    if length <= !before || length > width family then bad cursor "lengths of groups";
    before := length;
    group cursor family room length
  in
  Column.check_canonical cursor (Column.merge_all family (List.init count next))

(* Contexts: (decision, depth, role); their chance and pace. *)
let contexts = 3 * 129 * 4

let tree cursor family room =
  let builder = Column.builder family in
  let lengths = List.init (u8 cursor) (fun _ -> u8 cursor) in
  let largest = List.fold_left max 0 lengths in
  if lengths = [] || List.sort_uniq Int.compare lengths <> lengths || largest > width family then
    bad cursor "lengths of a tree";
  let occurs = Array.init 129 (fun length -> List.mem length lengths) and seen = Array.make 129 false in
  let payload = sub cursor (varint cursor) in
  let coder = Range_coder.start payload in
  let chances = Array.make contexts 32768 and paces = Array.make contexts 2 in
  let decide decision depth role =
    let context = (((decision * 129) + depth) * 4) + role in
    let chance = chances.(context) and pace = paces.(context) in
    let is_one = Range_coder.decide coder chance in
    chances.(context) <- (if is_one then chance - (chance / pace) else chance + ((65536 - chance) / pace));
    paces.(context) <- min (pace + 1) 64;
    is_one
  in
  let path = number () and leaves = ref 0 in
  let flip depth =
    let w = depth / 32 in
    set_word path w (word path w lxor (1 lsl (31 - (depth mod 32))))
  in
  let leaf depth =
    claim room 1;
    spend cursor 128 1;
    seen.(depth) <- true;
    incr leaves;
    Pause.at (8 * !leaves); (* each is many decisions *)
    for w = 0 to words family - 1 do
      Column.add_word builder.to_addresses (word path w)
    done;
    Buffer.add_uint8 builder.to_lengths depth
  in
  (* Whether the node is a leaf. *)
  let rec visit depth role =
    let is_leaf = depth = largest || (occurs.(depth) && decide 0 depth role) in
    if is_leaf then leaf depth
    else if decide 1 depth role then begin
      let is_left_leaf = visit (depth + 1) 1 in
      flip depth;
      ignore (visit (depth + 1) (if is_left_leaf then 2 else 3));
      flip depth
    end
    else if decide 2 depth role then begin
      flip depth;
      ignore (visit (depth + 1) 0);
      flip depth
    end
    else ignore (visit (depth + 1) 0);
    is_leaf
  in
  ignore (visit 0 0);
  Range_coder.finish coder;
  if seen <> occurs then bad cursor "a length that does not occur";
  Column.built builder

let entries cursor family room =
  match u8 cursor with 255 -> tree cursor family room | count -> groups cursor family count room

(* Which of so many are removed by index, as bits, and how many that are; for the others there has to be room. *)
let removed cursor count room =
  let gone = Bytes.make ((count + 7) / 8) '\000' and removals = ref 0 in
  sequence cursor V4 { free = max_int; over = "" } ~start:ignore (fun { w3 = i; _ } ->
     if i >= count then refuse "bad-base" "an index beyond the old content";
     incr removals;
     Bytes.set_uint8 gone (i / 8) (Bytes.get_uint8 gone (i / 8) lor (1 lsl (i land 7))));
  claim room (count - !removals);
  (gone, !removals)

(* A column without what is removed by index, and with what is added. *)
let patched cursor (column : Column.t) room =
  let gone, removals = removed cursor (Column.count column) room in
  let added = entries cursor column.family room in
  (Column.check_canonical cursor (Column.merge ~gone:(gone, removals) column added), removals + Column.count added)
