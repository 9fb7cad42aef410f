open Lwt.Infix
open Rulecast
module RExec = Qubes.RExec

let src = Logs.Src.create "lists" ~doc:"Published rule sets"

module Log = (val Logs.src_log src : Logs.LOG)

(* ── Our choice ── *)

let call_ms = 60_000 (* until dom0 and the other end have answered *)
let refused_ms = 300_000 (* until the next call: each that dom0 refuses may be a window on somebody's screen *)
let stale_after_ms = 120_000 (* WIRE.md R-34 *)
let piece_bytes = 4096
let bytes_per_entry = 8 (* of a transfer; hosts at random take 1.7, rules more *)

type t = {
  driver : Rulecast_lwt.t;
  environment : Meaning.environment;
  mutable has_session : bool; (* one at a time: two would take releases without regard to each other *)
}

let now () = Int64.to_int (Int64.div (Mirage_mtime.elapsed_ns ()) 1_000_000L)
let sleep ms = Mirage_sleep.ns (Int64.mul (Int64.of_int ms) 1_000_000L)
let address ip = snd (Address.of_bytes (Ipaddr.V4.to_octets ip))

let create ~trust ~name ~entries ~dns ~random ~on_flip =
  if not (Message.is_name name) then invalid_arg (name ^ " is no name of a subscriber");
  let dns = List.map (fun ip -> (Address.V4, address ip)) dns in
  (* There is no clock. A rule that ends some day accepts no more, and drops still. *)
  let environment = { Meaning.earlier = 0; later = max_int; dns } in
  let flip { Session.manifest; _ } =
    Log.info (fun f -> f "version %d is in force" manifest.Trust.version);
    on_flip ()
  in
  let config =
    {
      Session.name;
      entries;
      bytes = 1_000_000 + (bytes_per_entry * entries);
      stale_after = stale_after_ms;
      capabilities = Session.starts_closed :: Session.usual_capabilities;
      random;
      environment = (fun () -> environment);
    }
  in
  let memory = Session.memory ~trust ~now:(now ()) () in
  let tell text = Log.info (fun f -> f "%s" text) in
  { driver = { memory; config; now; sleep; flip; tell }; environment; has_session = false }

let version t =
  Option.map (fun { Session.manifest; _ } -> manifest.Trust.version) (Session.active t.driver.memory)

(* ── Verdicts ── *)

let packet direction ~src ~dst proto port icmp_type =
  { Meaning.direction; family = V4; src = Some (address src); dst = address dst; proto; port; icmp_type }

let is_dropped t { Session.table; _ } packet =
  match Table.judge table t.environment packet with Drop -> true | Accept | Nobody -> false

let judge t { Packet.ipv4_header = { Ipv4_packet.src; dst; _ }; transport_header; dst = host; _ } =
  let is_inside = match host with `Client _ -> true | _ -> false in
  let direction = if is_inside then Meaning.Both else Egress in
  let packet = packet direction ~src ~dst in
  let packet =
    match transport_header with
    | `TCP { Tcp.Tcp_packet.dst_port; _ } -> packet 6 (Some dst_port) None
    | `UDP { Udp_packet.dst_port; _ } -> packet 17 (Some dst_port) None
    | `ICMP { Icmpv4_packet.ty; _ } -> packet 1 None (Some (Icmpv4_wire.ty_to_int ty))
  in
  match Session.active t.driver.memory with
  | None -> `Drop "no published release is in force yet"
  | Some _ when not (is_inside || Meaning.begins_flow packet) -> `Drop "it belongs to no connection"
  | Some release when is_dropped t release packet -> `Drop "a published rule drops this packet"
  | Some _ -> `Accept

(* An entry of ICMP does not say its type. Without one a rule that asks for a type drops: the next request is
   judged with its own. *)
let drops t proto ~src ~dst ~port =
  let number = match proto with `Tcp -> 6 | `Udp -> 17 | `Icmp -> 1 in
  match Session.active t.driver.memory with
  | None -> true
  | Some release -> is_dropped t release (packet Egress ~src ~dst number port None)

(* ── Connections ── *)

(* In pieces that one message of qrexec holds in every version of its protocol. *)
let rec in_pieces write bytes =
  let length = String.length bytes in
  if length <= piece_bytes then write bytes
  else
    write (String.sub bytes 0 piece_bytes) >>= fun () ->
    in_pieces write (String.sub bytes piece_bytes (length - piece_bytes))

let written = function `Ok () -> Lwt.return_unit | `Eof -> Lwt.fail End_of_file

let flow_of_call flow =
  let rec read () =
    RExec.Client_flow.read flow >>= function
    | `Stdout bytes -> Lwt.return_some bytes
    | `Stderr text ->
       Log.warn (fun f -> f "the other end says: %s" text);
       read ()
    | `Eof | `Exit_code _ -> Lwt.return_none
  in
  {
    Rulecast_lwt.read;
    write = in_pieces (fun bytes -> RExec.Client_flow.write flow bytes >>= written);
    close = (fun () -> RExec.Client_flow.close flow);
  }

(* What is connected after the time for it is over is closed at once. *)
let call t qrexec ~vm () =
  let ended, wake = Lwt.wait () in
  let none ?(wait = 0) why =
    Log.warn (fun f -> f "no call of %s in %s: %s" Service.name vm why);
    t.driver.sleep wait >|= fun () -> None
  in
  let is_late = ref false in
  let client = function
    | `Ok flow when !is_late -> RExec.Client_flow.close flow
    | `Ok flow ->
       Lwt.wakeup_later wake (Lwt.return_some (flow_of_call flow));
       Lwt.return_unit
    | (`Closed | `Permission_denied | `Error _) when !is_late -> Lwt.return_unit
    | (`Closed | `Permission_denied | `Error _) as refusal ->
       Lwt.wakeup_later wake
         (match refusal with
         | `Closed -> none "dom0 is gone"
         | `Permission_denied -> none "refused by dom0" ~wait:refused_ms
         | `Error why -> none why);
       Lwt.return_unit
  in
  let late () =
    t.driver.sleep call_ms >|= fun () ->
    is_late := true;
    none "nobody answers"
  in
  RExec.qrexec qrexec ~vm ~service:Service.name client >>= function
  | `Closed -> none "dom0 is gone"
  | `Ok -> Lwt.pick [ Lwt.protected ended; late () ] >>= Fun.id

let follow t qrexec ~vm =
  t.has_session <- true;
  Rulecast_lwt.follow t.driver (call t qrexec ~vm)

let is_call line =
  match String.split_on_char ' ' line with
  | [ "QUBESRPC"; called; _caller ] -> Service.is_called called
  | _ -> false

(* The publisher's end calls again after a refusal. *)
let serve t flow =
  if t.has_session then Lwt.return 1
  else begin
    t.has_session <- true;
    let read () = RExec.Flow.read flow >|= function `Ok bytes -> Some bytes | `Eof -> None in
    let write = in_pieces (RExec.Flow.write flow) in
    let session () = Rulecast_lwt.session t.driver { read; write; close = Lwt.return } in
    Lwt.finalize (fun () -> session () >|= fun _pause -> 0) (fun () -> Lwt.return (t.has_session <- false))
  end
