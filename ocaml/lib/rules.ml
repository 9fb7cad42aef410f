(* Rules in order, as columns: what they say is kept once each, and beside it a rule takes 9 bytes, or 25 where
   it names a prefix of IPv6. CONTENT.md "Canonical bytes" (runs). *)

open Cursor

type t = {
  heads : Rule.said array; (* in the order in which they are first used *)
  names : string array; (* of hosts and lists, likewise *)
  tags : string; (* of each, u32: 8 times its head, and the kind of its remote *)
  operands : string; (* u32: the IPv4 address, or an index in v6 or in names *)
  lengths : string; (* of its prefix *)
  v6 : string; (* addresses, 16 bytes each *)
}

let any = 0
let ipv4 = 1
let ipv6 = 2
let host = 3
let list = 4

let empty = { heads = [||]; names = [||]; tags = ""; operands = ""; lengths = ""; v6 = "" }
let count rules = String.length rules.lengths
let tag rules i = u32_at rules.tags (4 * i)
let kind rules i = tag rules i land 7
let said rules i = rules.heads.(tag rules i lsr 3)
let operand rules i = u32_at rules.operands (4 * i)

(* Of a rule that names a host or a list. *)
let name rules i = rules.names.(operand rules i)

(* Of a rule that names one. *)
let prefix rules i =
  let length = Char.code rules.lengths.[i] in
  let address =
    if kind rules i = ipv4 then { Address.zero with a = operand rules i }
    else Address.of_words (fun w -> u32_at rules.v6 ((16 * operand rules i) + (4 * w)))
  in
  { Address.address; length }

let get rules i : Rule.t =
  let remote =
    match kind rules i with
    | 0 -> Rule.Any
    | 1 -> Prefix (V4, prefix rules i)
    | 2 -> Prefix (V6, prefix rules i)
    | 3 -> Host (name rules i)
    | _ -> List (name rules i)
  in
  { said = said rules i; remote }

(* Two rules of one run. *)
let is_joined rules i j =
  let tag = tag rules i in
  (tag land 7 = ipv4 || tag land 7 = ipv6) && tag = u32_at rules.tags (4 * j)

(* ── Rules that are made ── *)

(* Values that are kept once, by a key. *)
type 'a pool = { index : (string, int) Hashtbl.t; mutable last_first : 'a list }

let pool () = { index = Hashtbl.create 16; last_first = [] }

let keep pool key value =
  match Hashtbl.find_opt pool.index key with
  | Some i -> i
  | None ->
     let i = Hashtbl.length pool.index in
     Hashtbl.add pool.index key i;
     pool.last_first <- value :: pool.last_first;
     i

type builder = {
  to_heads : Rule.said pool;
  to_names : string pool;
  to_tags : Buffer.t;
  to_operands : Buffer.t;
  to_lengths : Buffer.t;
  to_v6 : Buffer.t;
}

let builder () =
  let buffer () = Buffer.create 64 in
  {
    to_heads = pool ();
    to_names = pool ();
    to_tags = buffer ();
    to_operands = buffer ();
    to_lengths = buffer ();
    to_v6 = buffer ();
  }

let built b =
  let all pool = Array.of_list (List.rev pool.last_first) in
  {
    heads = all b.to_heads;
    names = all b.to_names;
    tags = Buffer.contents b.to_tags;
    operands = Buffer.contents b.to_operands;
    lengths = Buffer.contents b.to_lengths;
    v6 = Buffer.contents b.to_v6;
  }

let built_count b = Buffer.length b.to_lengths

let push b ~tag ~operand ~length =
  Pause.at (built_count b);
  Column.add_word b.to_tags tag;
  Column.add_word b.to_operands operand;
  Buffer.add_char b.to_lengths length

let push_v6 b ~tag addresses at ~length =
  push b ~tag ~operand:(Buffer.length b.to_v6 / 16) ~length;
  Buffer.add_substring b.to_v6 addresses at 16

(* A function that adds some of other rules. *)
let adding b rules =
  let heads = Array.make (Array.length rules.heads) (-1) in
  let head h =
    if heads.(h) < 0 then heads.(h) <- keep b.to_heads rules.heads.(h).head rules.heads.(h);
    heads.(h)
  in
  fun first last ->
    for i = first to last - 1 do
      let tag = tag rules i in
      let kind = tag land 7 and length = rules.lengths.[i] in
      let tag = (8 * head (tag lsr 3)) + kind in
      if kind = ipv6 then push_v6 b ~tag rules.v6 (16 * operand rules i) ~length
      else
        let named = kind = host || kind = list in
        let operand = if named then keep b.to_names (name rules i) (name rules i) else operand rules i in
        push b ~tag ~operand ~length
    done

(* ── Bytes ── *)

let read_run b cursor ~is_ingress ~column =
  spend cursor 128 1;
  let said = Rule.read_said cursor ~is_ingress in
  let head = 8 * keep b.to_heads said.head said in
  let column family =
    let count = u32 cursor in
    if count = 0 then bad cursor "a run without a prefix";
    column cursor count family
  in
  let named kind name = push b ~tag:(head + kind) ~operand:(keep b.to_names name name) ~length:'\000' in
  let kind = u8 cursor in
  (match kind with
  | 0 -> push b ~tag:(head + any) ~operand:0 ~length:'\000'
  | 1 ->
     let column : Column.t = column Address.V4 in
     String.iteri
       (fun i length -> push b ~tag:(head + ipv4) ~operand:(u32_at column.addresses (4 * i)) ~length)
       column.lengths
  | 2 ->
     let column : Column.t = column Address.V6 in
     String.iteri (fun i length -> push_v6 b ~tag:(head + ipv6) column.addresses (16 * i) ~length) column.lengths
  | 3 ->
     let name = text8 cursor in
     if Names.key_of_name name = None then bad cursor "no host name";
     named host name
  | 4 ->
     let name = text8 cursor in
     if not (Message.is_name name) then bad cursor "no list name";
     named list name
  | _ -> bad cursor "a kind of remote");
  if said.is_private && kind <> host then bad cursor "private without a host name";
  if kind = ipv4 || kind = ipv6 then head + kind else -1

(* Adds the rules of some runs; `column` reads a run's prefixes. *)
let read_runs b cursor ~is_ingress ~column =
  let before = ref (-1) in
  for _ = 1 to u32 cursor do
    let joins = read_run b cursor ~is_ingress ~column in
    if joins >= 0 && joins = !before then bad cursor "two runs that are one";
    before := joins
  done

(* Where the run ends that begins at `first`, at most at `last`. *)
let run_end rules first last =
  let rec go i = if i < last && is_joined rules first i then go (i + 1) else i in
  go (first + 1)

let write_run buffer rules first last =
  Buffer.add_string buffer (said rules first).head;
  let kind = kind rules first in
  Buffer.add_uint8 buffer kind;
  if kind = host || kind = list then put_text8 buffer (name rules first)
  else if kind <> any then begin
    put_le buffer 4 (last - first);
    for i = first to last - 1 do
      if kind = ipv4 then Buffer.add_substring buffer rules.operands (4 * i) 4
      else Buffer.add_substring buffer rules.v6 (16 * operand rules i) 16
    done;
    Buffer.add_substring buffer rules.lengths first (last - first)
  end

let rec write_runs buffer rules first last =
  if first < last then begin
    let next = run_end rules first last in
    write_run buffer rules first next;
    write_runs buffer rules next last
  end

(* How many bytes they take in canonical form, and how many runs they are. *)
let measure rules =
  let rec go first bytes runs =
    if first = count rules then (bytes, runs)
    else begin
      Pause.at runs;
      let last = run_end rules first (count rules) in
      let kind = kind rules first in
      let remote =
        if kind = any then 0
        else if kind = ipv4 then 4 + (5 * (last - first))
        else if kind = ipv6 then 4 + (17 * (last - first))
        else 1 + String.length (name rules first)
      in
      go last (bytes + String.length (said rules first).head + 1 + remote) (runs + 1)
    end
  in
  go 0 4 0

(* The index of the run of a rule. *)
let run_of rules i =
  let rec go first run =
    let last = run_end rules first (count rules) in
    if i < last then run else go last (run + 1)
  in
  go 0 0
