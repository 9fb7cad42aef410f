(* Sequences, groups and trees: CONTENT.md "Entry encoding". *)

open Cursor
open Address

(* How many entries may still come, and what it is called if there are more. *)
type room = { mutable free : int; over : string }

let claim room n =
  if n > room.free then refuse room.over "more entries than there is room for";
  room.free <- room.free - n

let block_entries = 4096

(* A gap of up to 19 bytes; of IPv4 and of indices up to 5. *)
let gap cursor = function
  | V4 -> of_int (varint cursor)
  | V6 ->
     let rec go value i =
       let byte = u8 cursor in
       let low = shift_left (of_int (byte land 127)) (min 127 (7 * i)) in
       let value = of_words (fun w -> word value w lor word low w) in
       if i = 18 && byte > 3 then bad cursor "a gap beyond 128 bits"
       else if byte >= 128 then go value (i + 1)
       else if byte = 0 && i > 0 then bad cursor "a gap in too long a form"
       else value
     in
     go zero 0

(* Rice codes: the gaps, by a function that gives the next. *)
let rice cursor count =
  if left cursor > 5 * count then bad cursor "more than five bytes a gap";
  let parameter = u8 cursor in
  if parameter > 31 then bad cursor "a parameter above 31";
  let hold = ref 0 and held = ref 0 in
  let bit () =
    if !held = 0 then begin
      hold := u8 cursor;
      held := 8
    end;
    let value = !hold land 1 in
    hold := !hold lsr 1;
    decr held;
    value
  in
  let rec zeros n = if bit () = 1 then n else zeros (n + 1) in
  let next () =
    let quotient = zeros 0 in
    let low = ref 0 in
    for i = 0 to parameter - 1 do
      low := !low lor (bit () lsl i)
    done;
    let gap = (quotient lsl parameter) lor !low in
    if gap > low32 then bad cursor "a gap beyond a word";
    of_int gap
  in
  (next, fun () -> if !hold <> 0 then bad cursor "a bit after the end")

(* Strictly ascending numbers, each handed to `each`. *)
let sequence cursor family room each =
  let total = varint cursor in
  claim room total;
  let before = ref None in
  let take_gap gap =
    let number, is_over =
      match !before with None -> (gap, false) | Some before -> successor_sum before gap
    in
    if is_over || not (Address.fits number (width family)) then bad cursor "a number beyond its range";
    before := Some number;
    each number
  in
  let rec blocks left_over =
    if left_over > 0 then begin
      let count = min block_entries left_over in
      let codec = u8 cursor in
      let payload = sub cursor (varint cursor) in
      let next, check =
        match codec with
        | 0 -> ((fun () -> gap payload family), ignore)
        | 2 -> rice payload count
        | _ -> bad cursor "an unknown codec"
      in
      for _ = 1 to count do
        take_gap (next ())
      done;
      check ();
      finish payload;
      blocks (left_over - count)
    end
  in
  blocks total

let by_address x y = Address.compare x.address y.address

let groups cursor family count room =
  if count > width family + 1 then bad cursor "more groups than lengths";
  let found = ref [] and before = ref (-1) in
  for _ = 1 to count do
    let length = u8 cursor in
    if length <= !before || length > width family then bad cursor "lengths of groups";
    before := length;
    let free = room.free in
    sequence cursor family room (fun number ->
       if not (Address.fits number length) then bad cursor "a network that its length cannot hold";
       found :=
         { address = (if length = 0 then zero else shift_left number (128 - length)); length } :: !found);
    if room.free = free then bad cursor "an empty group"
  done;
  Column.check_canonical cursor (Column.of_seq family (List.to_seq (List.sort by_address !found)))

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
  (* Whether the node is a leaf. *)
  let rec visit depth role address =
    let is_leaf = depth = largest || (occurs.(depth) && decide 0 depth role) in
    if is_leaf then begin
      claim room 1;
      seen.(depth) <- true;
      Column.push builder { address; length = depth }
    end
    else if decide 1 depth role then begin
      let is_left_leaf = visit (depth + 1) 1 address in
      ignore (visit (depth + 1) (if is_left_leaf then 2 else 3) (with_bit address depth))
    end
    else begin
      let is_right = decide 2 depth role in
      ignore (visit (depth + 1) 0 (if is_right then with_bit address depth else address))
    end;
    is_leaf
  in
  ignore (visit 0 0 zero);
  Range_coder.finish coder;
  if seen <> occurs then bad cursor "a length that does not occur";
  Column.built builder

let entries cursor family room =
  match u8 cursor with 255 -> tree cursor family room | count -> groups cursor family count room

(* Which of so many are removed by index, and how many that are; for the others there has to be room. *)
let removed cursor count room =
  let gone = Bytes.make count '\000' and removals = ref 0 in
  sequence cursor V4 { free = max_int; over = "" } (fun { d; _ } ->
     if d >= count then refuse "bad-base" "an index beyond the old content";
     incr removals;
     Bytes.set gone d '\001');
  claim room (count - !removals);
  ((fun i -> Bytes.get gone i = '\001'), !removals)

(* A column without what is removed by index, and with what is added. *)
let patched cursor (column : Column.t) room =
  let family = column.family and count = Column.count column in
  let removed, removals = removed cursor count room in
  let added = entries cursor family room in
  let kept = Seq.filter (fun i -> not (removed i)) (Seq.init count Fun.id) in
  let merged = Seq.sorted_merge by_address (Seq.map (Column.get column) kept) (Column.to_seq added) in
  (Column.check_canonical cursor (Column.of_seq family merged), removals + Column.count added)
