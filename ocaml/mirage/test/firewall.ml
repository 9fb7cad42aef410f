(* Lists, in the place that the patches give it, as a process that tests can run: it calls, or is called, over
   the sockets of test/qrexec, and judges packets that it reads.

     firewall --trust LINE --name NAME (--call AGENT | --serve SOCKET)

   A line of standard input is a packet, SRC DST tcp|udp PORT or SRC DST icmp TYPE; with `client` behind it, DST
   is a qube of this firewall, too. What passes to the world is a connection from then on. *)

open Lwt.Infix

let own = (Ipaddr.V4.of_string_exn "10.138.1.2", 1024)
let dns = List.map Ipaddr.V4.of_string_exn [ "10.139.1.1"; "10.139.1.2" ]
let connections = ref Connections.Table.empty
let say fmt = Printf.printf (fmt ^^ "\n%!")

let random n =
  In_channel.with_open_bin "/dev/urandom" (fun file -> Option.get (In_channel.really_input_string file n))

let number lists = Option.value (Lists.version lists) ~default:0

let read lists line =
  let packet src dst host transport_header ports =
    let ipv4_header = { Ipv4_packet.src = Ipaddr.V4.of_string_exn src; dst = Ipaddr.V4.of_string_exn dst; ttl = 64 } in
    let verdict =
      match Lists.judge lists { Packet.ipv4_header; transport_header; src = `Client (); dst = host } with
      | `Accept -> "accept"
      | `Drop why -> "drop, " ^ why
    in
    (match (verdict, host, ports) with
    | "accept", `External, Some ports ->
       let request = (ipv4_header.src, ipv4_header.dst, ports) in
       connections := Connections.add ~translated:own request !connections
    | _ -> ());
    say "%s: %s (version %d)" line verdict (number lists)
  in
  let host = function [ "client" ] -> `Client () | _ -> `External in
  match String.split_on_char ' ' line with
  | src :: dst :: "tcp" :: port :: rest ->
     let dst_port = int_of_string port in
     packet src dst (host rest) (`TCP { Tcp.Tcp_packet.src_port = 40_000; dst_port }) (Some (40_000, dst_port))
  | src :: dst :: "udp" :: port :: rest ->
     let dst_port = int_of_string port in
     packet src dst (host rest) (`UDP { Udp_packet.src_port = 40_000; dst_port }) None
  | src :: dst :: "icmp" :: ty :: rest ->
     let ty = if ty = "8" then Icmpv4_wire.Echo_request else Echo_reply in
     packet src dst (host rest) (`ICMP { Icmpv4_packet.ty; code = 0 }) None
  | _ -> say "%s: no packet" line

(* As dispatcher.ml does it: what comes from the world has no client as its source. *)
let lists_changed lists () =
  let before = Connections.Table.cardinal !connections in
  let drops (src, dst, (_, port)) =
    src.[0] = '\010' && src.[1] = '\137' && Lists.drops lists `Tcp ~src ~dst ~port:(Some port)
  in
  connections := Connections.remove drops !connections;
  let left = Connections.Table.cardinal !connections in
  say "flip: version %d, %d entries cut, %d left" (number lists) (before - left) left

let () =
  let trust = ref "" and name = ref "" and calls = ref "" and serves = ref "" in
  Arg.parse
    [
      ("--trust", Arg.Set_string trust, "LINE");
      ("--name", Arg.Set_string name, "NAME");
      ("--call", Arg.Set_string calls, "SOCKET of the agent of qrexec");
      ("--serve", Arg.Set_string serves, "SOCKET of the service");
    ]
    (fun extra -> raise (Arg.Bad extra))
    "firewall";
  Gc.set { (Gc.get ()) with space_overhead = 40 };
  Sys.set_signal Sys.sigpipe Signal_ignore;
  Logs.set_reporter (Logs.format_reporter ~dst:Format.err_formatter ());
  Logs.set_level (Some Info);
  let changed = ref ignore in
  let lists =
    Lists.create ~trust:!trust ~name:!name ~entries:250_000 ~dns ~random ~on_flip:(fun () -> !changed ())
  in
  changed := lists_changed lists;
  let rec packets () =
    Lwt_io.read_line_opt Lwt_io.stdin >>= function
    | None -> Lwt.return_unit
    | Some line ->
       read lists line;
       packets ()
  in
  let handler ~user:_ line flow = if Lists.is_call line then Lists.serve lists flow else Lwt.return 1 in
  let session =
    if !calls <> "" then Lists.follow lists { Qubes.RExec.agent = !calls } ~vm:"mgmt"
    else Qubes.RExec.listen { agent = !serves } handler
  in
  Lwt_main.run (Lwt.pick [ packets (); session ])
