open Rulecast
open Lwt.Infix

type flow = {
  read : unit -> string option Lwt.t;
  write : string -> unit Lwt.t;
  close : unit -> unit Lwt.t;
}

type t = {
  memory : Session.memory;
  config : Session.config;
  now : unit -> int;
  sleep : int -> unit Lwt.t;
  flip : Session.release -> unit;
  tell : string -> unit;
}

(* ── Our choice ── *)

let unsent_max = 262_144 (* bytes that wait for a peer that does not read: WIRE.md R-4 *)
let slice_ms = 2
let longest_sleep_ms = 60_000
let farewell_ms = 1000 (* for what is unsent once the session is over, and for the flow to be closed *)

type connection = {
  flow : flow;
  session : Session.t;
  unsent : Buffer.t;
  changed : unit Lwt_condition.t; (* what is unsent, `closed`, or the session's deadline *)
  mutable closed : int option; (* the pause before the next *)
  mutable work : unit Lwt.t; (* decoders that have not ended *)
}

let take t c = function
  | Session.Send bytes -> Buffer.add_string c.unsent bytes
  | Flip release -> t.flip release
  | Tell text -> t.tell text
  | Closed { pause; _ } -> c.closed <- Some pause

let take_all t c outputs =
  List.iter (take t c) outputs;
  Lwt_condition.broadcast c.changed ()

let lost t c = take_all t c (Session.disconnected c.session)

(* Other threads run whenever `work` pauses and has had its slice. *)
let in_slices t work =
  let began = ref (t.now ()) in
  let let_others_run go_on =
    if t.now () - !began < slice_ms then go_on ()
    else
      Lwt.pause () >>= fun () ->
      began := t.now ();
      go_on ()
  in
  Pause.schedule let_others_run (fun () -> Lwt.return (work ()))

(* A message that comes while a decoder pauses is taken at once: the decoder may be long. *)
let receive t c bytes =
  let run () = take_all t c (Session.receive c.session ~now:(t.now ()) bytes) in
  let fail error =
    t.tell ("the session fails: " ^ Printexc.to_string error);
    lost t c;
    Lwt.return_unit
  in
  let work = Lwt.catch (fun () -> in_slices t run) fail in
  c.work <- (if Lwt.is_sleeping c.work then Lwt.join [ c.work; work ] else work)

let ended promise = Lwt.catch promise (function Lwt.Canceled -> Lwt.fail Lwt.Canceled | _ -> Lwt.return_none)

let rec read t c =
  ended c.flow.read >>= function
  | None ->
     lost t c;
     Lwt.return_unit
  | Some bytes ->
     receive t c bytes;
     if c.closed = None then read t c else Lwt.return_unit

(* Writes what waits, in one piece, until the session is over and all is written. *)
let rec write t c =
  match Buffer.contents c.unsent with
  | "" when c.closed <> None -> Lwt.return_unit
  | "" -> Lwt_condition.wait c.changed >>= fun () -> write t c
  | bytes -> (
     Buffer.clear c.unsent;
     ended (fun () -> c.flow.write bytes >|= Option.some) >>= function
     | Some () -> write t c
     | None ->
        lost t c;
        Lwt.return_unit)

(* Calls the session when its time has come. *)
let rec watch t c =
  if c.closed <> None then Lwt.return_unit
  else if Buffer.length c.unsent > unsent_max then begin
    t.tell "the publisher does not read: not-reading";
    lost t c;
    Lwt.return_unit
  end
  else begin
    let wait = min longest_sleep_ms (Session.deadline c.session - t.now ()) in
    if wait > 0 then Lwt.pick [ t.sleep wait; Lwt_condition.wait c.changed ] >>= fun () -> watch t c
    else begin
      take_all t c (Session.tick c.session ~now:(t.now ()));
      Lwt.pause () >>= fun () -> watch t c
    end
  end

(* A release whose decoder has not ended is waited for: none of a session may become active in the next. *)
let session t flow =
  let session, outputs = Session.create t.memory t.config ~now:(t.now ()) in
  let c =
    {
      flow;
      session;
      unsent = Buffer.create 4096;
      changed = Lwt_condition.create ();
      closed = None;
      work = Lwt.return_unit;
    }
  in
  take_all t c outputs;
  let writing = write t c in
  Lwt.finalize
    (fun () ->
      Lwt.pick [ read t c; watch t c ] >>= fun () ->
      Lwt.pick [ writing; t.sleep farewell_ms ] >>= fun () -> c.work)
    (fun () -> Lwt.pick [ Lwt.protected (Lwt.catch flow.close (fun _ -> Lwt.return_unit)); t.sleep farewell_ms ])
  >|= fun () -> Option.value c.closed ~default:0

let rec follow t connect =
  let next =
    ended connect >>= function
    | Some flow -> session t flow
    | None -> Lwt.return (Session.unreachable t.memory t.config)
  in
  next >>= t.sleep >>= fun () -> follow t connect
