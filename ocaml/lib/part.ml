(* The parts of a release, their canonical bytes, digests and catalogue: CONTENT.md "Canonical bytes", "Leaves",
   "Digests", "Catalogue". *)

open Cursor

type policy = {
  base : int; (* the default action, and how names are answered *)
  prefixes : Column.set;
  egress : Rules.t;
  ingress : Rules.t;
  egress_exceptions : Rules.t;
  ingress_exceptions : Rules.t;
}

type t =
  | Prefixes of Column.set
  | Names of Names.t
  | Policy of policy
  | Resolutions of (string * Column.set) list (* by name, in canonical order *)
  | Unmatched of Rule.action

(* Parts by kind and name, in the order of a catalogue. *)
module Key = struct
  type t = int * string

  let compare (k, n) (l, m) = if k <> l then Int.compare k l else String.compare n m
end

module Map = Map.Make (Key)

let kind_of = function
  | Prefixes _ -> 1
  | Names _ -> 2
  | Policy _ -> 3
  | Resolutions _ -> 4
  | Unmatched _ -> 5

let is_key (kind, name) =
  match kind with 1 | 2 | 3 -> Message.is_name name | 4 | 5 -> name = "" | _ -> false

let count = function
  | Prefixes set -> Column.set_count set
  | Names { keys; exceptions; _ } -> Names.count keys + Names.count exceptions
  | Policy p ->
     let rules = [ p.egress; p.ingress; p.egress_exceptions; p.ingress_exceptions ] in
     List.fold_left (fun sum rules -> sum + Rules.count rules) 0 rules
  | Resolutions names -> List.length names
  | Unmatched _ -> 1

(* Prefixes of policies, and addresses of names, which its count does not say. *)
let uncounted = function
  | Policy p -> Column.set_count p.prefixes
  | Resolutions names -> List.fold_left (fun sum (_, set) -> sum + Column.set_count set) 0 names
  | Prefixes _ | Names _ | Unmatched _ -> 0

let default_action p = Rule.action_of (p.base land 1 = 1)
let has_exceptions p = Rules.count p.egress_exceptions + Rules.count p.ingress_exceptions > 0

(* ── Canonical bytes ── *)

let read_base cursor =
  let base = u8 cursor in
  if base > 23 then bad cursor "a base";
  base

let read_policy cursor ~column =
  let is_2 = match take cursor 4 with "RCQ1" -> false | "RCQ2" -> true | _ -> bad cursor "no policy" in
  let base = read_base cursor in
  let prefixes = Column.read_set cursor in
  let runs is_ingress =
    let builder = Rules.builder () in
    Rules.read_runs builder cursor ~is_ingress ~column;
    Rules.built builder
  in
  let egress = runs false in
  let ingress = runs true in
  let egress_exceptions = if is_2 then runs false else Rules.empty in
  let ingress_exceptions = if is_2 then runs true else Rules.empty in
  let policy = { base; prefixes; egress; ingress; egress_exceptions; ingress_exceptions } in
  if is_2 && not (has_exceptions policy) then bad cursor "RCQ2 without an exception";
  policy

let host_key cursor name =
  match Names.key_of_name name with Some key -> key | None -> bad cursor "no host name"

(* What each of some names has, read one after the other; they ascend. *)
let read_by_name cursor read =
  let before = ref "" in
  let one _ =
    let name = text8 cursor in
    let key = host_key cursor name in
    if String.compare !before key >= 0 then bad cursor "names that do not ascend";
    before := key;
    (name, read cursor)
  in
  let count = u32 cursor in
  if count > left cursor then bad cursor "it ends too soon";
  spend cursor 128 count;
  List.init count one

let read ?(column = Column.read) cursor kind =
  let part =
    match kind with
    | 1 ->
       tag cursor "RCP1";
       Prefixes (Column.read_set cursor)
    | 2 ->
       tag cursor "RCN2";
       let resolve = Names.resolve cursor in
       let entries = u32 cursor in
       let exceptions = u32 cursor in
       let keys = Names.read_keys cursor entries in
       Names (Names.sound cursor { resolve; keys; exceptions = Names.read_keys cursor exceptions })
    | 3 -> Policy (read_policy cursor ~column)
    | 4 ->
       tag cursor "RCA1";
       Resolutions (read_by_name cursor Column.read_set)
    | 5 ->
       tag cursor "RCU1";
       Unmatched (Rule.action_of (flag cursor))
    | _ -> bad cursor "a kind of part"
  in
  finish cursor;
  part

let write_name b (name, set) =
  put_text8 b name;
  Column.write_set b set

let write b part =
  let runs rules =
    put_le b 4 (snd (Rules.measure rules));
    Rules.write_runs b rules 0 (Rules.count rules)
  in
  match part with
  | Prefixes set ->
     Buffer.add_string b "RCP1";
     Column.write_set b set
  | Names { resolve; keys; exceptions } ->
     Buffer.add_string b "RCN2";
     Buffer.add_uint8 b resolve;
     put_le b 4 (Names.count keys);
     put_le b 4 (Names.count exceptions);
     Buffer.add_string b keys.bytes;
     Buffer.add_string b exceptions.bytes
  | Policy p ->
     let is_2 = has_exceptions p in
     Buffer.add_string b (if is_2 then "RCQ2" else "RCQ1");
     Buffer.add_uint8 b p.base;
     Column.write_set b p.prefixes;
     List.iter runs
       ([ p.egress; p.ingress ] @ if is_2 then [ p.egress_exceptions; p.ingress_exceptions ] else [])
  | Resolutions names ->
     Buffer.add_string b "RCA1";
     put_le b 4 (List.length names);
     List.iter (write_name b) names
  | Unmatched action ->
     Buffer.add_string b "RCU1";
     Buffer.add_uint8 b (Rule.byte_of_action action)

let canonical part = written (fun b -> write b part)

(* How long those are. *)
let bytes_of = function
  | Prefixes set -> 4 + Column.set_bytes set
  | Names { keys; exceptions; _ } -> 13 + String.length keys.bytes + String.length exceptions.bytes
  | Policy p ->
     let exceptions = if has_exceptions p then [ p.egress_exceptions; p.ingress_exceptions ] else [] in
     let all = [ p.egress; p.ingress ] @ exceptions in
     List.fold_left (fun sum rules -> sum + fst (Rules.measure rules)) (5 + Column.set_bytes p.prefixes) all
  | Resolutions names ->
     let add sum (name, set) = sum + 1 + String.length name + Column.set_bytes set in
     List.fold_left add 8 names
  | Unmatched _ -> 5

(* ── Leaves ── *)

(* Cuts what is sorted, from first to before last, where `bit` of an entry's key first differs. *)
let rec cut ~most ~differ ~bit first last =
  if first = last then []
  else if last - first <= most then [ (first, last) ]
  else begin
    let at = differ first (last - 1) in
    let middle = Column.first_right (fun i -> bit i at) first last in
    cut ~most ~differ ~bit first middle @ cut ~most ~differ ~bit middle last
  end

(* The hash of a tag, a count, and some bytes of others. *)
let leaf tag count pieces =
  let open Digestif.SHA256 in
  Pause.pause ();
  let feed ctx (bytes, off, len) = feed_string ctx ~off ~len bytes in
  let head = tag ^ written (fun b -> put_le b 4 count) in
  to_raw_string (get (List.fold_left feed (feed_string empty head) pieces))

(* Entry count, and the hashes of the leaves. *)
let column_leaves (column : Column.t) =
  let tag, most = match column.family with V4 -> ("RLP4", 1638) | V6 -> ("RLP6", 481) in
  let address i = (Column.get column i).address in
  let differ i j = Address.first_difference (address i) (address j) in
  let stride = 4 * Address.words column.family in
  let leaf_of (first, last) =
    let n = last - first in
    leaf tag n [ (column.addresses, stride * first, stride * n); (column.lengths, first, n) ]
  in
  let count = Column.count column in
  (count, List.map leaf_of (cut ~most ~differ ~bit:(fun i -> Address.bit (address i)) 0 count))

(* The same by keys of text; `pieces` are the bytes of those from first to before last. *)
let text_leaves tag most ~count ~key pieces =
  let bit_of key at = at / 8 < String.length key && Char.code key.[at / 8] land (128 lsr (at mod 8)) > 0 in
  let differ i j =
    let x = key i and y = key j in
    let rec go at = if bit_of x at <> bit_of y at then at else go (at + 1) in
    go 0
  in
  let leaf_of (first, last) = leaf tag (last - first) (pieces first last) in
  (count, List.map leaf_of (cut ~most ~differ ~bit:(fun i -> bit_of (key i)) 0 count))

(* Pieces that are written for it. *)
let written_pieces write first last =
  let bytes =
    written (fun b ->
       for i = first to last - 1 do
         write b i
       done)
  in
  [ (bytes, 0, String.length bytes) ]

let name_leaves keys =
  let pieces first last =
    let start = Names.start keys first in
    [ (keys.bytes, start, Names.stop keys (last - 1) - start) ]
  in
  text_leaves "RLN1" 512 ~count:(Names.count keys) ~key:(Names.get keys) pieces

let rule_leaves rules =
  let count = Rules.count rules and buffer = Buffer.create 256 and low = Address.low32 in
  let ends_leaf i =
    Buffer.clear buffer;
    Rules.write_run buffer rules i (i + 1);
    let h = ref 0x811c9dc5 in
    for k = 0 to Buffer.length buffer - 1 do
      h := !h lxor Char.code (Buffer.nth buffer k) * 0x01000193 land low
    done;
    let f = !h lxor (!h lsr 16) * 0x85ebca6b land low in
    f lxor (f lsr 13) land 511 = 0
  in
  let leaf_of first last =
    let bytes = written (fun b -> Rules.write_runs b rules first last) in
    leaf "RLQ1" (last - first) [ (bytes, 0, String.length bytes) ]
  in
  let rec go first i leaves =
    if i = count then List.rev (if first = i then leaves else leaf_of first i :: leaves)
    else
      let length = i + 1 - first in
      if length = 1024 || (length >= 128 && ends_leaf i) then
        go (i + 1) (i + 1) (leaf_of first (i + 1) :: leaves)
      else go first (i + 1) leaves
  in
  (count, go 0 0 [])

(* ── Digests ── *)

let root tag head leaves =
  let counts (count, hashes) =
    written (fun b ->
       put_le b 4 count;
       put_le b 4 (List.length hashes))
  in
  Trust.sha256 (String.concat "" ((tag :: head :: List.map counts leaves) @ List.concat_map snd leaves))

let set_digest { Column.v4; v6 } = root "RDP1" "" [ column_leaves v4; column_leaves v6 ]
let byte n = String.make 1 (Char.chr n)

let digest = function
  | Prefixes set -> set_digest set
  | Names { resolve; keys; exceptions } ->
     root "RDN2" (byte resolve) [ name_leaves keys; name_leaves exceptions ]
  | Policy p ->
     let head = byte p.base ^ set_digest p.prefixes in
     root "RDQ1" head
       (List.map rule_leaves [ p.egress; p.ingress; p.egress_exceptions; p.ingress_exceptions ])
  | Resolutions names ->
     let names = Array.of_list names in
     let keys = Array.map (fun (name, _) -> Option.get (Names.key_of_name name)) names in
     let pieces = written_pieces (fun b i -> write_name b names.(i)) in
     root "RDA1" "" [ text_leaves "RLA1" 128 ~count:(Array.length names) ~key:(Array.get keys) pieces ]
  | Unmatched action -> root "RDU1" (byte (Rule.byte_of_action action)) []

(* ── Catalogue ── *)

type record = { count : int; bytes : int; digest : string }

let record_of part = { count = count part; bytes = bytes_of part; digest = digest part }

(* Of a catalogue: how many parts, prefixes, others and bytes, as a manifest says them. *)
let totals counts =
  let add ((kind, _), (count, bytes)) (parts, prefixes, others, sum) =
    let is_prefixes = kind = 1 in
    ( parts + 1,
      (if is_prefixes then prefixes + count else prefixes),
      (if is_prefixes then others else others + count),
      sum + bytes )
  in
  Seq.fold_left (Fun.flip add) (0, 0, 0, 0) counts

let catalogue_digest records =
  let records = Array.of_list records in
  let keys = Array.map (fun ((kind, name), _) -> byte kind ^ name) records in
  let write b i =
    let (kind, name), { count; bytes; digest } = records.(i) in
    Buffer.add_uint8 b kind;
    put_text8 b name;
    put_le b 4 count;
    put_le b 8 bytes;
    Buffer.add_string b digest
  in
  let count = Array.length records in
  root "RDC1" "" [ text_leaves "RLC1" 128 ~count ~key:(Array.get keys) (written_pieces write) ]
