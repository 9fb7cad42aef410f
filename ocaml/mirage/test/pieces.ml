(* Qrexec_request by bytes as qrexec.h has them, Nat_removal on a table like that of mirage-nat, and that Lists
   has one session at a time. *)

let check name condition = if not condition then (Printf.printf "%s: wrong\n" name; exit 1)
let nul n = String.make n '\000'
let fails f = match f () with exception Invalid_argument _ -> true | _ -> false

let qrexec () =
  let own = Qrexec_request.identifier 7 in
  let text = "MIRAGE" ^ String.make 24 '0' ^ "7" in
  check "identifier" (own = text && String.length own = 31);
  let ty, bytes = Qrexec_request.trigger ~version:`V2 ~service:"rulecast.Subscribe" ~vm:"mgmt" own in
  check "V2" (ty = `Trigger_service && bytes = "rulecast.Subscribe" ^ nul 46 ^ "mgmt" ^ nul 28 ^ text ^ nul 1);
  let ty, bytes = Qrexec_request.trigger ~version:`V3 ~service:"rulecast.Subscribe" ~vm:"mgmt" own in
  check "V3" (ty = `Trigger_service3 && bytes = "mgmt" ^ nul 60 ^ text ^ nul 1 ^ "rulecast.Subscribe" ^ nul 1);
  let trigger version service vm id () = Qrexec_request.trigger ~version ~service ~vm id in
  check "long vm" (fails (trigger `V2 "s" (String.make 32 'v') own));
  check "longest vm" (not (fails (trigger `V2 "s" (String.make 31 'v') own)));
  check "long service" (fails (trigger `V2 (String.make 64 's') "v" own));
  check "long identifier" (fails (trigger `V3 "s" "v" (own ^ "0")));
  check "NUL" (fails (trigger `V3 "s\000t" "v" own));
  let body = "\x05\x00\x00\x00\x00\x02\x00\x00" ^ text ^ nul 1 in
  check "connected" (Qrexec_request.connected body = Some (5l, 512l, own));
  check "without an identifier" (Qrexec_request.connected (String.sub body 0 8) = Some (5l, 512l, ""));
  check "short" (Qrexec_request.connected (String.sub body 0 7) = None);
  check "refused" (Qrexec_request.refused (text ^ nul 1) = own)

let nat () =
  let ip = Ipaddr.V4.of_string_exn in
  let own = ip "10.138.1.2" and client = ip "10.137.0.5" and other = ip "10.137.0.6" in
  let bad = ip "192.0.2.7" and good = ip "198.51.100.1" in
  let connections =
    [ (client, bad, (40_000, 443)); (client, good, (40_001, 443)); (other, bad, (40_000, 443)) ]
  in
  let add (table, port) request = (Connections.add ~translated:(own, port) request table, port + 1) in
  let table, _ = List.fold_left add (Connections.Table.empty, 1024) connections in
  check "two entries each" (Connections.Table.cardinal table = 6);
  let cut = Connections.remove (fun (src, dst, _) -> src = client && dst = bad) table in
  let is_there (dst, port) =
    (Connections.Table.mem (client, dst, (40_001, 443)) cut, Connections.Table.mem (dst, own, (443, port)) cut)
  in
  check "what is forbidden goes, both ways"
    ((not (Connections.Table.mem (client, bad, (40_000, 443)) cut))
    && not (Connections.Table.mem (bad, own, (443, 1024)) cut));
  check "the client's other connection stays" (is_there (good, 1025) = (true, true));
  check "another client's stays"
    (Connections.Table.mem (other, bad, (40_000, 443)) cut && Connections.Table.mem (bad, own, (443, 1026)) cut);
  check "nothing else" (Connections.Table.cardinal cut = 4);
  check "nothing goes for no reason" (Connections.remove (fun _ -> false) table = table)

let lists () =
  let trust = Printf.sprintf "rulecast2:%s:%s" (String.make 32 '0') (String.make 64 '0') in
  let random n = String.make n '0' in
  let lists = Lists.create ~trust ~name:"fw" ~entries:1 ~dns:[] ~random ~on_flip:ignore in
  let call = Lists.follow lists { Qubes.RExec.agent = "/nobody" } ~vm:"mgmt" in
  check "no call is answered by a firewall that calls" (Lwt.state (Lists.serve lists Lwt_unix.stdin) = Return 1);
  Lwt.cancel call

let () =
  qrexec ();
  nat ();
  lists ();
  print_endline "the new files do as they say"
