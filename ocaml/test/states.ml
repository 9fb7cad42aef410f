(* A session, led through the scripts of states.json and into each cell of the subscriber's table. *)

open Rulecast
open Document
open Check

(* A publisher's end of the connections of one subscriber. *)
type peer = {
  memory : Session.memory;
  config : Session.config;
  mutable session : Session.t option;
  mutable now : int;
  mutable frames : int; (* sent in this connection *)
  mutable sent : (int * Message.t) list; (* by the subscriber, since they were looked at; the last first *)
  mutable received : int;
  mutable closed : (string * int) option; (* the code, and when it connects again *)
  mutable flips : Session.release list; (* the last first *)
}

let peer ~trust ~nonces ~entries ~bytes =
  let nonces = ref nonces in
  let random = function
    | 16 -> (
       match !nonces with
       | [] -> String.make 16 '\255'
       | nonce :: rest ->
          nonces := rest;
          nonce)
    | n -> String.make n '\000'
  in
  {
    memory = Session.memory ~trust ~now:0 ();
    config = { Recorded.config with entries; bytes; random };
    session = None;
    now = 0;
    frames = 0;
    sent = [];
    received = 0;
    closed = None;
    flips = [];
  }

let peer_of json =
  let limit key = number key (member "limits" json) in
  let nonces = List.map of_hex (texts "nonces" json) in
  peer ~trust:(text "trust" json) ~nonces ~entries:(limit "entries") ~bytes:(limit "bytes")

let take peer = function
  | Session.Send bytes ->
     List.iter
       (fun ({ kind; body; _ } : Frame.t) ->
         peer.received <- peer.received + 1;
         peer.sent <- (kind, Message.read kind body) :: peer.sent)
       (Frame.read_all ~sequence:peer.received bytes)
  | Flip release -> peer.flips <- release :: peer.flips
  | Tell _ -> ()
  | Closed { code; pause } -> peer.closed <- Some (code, peer.now + pause)

let session peer = Option.get peer.session

let connect peer =
  peer.frames <- 0;
  peer.received <- 0;
  peer.closed <- None;
  let session, outputs = Session.create peer.memory peer.config ~now:peer.now in
  peer.session <- Some session;
  List.iter (take peer) outputs

let frame peer (kind, body) =
  let bytes =
    Frame.write ~sequence:peer.frames { kind; transaction = (if kind = 11 then 1 else 0); body }
  in
  peer.frames <- peer.frames + 1;
  bytes

let receive peer message =
  List.iter (take peer) (Session.receive (session peer) ~now:peer.now (frame peer message))

(* Each deadline at its time. *)
let rec pass peer at =
  match peer.session with
  | Some session when Session.deadline session <= at && peer.closed = None ->
     peer.now <- max peer.now (Session.deadline session);
     List.iter (take peer) (Session.tick session ~now:peer.now);
     pass peer at
  | _ -> peer.now <- at

let looked_at peer =
  let sent = List.rev peer.sent in
  peer.sent <- [];
  sent

(* Whether it has the fields that are due; null: it is not there. *)
let is_due due (kind, message) =
  let is_so (key, wanted) =
    let found =
      match message with
      | Message.Control said -> List.assoc_opt key said
      | Signed (_, content) when key = "content" -> Some (Octets content)
      | _ -> None
    in
    let rec agrees wanted found =
      match (wanted, found) with
      | `Null, None -> true
      | `Assoc [ ("hex", _) ], _ | (`Int _ | `String _ | `Bool _ | `List _), _ -> Some (value_of wanted) = found
      | `Assoc fields, Some (Message.Map said) ->
         List.for_all (fun (key, wanted) -> agrees wanted (List.assoc_opt key said)) fields
         && List.length fields = List.length said
      | _ -> false
    in
    key = "kind" || agrees wanted found
  in
  kind = List.assoc (text "kind" due) message_types && List.for_all is_so (J.to_assoc due)

let step peer name i json =
  let what = Printf.sprintf "%s, step %d" name i in
  let at = J.to_int (member "at" json) and has key = List.mem_assoc key (J.to_assoc json) in
  pass peer at;
  if has "connect" then begin
    check (what ^ ", connects")
      (match peer.closed with None -> peer.session = None | Some (_, again) -> again = at);
    connect peer
  end;
  if has "receive" then receive peer (message (member "receive" json));
  if has "end" then List.iter (take peer) (Session.disconnected (session peer));
  let sent = looked_at peer in
  let bye, sent = List.partition (fun (kind, _) -> kind = 17) sent in
  let due = J.to_list (member "send" json) in
  check what (List.length due = List.length sent && List.for_all2 is_due due sent);
  match member "closed" json with
  | `String code -> check (what ^ ", closed") (Option.map fst peer.closed = Some code && List.length bye = 1)
  | _ -> check (what ^ ", closed") (has "closed" = (peer.closed <> None) && bye = [])

(* ── The recorded session ── *)

type turn = Theirs of string | Ours of (int * Message.t) list

(* The turns of a connection. *)
let turns json =
  let sequence = ref 0 in
  let turn json =
    let bytes = hex "hex" json in
    if text "from" json = "publisher" then Theirs bytes
    else begin
      let frames = Frame.read_all ~sequence:!sequence bytes in
      sequence := !sequence + List.length frames;
      Ours (List.map (fun ({ kind; body; _ } : Frame.t) -> (kind, Message.read kind body)) frames)
    end
  in
  List.map turn (J.to_list json)

let field key = function _, Message.Control said -> List.assoc_opt key said | _ -> None

(* What of a message is neither time nor a choice. *)
let essence ((kind, message) as whole) =
  let fields = [ "hash"; "epoch"; "version"; "retry"; "code"; "nonce"; "root"; "holds"; "refused" ] in
  match message with
  | Message.Signed (_, content) -> (kind, [ Some (Message.Octets content) ])
  | _ when kind = 12 -> (kind, [])
  | _ -> (kind, List.map (fun key -> field key whole) fields)

(* It sends what was recorded, at its time; else it is refused with the code that it sends instead. *)
let recorded peer turns =
  let waiting = ref [] in
  let otherwise () =
    let code_of ((kind, _) as message) = if kind = 10 || kind = 17 then field "code" message else None in
    let code =
      match List.find_map code_of !waiting with Some (Text code) -> code | _ -> "unexpected-message"
    in
    Cursor.refuse code "it does not send what was recorded"
  in
  let look () =
    let is_beat message = fst message = 15 && field "nonce" message = None in
    waiting := !waiting @ List.filter (fun message -> not (is_beat message)) (looked_at peer)
  in
  let sends ((kind, _) as message) =
    if kind = 15 then pass peer (peer.now + 5000);
    if kind = 17 then List.iter (take peer) (Session.stop (session peer));
    look ();
    incr checks;
    match !waiting with
    | sent :: rest when essence sent = essence message -> waiting := rest
    | _ -> otherwise ()
  in
  connect peer;
  List.iter
    (function
      | Theirs bytes -> List.iter (take peer) (Session.receive (session peer) ~now:peer.now bytes)
      | Ours messages -> List.iter sends messages)
    turns;
  look ();
  if !waiting <> [] then otherwise ();
  List.iter (take peer) (Session.disconnected (session peer))

(* A subscriber that asks with the same nonces sends the same, and takes the same releases. *)
let recorded_session json =
  let taken () =
    let connections = List.map turns (J.to_list (member "connections" json)) in
    let nonce message = match field "nonce" message with Some (Octets nonce) -> Some nonce | _ -> None in
    let ours = function Ours messages -> messages | Theirs _ -> [] in
    let nonces = List.filter_map nonce (List.concat_map ours (List.concat connections)) in
    let peer = peer ~trust:(text "trust" json) ~nonces ~entries:100_000 ~bytes:10_000_000 in
    List.iter (recorded peer) connections;
    let record ((kind, name), { Delta.record = { count; bytes; digest }; _ }) =
      (kind, name, count, bytes, to_hex digest)
    in
    let release { Session.manifest = { epoch; version; manifest_hash; _ }; parts; _ } =
      (epoch, version, to_hex manifest_hash, List.map record (Part.Map.bindings parts))
    in
    List.rev_map release peer.flips
  in
  let wanted v =
    let record r = (number "kind" r, text "name" r, number "count" r, number "bytes" r, text "digest" r) in
    (number "epoch" v, number "version" v, text "hash" v, List.map record (J.to_list (member "parts" v)))
  in
  expect "the session" (List.map wanted (J.to_list (member "applied" json))) taken

(* ── Cells ── *)

let send_of_action =
  [ ("want", 4); ("applied", 9); ("nack", 10); ("answer", 12); ("proof", 14); ("pong", 16); ("bye", 17) ]

(* What a publisher says: of the first script, and of the releases. *)
type publisher = {
  welcome : int * string;
  root : int * string;
  fresh : int * string;
  releases : Yojson.Basic.t list;
}

let publisher json script =
  let received step = J.to_option Fun.id (member "receive" step) in
  let all = List.filter_map received (J.to_list (member "steps" script)) in
  let first kind = message (List.find (fun m -> text "kind" m = kind) all) in
  {
    welcome = first "welcome";
    root = first "root";
    fresh = first "fresh";
    releases = J.to_list (member "releases" json);
  }

let release publisher name = List.find (fun r -> text "name" r = name) publisher.releases
let offer release = (3, of_hex (text "signatures" release) ^ of_hex (text "manifest" release))
let beginning ?snapshot bytes =
  let snapshot = Option.fold ~none:[] ~some:(fun s -> [ ("snapshot", Message.Bool s) ]) snapshot in
  (5, Message.body_of (("bytes", Int (String.length bytes)) :: snapshot))
let chunk bytes = (6, bytes)
let ending = (7, Message.body_of [])

(* Runs until it pauses, and says how to go on; None: it ended. *)
let until_pause run =
  let paused = ref false in
  let stop_once go_on =
    if !paused then go_on ()
    else begin
      paused := true;
      Some (fun () -> ignore (go_on ()))
    end
  in
  Pause.schedule stop_once (fun () -> run (); None)

(* A subscriber with the first release active, in a state that leads to the second; and how it goes on with the
   work that it is at. *)
let led_to json publisher state ~stream =
  let peer = peer_of json in
  connect peer;
  let go = List.iter (receive peer) in
  let first = release publisher "first" and second = release publisher "second" in
  let snapshot = of_hex (text "snapshot" first) in
  if state <> "greeting" then
    go
      [
        publisher.welcome;
        publisher.root;
        publisher.fresh;
        offer first;
        beginning ~snapshot:true snapshot;
        chunk snapshot;
        ending;
      ];
  let is_in states = List.mem state states in
  if is_in [ "wanting"; "receiving"; "draining"; "applying" ] then go [ offer second ];
  if is_in [ "receiving"; "draining"; "applying" ] then go [ beginning stream ];
  if is_in [ "draining" ] then go [ chunk (stream ^ "more") ];
  let go_on =
    if is_in [ "applying" ] then begin
      go [ chunk stream ];
      until_pause (fun () -> receive peer ending)
    end
    else None
  in
  (peer, go_on)

(* A chain whose first delta claims 200,000 more prefixes than there are. *)
let beyond = of_hex "0a 01 01 00 80b518 80897a 00 01 00"

let cell json publisher v =
  let state = text "state" v and event = text "event" v and action = text "action" v in
  let second = release publisher "second" in
  let stream = of_hex (text "chain" second) in
  let spoiled = String.map (fun c -> if c = '\004' then '\005' else c) stream in
  let stream =
    match (state, event) with
    | "applying", "refused" -> spoiled
    | "applying", "overBudget" -> beyond
    | _ -> stream
  in
  (* The root of the trust line can be taken once. *)
  let peer, go_on =
    if (state, event) <> ("idle", "root") then led_to json publisher state ~stream
    else begin
      let peer, _ = led_to json publisher "greeting" ~stream in
      receive peer publisher.welcome;
      (peer, None)
    end
  in
  ignore (looked_at peer);
  let is_state name = Session.state (session peer) = name in
  let control kind fields = (kind, Message.body_of fields) in
  let hash = Message.Octets (String.make 32 'h') in
  let go_on_now () =
    Option.iter (fun go_on -> go_on ()) go_on;
    true
  in
  let send message =
    receive peer message;
    true
  in
  let name = Printf.sprintf "%s, %s" state event in
  let happened =
    is_state state
    &&
    match event with
    | "bye" -> send (control 17 [ ("code", Text "internal"); ("text", Text "") ])
    | "other" -> send (control 4 [ ("hash", hash) ])
    | "timeout" ->
       pass peer 1_000_000;
       peer.sent <- List.filter (fun (kind, _) -> kind <> 15) peer.sent;
       true
    | "disconnected" ->
       List.iter (take peer) (Session.disconnected (session peer));
       true
    | "stop" ->
       List.iter (take peer) (Session.stop (session peer));
       true
    | "welcome" -> send publisher.welcome
    | "offer" -> send (offer (release publisher "third"))
    | "offerActive" -> send (offer (release publisher "first"))
    | "offerRefused" -> send (offer (release publisher "of another lineage"))
    | "begin" -> send (beginning stream)
    | "chunk" -> send (chunk "x")
    | "end" when state = "receiving" ->
       receive peer (chunk stream);
       until_pause (fun () -> receive peer ending) <> None
    | "end" -> send ending
    | "abort" -> send (control 8 [ ("code", Text "superseded"); ("text", Text "") ])
    | "unsupported" ->
       send (control 18 [ ("hash", hash); ("capabilities", List [ Text "names" ]); ("text", Text "") ])
    | "root" -> send publisher.root
    | "fresh" -> send publisher.fresh
    | "query" -> send (control 11 [ ("question", Text "stats") ])
    | "prove" -> send (control 13 [])
    | "ping" -> send (control 15 [])
    | "pong" -> send (control 16 [])
    | "refused" when state = "receiving" -> send (chunk (stream ^ "more"))
    | "applied" | "refused" | "overBudget" -> go_on_now ()
    | _ -> false
  in
  check (name ^ ", happened") happened;
  let wanted = Option.to_list (List.assoc_opt action send_of_action) in
  let sent = looked_at peer in
  check (name ^ ", " ^ action) (List.map fst sent = wanted);
  (match (member "code" v, sent) with
  | `String code, [ (_, Control said) ] -> check (name ^ ", " ^ code) (List.assoc "code" said = Text code)
  | `String _, _ -> check name false
  | _ -> ());
  check (name ^ ", then " ^ text "next" v) (is_state (text "next" v));
  check (name ^ ", ended") ((peer.closed <> None) = (text "next" v = "closed" && state <> "closed"))

(* A WELCOME that comes late leaves the publisher three heartbeats, of 60 s here, before it counts as silent. *)
let silence json publisher =
  let peer = peer_of json in
  connect peer;
  pass peer 9_000;
  receive peer publisher.welcome;
  pass peer 188_999;
  check "silent for less than three heartbeats" (peer.closed = None);
  pass peer 189_000;
  check "silent for three heartbeats" (Option.map fst peer.closed = Some "timeout")

(* Nothing happens in closed. *)
let is_ours v = text "action" v <> "never" && text "state" v <> "closed"

let run json =
  let scripts = J.to_list (member "subscriber" (member "sessions" json)) in
  List.iter
    (fun script ->
      let peer = peer_of json in
      List.iteri (step peer (text "name" script)) (J.to_list (member "steps" script)))
    scripts;
  let publisher = publisher json (List.hd scripts) in
  silence json publisher;
  List.iter (fun v -> if is_ours v then cell json publisher v) (J.to_list (member "subscriber" json))
