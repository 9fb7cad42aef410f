(* `mutated TRUST SESSION SEED COUNT`: leads COUNT subscribers through a recorded session in which frames are
   changed, doubled, left out or of another type, bytes are cut anywhere, and time passes. Any exception of the
   library ends the program. What is active at the end has to be a release of the session. It writes how many
   subscribers had a release, and how many closed the connection by themselves. *)

open Rulecast

let () =
  let trust = Sys.argv.(1) and bytes = Recorded.read Sys.argv.(2) in
  let state = Random.State.make [| int_of_string Sys.argv.(3) |] in
  let below n = Random.State.int state (max 1 n) in
  let frames = Frame.read_all ~sequence:0 bytes in
  let signed =
    List.filter_map
      (fun ({ kind; body; _ } : Frame.t) ->
        match if kind = 3 then Message.read kind body else Chunk "" with
        | Signed (_, said) -> Some (Trust.sha256 said)
        | _ -> None)
      frames
  in
  let changed body =
    if body = "" then "x"
    else
      match below 4 with
      | 0 -> String.sub body 0 (below (String.length body))
      | 1 -> body ^ String.sub body 0 (below (String.length body))
      | _ ->
         let bytes = Bytes.of_string body in
         for _ = 0 to below 3 do
           Bytes.set_uint8 bytes (below (Bytes.length bytes)) (below 256)
         done;
         Bytes.to_string bytes
  in
  let spoil (frame : Frame.t) =
    match below 5 with
    | 0 -> []
    | 1 -> [ frame; frame ]
    | 2 -> [ { frame with kind = below 24 } ]
    | 3 -> [ { frame with transaction = below 3; body = changed frame.body } ]
    | _ -> [ { frame with body = changed frame.body } ]
  in
  let spoiled () =
    let rate = 1 + below (2 * List.length frames) in
    let all = List.concat_map (fun frame -> if below rate = 0 then spoil frame else [ frame ]) frames in
    let bytes = String.concat "" (List.mapi (fun sequence frame -> Frame.write ~sequence frame) all) in
    if below 4 = 0 then changed bytes else bytes
  in
  let brought = ref 0 and closed = ref 0 in
  for _ = 1 to int_of_string Sys.argv.(4) do
    let memory, session = Recorded.subscriber trust in
    let bytes = spoiled () and now = ref 0 and at = ref 0 in
    let take = List.iter (function Session.Closed _ -> incr closed | _ -> ()) in
    while !at < String.length bytes do
      let length = min (String.length bytes - !at) (1 + below 5000) in
      take (Session.receive session ~now:!now (String.sub bytes !at length));
      at := !at + length;
      if below 20 = 0 then now := !now + below 20_000;
      if Session.deadline session <= !now then take (Session.tick session ~now:!now)
    done;
    ignore (Session.disconnected session);
    match Session.active memory with
    | None -> ()
    | Some { manifest; table; _ } ->
       incr brought;
       if not (List.mem manifest.manifest_hash signed) then failwith "a release that nobody signed is active";
       let packet =
         Document.packet (Printf.sprintf "egress 10.0.0.%d 192.0.2.%d 6 443" (below 256) (below 256))
       in
       ignore (Table.judge table (Recorded.config.environment ()) packet)
  done;
  Printf.printf "{\"brought\":%d,\"closed\":%d}\n" !brought !closed
