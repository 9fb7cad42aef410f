(* Rules and the runs in which they are kept: CONTENT.md "Canonical bytes". *)

open Cursor

type action = Drop | Accept

(* What a rule says beside its remote; `head` is its canonical bytes up to there. *)
type said = {
  head : string;
  action : action;
  protocol : int; (* 0 any, 1 icmp, 6, 17 *)
  is_dns : bool;
  ports : (int * int) option;
  icmp_type : int option;
  expiry : int option;
  is_private : bool;
}

type remote = Any | Prefix of Address.family * Address.prefix | Host of string | List of string
type t = { said : said; remote : remote }

let action_of is_accept = if is_accept then Accept else Drop
let byte_of_action = function Drop -> 0 | Accept -> 1

let read_comment cursor =
  let text = take cursor (u16 cursor) in
  let length = String.length text in
  let is_printable c = c >= ' ' && c <= '~' in
  if
    length < 1 || length > 4096
    || (not (String.for_all is_printable text))
    || text.[0] = ' '
    || text.[length - 1] = ' '
  then bad cursor "no comment";
  text

(* It is the last of the fields. *)
let comment_of { head; ports; icmp_type; expiry; _ } =
  let size bytes field = if field then bytes else 0 in
  let at = 3 + size 4 (ports <> None) + size 1 (icmp_type <> None) + size 8 (expiry <> None) in
  if Char.code head.[2] land 16 = 0 then None else Some (String.sub head (at + 2) (String.length head - at - 2))

let read_said cursor ~is_ingress =
  let start = cursor.at in
  let action = action_of (flag cursor) in
  let protocol = u8 cursor in
  let flags = u8 cursor in
  let field bit read = if flags land bit > 0 then Some (read cursor) else None in
  let range cursor =
    let first = u16 cursor in
    (first, u16 cursor)
  in
  let is_dns = flags land 1 > 0 in
  let ports = field 2 range in
  let icmp_type = field 4 u8 in
  let expiry = field 8 u64 in
  ignore (field 16 read_comment);
  let need holds text = if not holds then bad cursor text in
  need (List.mem protocol [ 0; 1; 6; 17 ] && flags < 64) "a protocol or a flag";
  let sound (first, last) =
    first <= last && (protocol = 6 || protocol = 17) && ((not is_dns) || (first, last) = (53, 53))
  in
  need (Option.fold ~none:true ~some:sound ports) "ports";
  need (icmp_type = None || protocol = 1) "an ICMP type without icmp";
  need (not (is_dns && (protocol = 1 || is_ingress))) "the DNS target";
  need (Option.value expiry ~default:0 <= 253_402_300_799) "an expiry";
  {
    head = String.sub cursor.bytes start (cursor.at - start);
    action;
    protocol;
    is_dns;
    ports;
    icmp_type;
    expiry;
    is_private = flags land 32 > 0;
  }

(* Two rules of one run. *)
let is_joined x y =
  match (x.remote, y.remote) with
  | Prefix (f, _), Prefix (g, _) -> f = g && x.said.head = y.said.head
  | _ -> false

(* The rules of some runs; `column` reads a run's prefixes. *)
let read_runs cursor ~is_ingress ~column =
  let runs = ref [] in
  for _ = 1 to u32 cursor do
    let said = read_said cursor ~is_ingress in
    let prefixes family =
      let count = u32 cursor in
      if count = 0 then bad cursor "a run without a prefix";
      Seq.map
        (fun prefix -> { said; remote = Prefix (family, prefix) })
        (Column.to_seq (column cursor count family))
    in
    let run =
      match u8 cursor with
      | 0 -> [| { said; remote = Any } |]
      | 1 -> Array.of_seq (prefixes V4)
      | 2 -> Array.of_seq (prefixes V6)
      | 3 ->
         let name = text8 cursor in
         if Names.key_of_name name = None then bad cursor "no host name";
         [| { said; remote = Host name } |]
      | 4 ->
         let name = text8 cursor in
         if not (Message.is_name name) then bad cursor "no list name";
         [| { said; remote = List name } |]
      | _ -> bad cursor "a kind of remote"
    in
    (match run.(0).remote with
    | Host _ -> ()
    | _ -> if said.is_private then bad cursor "private without a host name");
    (match !runs with
    | before :: _ when is_joined before.(0) run.(0) -> bad cursor "two runs that are one"
    | _ -> ());
    runs := run :: !runs
  done;
  Array.concat (List.rev !runs)

(* Where each run begins, of the rules from `first` to before `last`. *)
let runs_of rules first last =
  let begins i = i = first || not (is_joined rules.(i - 1) rules.(i)) in
  List.filter begins (List.init (last - first) (fun i -> first + i))

let write_run buffer rules first last =
  let { said; remote } = rules.(first) in
  Buffer.add_string buffer said.head;
  match remote with
  | Any -> Buffer.add_uint8 buffer 0
  | Host name ->
     Buffer.add_uint8 buffer 3;
     put_text8 buffer name
  | List name ->
     Buffer.add_uint8 buffer 4;
     put_text8 buffer name
  | Prefix (family, _) ->
     let prefix i = match rules.(i).remote with Prefix (_, prefix) -> prefix | _ -> assert false in
     Buffer.add_uint8 buffer (match family with V4 -> 1 | V6 -> 2);
     put_le buffer 4 (last - first);
     Column.write buffer
       (Column.of_seq family (Seq.map prefix (Seq.init (last - first) (fun i -> first + i))))

let write_runs buffer rules first last =
  let rec go = function
    | [] -> ()
    | at :: (next :: _ as rest) ->
       write_run buffer rules at next;
       go rest
    | [ at ] -> write_run buffer rules at last
  in
  go (runs_of rules first last)
