(* Bytes that somebody else wrote, read from the front. What is malformed is refused with the code that the
   format has for it; nothing is allocated by a count that was only announced. *)

exception Refused of string * string (* code, and a text for people *)

let refuse code text = raise (Refused (code, text))

(* Work that decoding may still take, in eighths of the units of CONTENT.md "Budget"; whether it inflates. *)
type meter = { mutable eighths : int; inflates : bool }

type t = { bytes : string; mutable at : int; stop : int; code : string; meter : meter }

let unlimited () = { eighths = max_int; inflates = true }

let of_string ?meter ~code bytes =
  let meter = match meter with Some meter -> meter | None -> unlimited () in
  { bytes; at = 0; stop = String.length bytes; code; meter }

(* So many eighths for each of some; before it is done where that is known. *)
let spend { meter; _ } each count =
  if count > meter.eighths / each then
    refuse "over-budget" "it takes more work than what it is to make";
  meter.eighths <- meter.eighths - (each * count)
let bad cursor text = refuse cursor.code text
let left cursor = cursor.stop - cursor.at

(* Moves over n bytes, and says where they begin. *)
let skip cursor n =
  if n < 0 || n > left cursor then bad cursor "it ends too soon";
  let at = cursor.at in
  cursor.at <- at + n;
  at

let take cursor n = String.sub cursor.bytes (skip cursor n) n

let sub cursor n =
  let at = skip cursor n in
  { cursor with at; stop = at + n }

let rest cursor = take cursor (left cursor)
let finish cursor = if left cursor > 0 then bad cursor "bytes are left over"
let u8 cursor = Char.code cursor.bytes.[skip cursor 1]
let u16 cursor = String.get_uint16_le cursor.bytes (skip cursor 2)
let u32_at bytes at = Int32.to_int (String.get_int32_le bytes at) land 0xffffffff
let u32 cursor = u32_at cursor.bytes (skip cursor 4)
let safe_max = (1 lsl 53) - 1

let u64 cursor =
  let low = u32 cursor in
  let value = (u32 cursor lsl 32) lor low in
  if value < 0 || value > safe_max then bad cursor "a number of more than 53 bits";
  value

(* LEB128, the shortest form. *)
let leb cursor ~bits =
  let rec go value shift =
    let byte = u8 cursor in
    let value = value lor ((byte land 127) lsl shift) in
    if shift > bits || value >= 1 lsl bits then bad cursor "a number beyond its range"
    else if byte >= 128 then go value (shift + 7)
    else if byte = 0 && shift > 0 then bad cursor "a number in too long a form"
    else value
  in
  go 0 0

let varint cursor = leb cursor ~bits:32

let difference cursor =
  let said = leb cursor ~bits:53 in
  if said land 1 = 0 then said / 2 else -((said + 1) / 2)

let text8 cursor = take cursor (u8 cursor)

let tag cursor expected =
  if take cursor (String.length expected) <> expected then bad cursor ("no " ^ expected)

let flag cursor =
  let value = u8 cursor in
  if value > 1 then bad cursor "neither 0 nor 1";
  value = 1

(* What is written: little-endian numbers of so many bytes. *)
let put_le buffer bytes value =
  for i = 0 to bytes - 1 do
    Buffer.add_uint8 buffer ((value lsr (8 * i)) land 255)
  done

let put_text8 buffer text =
  Buffer.add_uint8 buffer (String.length text);
  Buffer.add_string buffer text

let written write =
  let buffer = Buffer.create 256 in
  write buffer;
  Buffer.contents buffer
