(* A subscriber's session, pure: session.mli says how it is driven. The states are those of WIRE.md
   "Subscriber"; `take` is their table. *)

open Message

type release = { manifest : Trust.manifest; signed : string; parts : Delta.rule_set; table : Table.t }

type standing = Fresh | Unsure | Stale

(* Whether the root in force is to be followed by another. *)
type renewal = Good | Due | Overdue

type offer = { of_manifest : Trust.manifest; body : string; base : release option }

type transfer = {
  offer : offer;
  length : int;
  from : release option;
  stream : string option; (* that may be gone on with *)
  began : int;
  chunks : Buffer.t;
}

type memory = {
  lineage : string;
  kept_floor : (Trust.manifest * string) option; (* of a run before, as `signed` of its release *)
  mutable in_force : (Trust.root, string) result; (* the root, or the hash that the first must have *)
  mutable active : (release * int) option; (* since when *)
  mutable refused : (string * string) list; (* hash and code of what is refused with `never`, the newest first *)
  mutable faults : int; (* streams that did not verify, in a row *)
  mutable paused_until : int;
  mutable failed_chain : string option; (* the release to which a chain did not lead *)
  mutable cut : transfer option; (* of a snapshot, whose connection ended *)
  mutable generation : int;
  mutable confirmed_at : int option; (* as of when the active release is known to be the newest *)
  started_at : int;
  mutable told : standing; (* to people *)
  mutable told_root : renewal;
  mutable wait : int; (* before the next connection *)
}

type config = {
  name : string;
  entries : int;
  bytes : int;
  stale_after : int;
  capabilities : string list;
  random : int -> string;
  environment : unit -> Meaning.environment;
}

type output = Send of string | Flip of release | Tell of string | Closed of { code : string; pause : int }

(* How much of a transfer has to come by when. *)
type window = { ends : int; moved : int }

type state =
  | Greeting
  | Idle
  | Wanting of offer
  | Receiving of transfer * window
  | Draining of window
  | Applying
  | Over

type t = {
  memory : memory;
  config : config;
  claims_floor : bool; (* HELLO does *)
  mutable state : state;
  input : Buffer.t;
  mutable read : int; (* of the input *)
  mutable partial_since : int option; (* since when a frame is on its way *)
  mutable received : int; (* frames *)
  mutable sent : int;
  mutable heartbeat : int;
  mutable silent_at : int; (* also the end of the handshake *)
  mutable ping_at : int;
  mutable known : Freshness.t;
  mutable second : int; (* of the last question, and how many came in it *)
  mutable questions : int;
  mutable skipped : int;
  mutable receive_ms : int; (* of the release that this session brought *)
  mutable out : output list; (* the last first *)
}

let state t =
  match t.state with
  | Greeting -> "greeting"
  | Idle -> "idle"
  | Wanting _ -> "wanting"
  | Receiving _ -> "receiving"
  | Draining _ -> "draining"
  | Applying -> "applying"
  | Over -> "closed"

(* ── Fixed by us: WIRE.md "Limits" ── *)

let protocol = 2
let usual_capabilities = [ "names"; "exceptions"; "unmatched"; "private-rules"; "first" ]
let no_deflate = "no-deflate"
let starts_closed = "starts-closed"
let capabilities = usual_capabilities @ [ no_deflate; starts_closed ]
let parts_max = 65_536
let notice_seconds = 2_592_000
let handshake_ms = 10_000
let frame_ms = 15_000
let window_ms = 15_000
let window_bytes = 65_536
let resumed_min_bytes = 2_097_152
let refused_max = 32
let first_wait = 100
let longest_wait = 15_000
let unproved_retry_max = 60_000
let questions_per_second = 20
let pauses = [ 0; 1000; 4000; 16_000 ]
let longest_pause = 60_000

(* The body of an OFFER: signatures, and the manifest. *)
let split signed =
  let cursor = Cursor.of_string ~code:"bad-message" signed in
  let signatures = Trust.signatures cursor in
  (signatures, Cursor.rest cursor)

let memory ?floor ~trust ~now () =
  let lineage, root = Trust.trust_of trust in
  let kept signed =
    match Trust.manifest_of (snd (split signed)) with
    | exception Cursor.Refused (_, text) -> invalid_arg ("the floor is damaged: " ^ text)
    | manifest when manifest.of_lineage <> lineage ->
       invalid_arg "the floor is of another lineage than the trust line"
    | manifest -> (manifest, signed)
  in
  {
    lineage;
    kept_floor = Option.map kept floor;
    in_force = Error root;
    active = None;
    refused = [];
    faults = 0;
    paused_until = 0;
    failed_chain = None;
    cut = None;
    generation = 0;
    confirmed_at = None;
    started_at = now;
    told = Unsure;
    told_root = Good;
    wait = first_wait;
  }

let active memory = Option.map fst memory.active

let stale_at memory config = Option.value memory.confirmed_at ~default:memory.started_at + config.stale_after

let standing memory config ~now =
  if now >= stale_at memory config then Stale
  else if memory.confirmed_at = None then Unsure
  else Fresh

let named release = Freshness.of_manifest release.manifest

(* The newest that ever was active. Nothing older follows what is active. *)
let newest_ever memory =
  match memory.active with
  | Some (release, _) -> Some (release.manifest, release.signed)
  | None -> memory.kept_floor

let newest_named memory =
  Option.map (fun (manifest, _) -> Freshness.of_manifest manifest) (newest_ever memory)

(* … if who signed it still may. *)
let floor memory =
  match (memory.in_force, newest_ever memory) with
  | Ok root, Some (_, signed) -> Trust.standing ~root (split signed)
  | _ -> None

(* ── What is sent ── *)

let emit t output = t.out <- output :: t.out
let tell t fmt = Printf.ksprintf (fun text -> emit t (Tell text)) fmt

let send ?(transaction = 0) t kind body =
  if t.state <> Over then begin
    emit t (Send (Frame.write ~sequence:t.sent { kind; transaction; body }));
    t.sent <- t.sent + 1
  end

let control ?transaction t kind fields = send ?transaction t kind (body_of fields)

let flush t =
  let out = List.rev t.out in
  t.out <- [];
  out

let number { Freshness.epoch; version; hash } =
  [ ("hash", Octets hash); ("epoch", Int epoch); ("version", Int version) ]

let in_force t ~now =
  match t.memory.active with
  | None -> []
  | Some (release, since) ->
     [ ("hash", Octets release.manifest.manifest_hash); ("ageMs", Int (max 0 (now - since))) ]

(* A new nonce, as the field of a message. *)
let ask t ~now =
  let nonce = t.config.random 16 in
  t.known <- Freshness.ask t.known ~nonce ~least:(newest_named t.memory) ~now;
  ("nonce", Octets nonce)

(* What it cannot do it does not announce. *)
let announced config = List.filter (fun code -> List.mem code capabilities) config.capabilities

let hello t ~now =
  let root =
    match t.memory.in_force with
    | Ok root -> [ ("hash", Octets root.hash); ("number", Int root.number) ]
    | Error hash -> [ ("hash", Octets hash) ]
  in
  let held =
    match active t.memory with
    | Some release -> [ ("holds", Map (number (named release))) ]
    | None when t.claims_floor -> [ ("floor", Map (number (Option.get (newest_named t.memory)))) ]
    | None -> []
  in
  let { name; entries; bytes; _ } = t.config in
  control t 1
    ([
       ("protocolMin", Int protocol);
       ("protocolMax", Int protocol);
       ("name", Text name);
       ("lineage", Octets t.memory.lineage);
       ("root", Map root);
     ]
    @ held
    @ [
        ("refused", List (List.rev_map (fun (hash, _) -> Octets hash) t.memory.refused));
        ("limits", Map [ ("entries", Int entries); ("bytes", Int bytes); ("parts", Int parts_max) ]);
        ("capabilities", List (List.map (fun code -> Text code) (announced t.config)));
        ask t ~now;
      ])

let create memory config ~now =
  let t =
    {
      memory;
      config;
      claims_floor = memory.active = None && floor memory <> None;
      state = Greeting;
      input = Buffer.create 4096;
      read = 0;
      partial_since = None;
      received = 0;
      sent = 0;
      heartbeat = 0;
      silent_at = now + handshake_ms;
      ping_at = max_int;
      known = Freshness.nothing;
      second = 0;
      questions = 0;
      skipped = 0;
      receive_ms = 0;
      out = [];
    }
  in
  hello t ~now;
  (t, flush t)

(* ── The end ── *)

(* A pause of which the upper half is random; it doubles until a publisher is found that can be followed. *)
let next_wait memory config ~is_good =
  let wait = if is_good then first_wait else memory.wait in
  memory.wait <- min longest_wait (2 * wait);
  (wait / 2) + (wait * Char.code (config.random 1).[0] / 512)

let unreachable memory config = next_wait memory config ~is_good:false

(* What a connection that ends leaves of a large snapshot. *)
let cut_of = function
  | Receiving (({ from = None; stream = Some _; _ } as transfer), _)
    when transfer.length >= resumed_min_bytes && Buffer.length transfer.chunks > 0 ->
     Some transfer
  | _ -> None

let close ?(retry = 0) t ~is_good code =
  let is_good = is_good && t.state <> Greeting in
  Option.iter (fun cut -> t.memory.cut <- Some cut) (cut_of t.state);
  t.state <- Over;
  emit t (Closed { code; pause = max retry (next_wait t.memory t.config ~is_good) })

let bye ?(is_good = true) t code text =
  control t 17 [ ("code", Text code); ("text", Text text) ];
  tell t "the session ends: %s, %s" code text;
  close t ~is_good code

(* ── Offers ── *)

let keeps t =
  Option.fold ~none:[]
    ~some:(fun release -> [ ("keeps", Octets release.manifest.manifest_hash) ])
    (active t.memory)

let nack ?after t hash (code, text) retry =
  let after = Option.fold ~none:[] ~some:(fun ms -> [ ("retryAfterMs", Int ms) ]) after in
  if retry = "never" then begin
    let others = List.filter (fun (other, _) -> other <> hash) t.memory.refused in
    t.memory.refused <- List.filteri (fun i _ -> i < refused_max) ((hash, code) :: others)
  end;
  tell t "a release is refused: %s, %s" code text;
  control t 10
    ([ ("hash", Octets hash); ("code", Text code); ("text", Text text); ("retry", Text retry) ] @ after @ keeps t)

let say_applied t release =
  let not_measured = List.map (fun key -> (key, Int 0)) [ "verifyMs"; "compileMs"; "flipMs" ] in
  control t 9
    (number (named release)
    @ (("receiveMs", Int t.receive_ms) :: not_measured)
    @ [
        ("persisted", Bool false);
        ("generation", Int t.memory.generation);
      ])

(* A fault of a stream says nothing of the release, which nobody on the way has signed. *)
let stream_fault t ~now ~is_chain hash fault =
  let m = t.memory in
  let pause = Option.value (List.nth_opt pauses m.faults) ~default:longest_pause in
  m.faults <- m.faults + 1;
  m.paused_until <- now + pause;
  if is_chain then m.failed_chain <- Some hash;
  nack t hash fault "later" ~after:pause

let want t offer =
  let hash = offer.of_manifest.manifest_hash in
  let is_of_it { offer; _ } = offer.of_manifest.manifest_hash = hash in
  if not (Option.fold ~none:true ~some:is_of_it t.memory.cut) then t.memory.cut <- None;
  let base = Option.map (fun release -> ("base", Octets release.manifest.manifest_hash)) offer.base in
  let has { stream; chunks; _ } =
    ("has", Map [ ("stream", Octets (Option.get stream)); ("bytes", Int (Buffer.length chunks)) ])
  in
  let optional = Option.to_list base @ Option.to_list (Option.map has t.memory.cut) in
  control t 4 (("hash", Octets hash) :: optional);
  t.state <- Wanting offer

(* WIRE.md "Offers", in its order. *)
let judge_offer t ~now (signatures, said) body =
  let m = t.memory and hash = Trust.sha256 said in
  let refuse ?after fault retry =
    nack ?after t hash fault retry;
    t.state <- Idle
  in
  match (m.active, List.assoc_opt hash m.refused, m.in_force) with
  | Some (release, _), _, _ when release.manifest.manifest_hash = hash ->
     say_applied t release;
     t.state <- Idle
  | _, Some code, _ -> refuse (code, "it was refused before") "never"
  | _, None, Error _ -> refuse ("bad-signature", "no root is known yet") "later"
  | _, None, Ok root -> (
     let floor = floor m in
     match Trust.offered ~root ~floor (signatures, said) with
     | exception Cursor.Refused ((("bad-signature" | "epoch-not-granted") as code), text) ->
        refuse (code, text) "later"
     | exception Cursor.Refused ((("not-newer" | "forked") as code), text)
       when m.active = None && not t.claims_floor ->
        (* A root of this connection let the floor count. The publisher has to learn of it. *)
        bye t code (text ^ "; the next HELLO claims it")
     | exception Cursor.Refused (code, text) -> refuse (code, text) "never"
     | { prefixes; others; parts; _ } when prefixes + others > t.config.entries || parts > parts_max ->
        refuse ("over-limit", "more entries than are taken here") "never"
     | manifest -> (
        let since = now - t.config.stale_after and offer = Freshness.of_manifest manifest in
        match Freshness.fault_of t.known ~offer ~has_floor:(floor <> None) ~since with
        | Some fault -> refuse fault "later" ~after:Freshness.every_ms
        | None when now < m.paused_until ->
           let left = m.paused_until - now in
           refuse ("bad-transfer", "streams of this channel did not verify") "later" ~after:left
        | None ->
           let base = if m.failed_chain = Some hash then None else active m in
           want t { of_manifest = manifest; body; base }))

(* ── Transfers ── *)

let window ~now = { ends = now + window_ms; moved = 0 }

let moved window bytes ~now =
  let moved = window.moved + bytes in
  if moved >= window_bytes then { ends = now + window_ms; moved = 0 } else { window with moved }

let begin_transfer t ~now offer said =
  let length = match List.assoc "bytes" said with Int n -> n | _ -> max_int in
  let is_snapshot = List.assoc_opt "snapshot" said = Some (Bool true) in
  let stream = match List.assoc_opt "stream" said with Some (Octets stream) -> Some stream | _ -> None in
  let goes_on = List.assoc_opt "from" said in
  let rest =
    match t.memory.cut with
    | Some cut
      when is_snapshot && stream = cut.stream && length = cut.length
           && goes_on = Some (Int (Buffer.length cut.chunks)) ->
       Some cut.chunks
    | _ -> None
  in
  t.memory.cut <- None;
  let from = if is_snapshot then None else offer.base in
  let most = min t.config.bytes (Delta.stream_max (Delta.signed offer.of_manifest)) in
  let fault =
    if (not is_snapshot) && offer.base = None then
      Some ("bad-base", "a chain of deltas came where a snapshot was wanted")
    else if length > most then Some ("over-limit", Printf.sprintf "more than %d bytes" most)
    else if goes_on <> None && rest = None then Some ("bad-transfer", "it goes on where none was cut")
    else None
  in
  match fault with
  | Some fault ->
     stream_fault t ~now ~is_chain:(from <> None) offer.of_manifest.manifest_hash fault;
     t.state <- Draining (window ~now)
  | None ->
     let chunks = match rest with Some kept -> kept | None -> Buffer.create (min length 65_536) in
     t.state <- Receiving ({ offer; length; from; stream; began = now; chunks }, window ~now)

let take_chunk t ~now transfer w bytes =
  if Buffer.length transfer.chunks + String.length bytes > transfer.length then begin
    let hash = transfer.offer.of_manifest.manifest_hash in
    stream_fault t ~now ~is_chain:(transfer.from <> None) hash ("bad-transfer", "longer than announced");
    t.state <- Draining (window ~now)
  end
  else begin
    Buffer.add_string transfer.chunks bytes;
    t.state <- Receiving (transfer, moved w (String.length bytes) ~now)
  end

let confirm t =
  match t.known.newest with
  | Some newest when Freshness.confirms newest (Option.map named (active t.memory)) ->
     t.memory.confirmed_at <- Some (max newest.as_of (Option.value t.memory.confirmed_at ~default:min_int))
  | _ -> ()

let flip t ~now transfer (parts, table) =
  let m = t.memory in
  let release = { manifest = transfer.offer.of_manifest; signed = transfer.offer.body; parts; table } in
  m.active <- Some (release, now);
  m.faults <- 0;
  m.paused_until <- 0;
  m.failed_chain <- None;
  m.generation <- m.generation + 1;
  emit t (Flip release);
  confirm t;
  release

(* What the stream makes of the base. The session may have ended once it is through: then nobody is answered,
   and a release that is right is taken nevertheless. *)
let apply t ~now transfer =
  let manifest = transfer.offer.of_manifest and stream = Buffer.contents transfer.chunks in
  let hash = manifest.manifest_hash and is_chain = transfer.from <> None in
  let base = Option.fold ~none:Part.Map.empty ~some:(fun release -> release.parts) transfer.from in
  Buffer.reset transfer.chunks;
  t.state <- Applying;
  let received () =
    if String.length stream < transfer.length then Cursor.refuse "bad-transfer" "shorter than announced";
    let inflates = not (List.mem no_deflate t.config.capabilities) in
    Delta.received ~inflates ~most:t.config.entries ~manifest ~base stream
  in
  let outcome =
    match received () with
    | exception Cursor.Refused ("over-budget", _) when is_chain -> Error (`Budget, ("", ""))
    | exception Cursor.Refused (code, text) -> Error (`Stream, (code, text))
    | exception (Out_of_memory | Stack_overflow) -> Error (`Here, ("out-of-memory", "no room for it"))
    | held -> (
       let parts = Part.Map.map (fun { Delta.part; _ } -> part) held in
       match
         Meaning.check_sound parts;
         Table.of_parts parts
       with
       | exception Cursor.Refused (code, text) -> Error (`Signed, (code, text))
       | exception (Out_of_memory | Stack_overflow) -> Error (`Here, ("compile-failed", "no room for it"))
       | table -> Ok (held, table))
  in
  (match outcome with
  | Ok made ->
     t.receive_ms <- now - transfer.began;
     say_applied t (flip t ~now transfer made)
  | Error (`Stream, fault) -> stream_fault t ~now ~is_chain hash fault
  | Error (`Signed, fault) -> nack t hash fault "never"
  | Error (`Here, fault) -> nack t hash fault "later"
  | Error (`Budget, _) -> t.memory.failed_chain <- Some hash);
  if t.state <> Over then
    match outcome with
    | Error (`Budget, _) -> want t { transfer.offer with base = None }
    | _ -> t.state <- Idle

let abort t offer said =
  let code = match List.assoc "code" said with Text code -> code | _ -> "internal" in
  nack t offer.of_manifest.manifest_hash (code, "the publisher gave up") "later";
  t.state <- Idle

(* ── What may come at any time ── *)

let learn t ~now signed =
  match t.memory.in_force with
  | Error _ -> ()
  | Ok root -> (
     let floor = Option.map Freshness.of_manifest (floor t.memory) in
     let outcome = Freshness.judge t.known ~root ~floor ~since:(now - t.config.stale_after) signed in
     t.known <- Freshness.learn t.known outcome;
     match outcome with
     | Doubtful (_, code, text) -> tell t "what is newest is not believed: %s, %s" code text
     | Believed _ -> confirm t
     | Not_asked | Unsigned _ -> ())

let trust t signed =
  let m = t.memory in
  match Trust.next_root ~lineage:m.lineage ~in_force:m.in_force signed with
  | root ->
     m.in_force <- Ok root;
     m.refused <- [];
     tell t "root %d is in force" root.number
  | exception Cursor.Refused (code, text) -> bye t ~is_good:false code ("a root is not taken: " ^ text)

let answer t ~now transaction said =
  let second = now / 1000 in
  t.questions <- (if second = t.second then t.questions + 1 else 1);
  t.second <- second;
  let fail code text = [ ("ok", Bool false); ("code", Text code); ("text", Text text) ] in
  let active = active t.memory in
  let body =
    if t.questions > questions_per_second then
      fail "rate-limited" (Printf.sprintf "at most %d questions a second are answered" questions_per_second)
    else
      match (List.assoc_opt "packet" said, active) with
      | Some (Map packet), Some release -> (
         match Explain.packet_of packet with
         | None -> fail "not-ready" "its addresses are of two families"
         | Some packet ->
            let verdict = Explain.verdict release.table (t.config.environment ()) packet in
            [ ("ok", Bool true); ("verdict", Map verdict) ]
            @ number (named release)
            @ [ ("generation", Int t.memory.generation) ])
      | Some _, _ -> fail "not-ready" "no release is active"
      | None, _ ->
         let is_stale = standing t.memory t.config ~now = Stale in
         let counters = [ ("skipped", Int t.skipped); ("stale", Int (Bool.to_int is_stale)) ] in
         (("ok", Bool true) :: Option.fold ~none:[] ~some:(fun r -> number (named r)) active)
         @ [ ("stats", Map counters) ]
  in
  control t 12 ~transaction body

let welcome t ~now said =
  if List.assoc "protocol" said <> Int protocol then
    bye t ~is_good:false "no-common-version" (Printf.sprintf "this subscriber speaks version %d alone" protocol)
  else if List.assoc "lineage" said <> Octets t.memory.lineage then
    bye t ~is_good:false "wrong-lineage" "the publisher is of another lineage than the one trusted here"
  else begin
    t.heartbeat <- (match List.assoc "heartbeatMs" said with Int ms -> ms | _ -> 0);
    t.silent_at <- now + (3 * t.heartbeat);
    t.ping_at <- now + t.heartbeat;
    t.state <- Idle
  end

let take_bye t said =
  let text key = match List.assoc_opt key said with Some (Text text) -> text | _ -> "" in
  let retry = match List.assoc_opt "retryAfterMs" said with Some (Int ms) -> ms | _ -> 0 in
  let retry = if t.known.newest = None then min retry unproved_retry_max else retry in
  tell t "the publisher ended the session: %s, %s" (text "code") (text "text");
  close t ~retry ~is_good:true (text "code")

(* The table: what a message does in a state. *)
let take t ~now ({ kind; transaction; body } : Frame.t) =
  match (kind, Message.read kind body, t.state) with
  | _, _, Over -> ()
  | 17, Control said, _ -> take_bye t said
  | 2, Control said, Greeting -> welcome t ~now said
  | _, _, Greeting -> bye t "unexpected-message" (Printf.sprintf "type %d before WELCOME" kind)
  | 3, Signed (signatures, said), (Idle | Wanting _) -> judge_offer t ~now (signatures, said) body
  | 5, Control said, Wanting offer -> begin_transfer t ~now offer said
  | 6, Chunk bytes, Receiving (transfer, w) -> take_chunk t ~now transfer w bytes
  | 6, Chunk bytes, Draining w -> t.state <- Draining (moved w (String.length bytes) ~now)
  | 7, _, Receiving (transfer, _) -> apply t ~now transfer
  | (7 | 8), _, Draining _ -> t.state <- Idle
  | 8, Control said, (Wanting offer | Receiving ({ offer; _ }, _)) -> abort t offer said
  | 11, Control said, _ -> answer t ~now transaction said
  | 13, _, Idle -> Option.iter (fun (_, signed) -> send t 14 signed) (newest_ever t.memory)
  | 15, _, _ -> control t 16 (in_force t ~now)
  | 16, _, _ -> ()
  | 18, Control said, _ ->
     let lacks = match List.assoc "capabilities" said with List codes -> codes | _ -> [] in
     let code = function Text code -> code | _ -> "" in
     tell t "the head is not offered, for it needs %s" (String.concat ", " (List.map code lacks))
  | 19, Signed (signatures, said), Idle -> trust t (signatures, said)
  | 20, Signed (signatures, said), _ -> learn t ~now (signatures, said)
  | _ -> bye t "unexpected-message" (Printf.sprintf "type %d has no place here" kind)

(* The next frame that is whole. What was read goes once nothing else is left, or a lot. *)
let next_frame t =
  let frame = Frame.next ~sequence:t.received ~sub:(Buffer.sub t.input) ~length:(Buffer.length t.input) t.read in
  Option.iter (fun (_, next) -> t.read <- next) frame;
  if t.read = Buffer.length t.input then begin
    Buffer.clear t.input;
    t.read <- 0
  end
  else if t.read > 131_072 then begin
    let rest = Buffer.sub t.input t.read (Buffer.length t.input - t.read) in
    Buffer.clear t.input;
    Buffer.add_string t.input rest;
    t.read <- 0
  end;
  Option.map fst frame

let rec take_frames t ~now =
  if t.state <> Over then
    match next_frame t with
    | None -> ()
    | Some frame ->
       t.received <- t.received + 1;
       t.partial_since <- None;
       if t.state <> Greeting then t.silent_at <- now + (3 * t.heartbeat);
       if Message.may_skip frame.kind then t.skipped <- t.skipped + 1 else take t ~now frame;
       take_frames t ~now

(* Without a clock the environment is any time, by which nothing is overdue and nothing due. *)
let renewal t =
  match t.memory.in_force with
  | Ok ({ refresh_by = Some by; _ } as root) ->
     let { Meaning.earlier; later; _ } = t.config.environment () in
     if Trust.is_overdue root ~earliest:earlier then Overdue
     else if later < max_int && later >= by - notice_seconds then Due
     else Good
  | _ -> Good

let look t ~now =
  let renewal = renewal t in
  if renewal <> t.memory.told_root then begin
    t.memory.told_root <- renewal;
    match renewal with
    | Good -> ()
    | Due -> tell t "the root is to be followed by another within 30 days"
    | Overdue -> tell t "the root is overdue: another was to follow it by now"
  end;
  let standing = standing t.memory t.config ~now in
  if standing <> t.memory.told then begin
    t.memory.told <- standing;
    match standing with
    | Fresh -> tell t "the active release is the newest"
    | Unsure -> ()
    | Stale -> tell t "stale: nothing confirms that the active release is the newest"
  end

let receive t ~now bytes =
  if t.state <> Over then begin
    Buffer.add_string t.input bytes;
    (try take_frames t ~now with Cursor.Refused (code, text) -> bye t code text);
    if t.partial_since = None && Buffer.length t.input > t.read then t.partial_since <- Some now;
    look t ~now
  end;
  flush t

let deadline t =
  let window = match t.state with Receiving (_, w) | Draining w -> w.ends | _ -> max_int in
  let frame = Option.fold ~none:max_int ~some:(fun since -> since + frame_ms) t.partial_since in
  match t.state with
  | Over -> max_int
  | Greeting -> min t.silent_at frame
  | _ ->
     let stale = if t.memory.told = Stale then max_int else stale_at t.memory t.config in
     List.fold_left min t.silent_at [ window; frame; t.ping_at; t.known.ask_at; stale ]

let ping t ~now fields = control t 15 (in_force t ~now @ fields)

let tick t ~now =
  if t.state <> Over then begin
    look t ~now;
    if t.state <> Greeting && now >= t.known.ask_at then begin
      ping t ~now [ ask t ~now ];
      t.ping_at <- now + t.heartbeat
    end
    else if t.state <> Greeting && now >= t.ping_at then begin
      ping t ~now [];
      t.ping_at <- (if t.ping_at + t.heartbeat > now then t.ping_at else now) + t.heartbeat
    end
    else if now >= deadline t then bye t "timeout" "nothing came for too long"
  end;
  flush t

let disconnected t =
  if t.state <> Over then begin
    if t.read < Buffer.length t.input then tell t "the connection ended within a frame";
    close t ~is_good:true "disconnected"
  end;
  flush t

let stop t =
  if t.state <> Over then bye t "shutting-down" "the subscriber stops";
  flush t
