(* One rule, and what it says beside its remote: CONTENT.md "Canonical bytes". *)

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
let word_of_action = function Drop -> "drop" | Accept -> "accept"

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
