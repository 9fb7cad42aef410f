(* Follows a publisher over file descriptors, one connection after the other. *)

open Rulecast

(* Ours: what may wait for a peer that does not read. WIRE.md R-4. *)
let unsent_max = 262_144

type t = {
  memory : Session.memory;
  config : Session.config;
  flip : Session.release -> unit;
  tell : string -> unit;
  mutable is_stopped : bool;
}

type connection = {
  channel : Channel.t;
  session : Session.t;
  unsent : Buffer.t;
  buffer : Bytes.t;
  mutable closed : int option; (* the pause before the next *)
}

let take t c = function
  | Session.Send bytes -> Buffer.add_string c.unsent bytes
  | Flip release -> t.flip release
  | Tell text -> t.tell text
  | Closed { pause; _ } -> c.closed <- Some pause

let lost t c = List.iter (take t c) (Session.disconnected c.session)

let write t c =
  let bytes = Buffer.to_bytes c.unsent in
  match Unix.write c.channel.fd bytes 0 (Bytes.length bytes) with
  | n ->
     Buffer.clear c.unsent;
     Buffer.add_subbytes c.unsent bytes n (Bytes.length bytes - n)
  | exception Unix.Unix_error ((EAGAIN | EWOULDBLOCK | EINTR), _, _) -> ()
  | exception Unix.Unix_error _ -> lost t c

(* A decoder that takes long lets the connection be served, so that PING is answered. *)
let rec receive t c bytes =
  let serve_between go_on =
    serve t c ~timeout:0.;
    go_on ()
  in
  let outputs =
    Pause.schedule serve_between (fun () -> Session.receive c.session ~now:(Clock.now ()) bytes)
  in
  List.iter (take t c) outputs

and serve t c ~timeout =
  let unsent = if Buffer.length c.unsent > 0 then [ c.channel.fd ] else [] in
  match Unix.select [ c.channel.fd ] unsent [] timeout with
  | exception Unix.Unix_error (EINTR, _, _) -> ()
  | readable, writable, _ -> (
     if writable <> [] then write t c;
     if Buffer.length c.unsent > unsent_max then begin
       t.tell "the publisher does not read: not-reading";
       lost t c
     end;
     if readable <> [] then
       match Unix.read c.channel.fd c.buffer 0 (Bytes.length c.buffer) with
       | 0 -> lost t c
       | n -> receive t c (Bytes.sub_string c.buffer 0 n)
       | exception Unix.Unix_error ((EAGAIN | EWOULDBLOCK | EINTR), _, _) -> ()
       | exception Unix.Unix_error _ -> lost t c)

(* Ends with the pause before the next connection. *)
let rec run t c =
  match c.closed with
  | Some pause ->
     if Buffer.length c.unsent > 0 then write t c;
     pause
  | None ->
     if t.is_stopped then List.iter (take t c) (Session.stop c.session)
     else begin
       let wait = max 0 (min 60_000 (Session.deadline c.session - Clock.now ())) in
       serve t c ~timeout:(float wait /. 1000.);
       if c.closed = None then List.iter (take t c) (Session.tick c.session ~now:(Clock.now ()))
     end;
     run t c

let session t channel =
  let session, outputs = Session.create t.memory t.config ~now:(Clock.now ()) in
  let c =
    { channel; session; unsent = Buffer.create 4096; buffer = Bytes.create 65_536; closed = None }
  in
  List.iter (take t c) outputs;
  Fun.protect ~finally:(fun () -> Channel.close channel) (fun () -> run t c)

let rec sleep t ms =
  let until = Clock.now () + ms in
  (try Unix.sleepf (float ms /. 1000.) with Unix.Unix_error (EINTR, _, _) -> ());
  let left = until - Clock.now () in
  if left > 0 && not t.is_stopped then sleep t left

let rec follow t endpoint =
  if not t.is_stopped then begin
    let pause =
      match Channel.connect endpoint with
      | channel -> session t channel
      | exception Unix.Unix_error (EINTR, _, _) -> 0
      | exception Channel.No_call why ->
         t.tell ("a call is turned away: " ^ why);
         0
      | exception Unix.Unix_error (error, _, _) ->
         t.tell ("no connection: " ^ Unix.error_message error);
         Session.unreachable t.memory t.config
    in
    sleep t pause;
    follow t endpoint
  end
