(* Takes a recorded session, `bounds TRUST FILE`, and writes what that cost and what verdicts cost, as a line of
   JSON: figures of Gc and of processor time. *)

open Rulecast

let mib words = float (words * (Sys.word_size / 8)) /. 1_048_576.
let heap_top () = mib (Gc.quick_stat ()).top_heap_words

(* Runs a decoder, and the longest that it kept others from running, in seconds. *)
let longest_pause = ref 0.

let run_in_slices work =
  let began = ref (Sys.time ()) in
  let look () =
    let now = Sys.time () in
    longest_pause := Float.max !longest_pause (now -. !began);
    began := now
  in
  let value = Pause.schedule (fun go_on -> look (); go_on ()) work in
  look ();
  value

(* Of some addresses half begin a prefix of the first list or policy that has any, by turns. *)
let addresses parts count =
  let column (_, part) =
    match part with
    | Part.Prefixes { v4; v6 } -> Some (if Column.count v4 > 0 then v4 else v6)
    | Policy { egress; _ } when Rules.count egress > 1 ->
       Some (Column.of_seq V4 (Seq.init (Rules.count egress) (Rules.prefix egress)))
    | _ -> None
  in
  let column = List.find_map column parts in
  let state = Random.State.make [| 7 |] in
  let random () = Random.State.full_int state 0x1_0000_0000 in
  Array.init count (fun i ->
     match column with
     | Some column when i land 1 = 0 ->
        (column.family, (Column.get column (Random.State.int state (Column.count column))).address)
     | Some { family = V6; _ } ->
        (Address.V6, Address.of_words (fun w -> if w = 0 then 0x20010db8 else random ()))
     | _ -> (Address.V4, { Address.zero with a = random () }))

let packets = 65_536

(* Nanoseconds of a verdict, the best of five; and words that one allocates. *)
let verdicts (release : Session.release) =
  let parts = Part.Map.bindings (Part.Map.map (fun { Delta.part; _ } -> part) release.parts) in
  let source = { Address.zero with a = 0x0a890005 } in
  let packet i (family, dst) =
    let proto = if i land 2 = 0 then 6 else 17 in
    {
      Meaning.direction = Egress;
      family;
      src = (if family = Address.V4 then Some source else None);
      dst;
      proto;
      port = Some (i land 1023);
      icmp_type = None;
    }
  in
  let all = Array.mapi packet (addresses parts packets) in
  let environment = Recorded.config.environment () in
  let dropped = ref 0 in
  let once () =
    let began = Sys.time () in
    for _ = 1 to 8 do
      for i = 0 to packets - 1 do
        match Table.judge release.table environment (Array.unsafe_get all i) with
        | Drop -> incr dropped
        | Accept | Nobody -> ()
      done
    done;
    (Sys.time () -. began) *. 1e9 /. float (8 * packets)
  in
  let before = Gc.minor_words () in
  let best = List.fold_left (fun best _ -> Float.min best (once ())) infinity [ 1; 2; 3; 4; 5 ] in
  let words = (Gc.minor_words () -. before) /. float (5 * 8 * packets) in
  (best, words, float !dropped /. float (5 * 8 * packets))

let () =
  Gc.set { (Gc.get ()) with space_overhead = 40 };
  let memory, session = Recorded.subscriber Sys.argv.(1) in
  let active = ref [] and failed = ref "" in
  let take = function
    | Session.Flip release -> active := (release.manifest.version, Sys.time (), heap_top ()) :: !active
    | Closed { code; _ } -> failed := code
    | Tell text when String.starts_with ~prefix:"a release is refused" text -> failed := text
    | Send _ | Tell _ -> ()
  in
  let began = ref 0. in
  In_channel.with_open_bin Sys.argv.(2) (fun file ->
     let piece = Bytes.create 1024 in
     began := Sys.time ();
     let rec feed () =
       match In_channel.input file piece 0 1024 with
       | 0 -> ()
       | n ->
          let bytes = Bytes.sub_string piece 0 n in
          List.iter take (run_in_slices (fun () -> Session.receive session ~now:0 bytes));
          feed ()
     in
     feed ());
  if !failed <> "" then prerr_endline !failed;
  let release = Option.get (Session.active memory) in
  let flips = List.rev !active in
  Gc.compact ();
  let rest = mib (Gc.stat ()).live_words in
  let ns, words, dropped = verdicts release in
  let before = ref !began in
  let flip (version, at, top) =
    let cpu = at -. !before in
    before := at;
    Printf.sprintf "{\"version\":%d,\"cpuS\":%.4f,\"heapTopMib\":%.2f}" version cpu top
  in
  Printf.printf
    "{\"flips\":[%s],\"restMib\":%.2f,\"longestPauseMs\":%.2f,\"verdictNs\":%.0f,\"verdictWords\":%.3f,\"dropped\":%.3f}\n"
    (String.concat "," (List.map flip flips))
    rest (1000. *. !longest_pause) ns words dropped
