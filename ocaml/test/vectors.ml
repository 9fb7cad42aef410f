(* Runs the library over the protocol's vectors: `vectors DIRECTORY [FILE]`. It writes a line for each file, and one
   for each thing that is not as a vector says; it ends with 1 if there was any. *)

open Rulecast
open Document
open Check

(* ── Files ── *)

let frames json =
  each "valid" json (fun name v ->
     let bytes = hex "frameHex" v and sequence = number "sequence" v in
     let frame =
       { Frame.kind = number "type" v; transaction = number "transaction" v; body = hex "bodyHex" v }
     in
     expect name (Some (frame, String.length bytes)) (fun () -> Frame.read ~sequence bytes 0);
     expect name bytes (fun () -> Frame.write ~sequence frame));
  each "invalid" json (fun name v ->
     let bytes = hex "bytesHex" v in
     expect_refused name (text "code" v) (fun () -> Frame.read_all ~sequence:(number "sequence" v) bytes))

let rec sorted = function
  | Message.Map fields ->
     let is_read (key, _) = not (String.starts_with ~prefix:"+" key) in
     Message.Map
       (List.sort compare (List.map (fun (key, said) -> (key, sorted said)) (List.filter is_read fields)))
  | List items -> List (List.map sorted items)
  | said -> said

(* From type 64 on they are rulectl's, of which only the subset of MessagePack is judged here. From 21 to 25
   they are of relays, which are not read here. *)
let messages json =
  let each section json judge =
    each section json (fun name v ->
       let kind = number "type" v in
       if kind < 21 || kind > 25 then judge name v)
  in
  let said v = List.filter (fun (key, _) -> key <> "kind") (fields "message" v) in
  let read name v =
    let kind = number "type" v and body = hex "bodyHex" v in
    let wanted = match value_of (`Assoc (said v)) with Map fields -> fields | _ -> [] in
    if kind >= 64 then check name (Message.body_of (Message.fields_of body) <> "")
    else
      expect name true (fun () ->
         match Message.read kind body with
         | Control found -> sorted (Map found) = sorted (Map wanted)
         | Signed (signatures, rest) ->
            let count = String.make 1 (Char.chr (List.length signatures)) in
            let signed =
              count ^ String.concat "" (List.map (fun (id, signature) -> id ^ signature) signatures)
            in
            sorted (Map wanted) = Map [ ("content", Octets rest); ("signatures", Octets signed) ]
         | Chunk bytes -> wanted = [ ("bytes", Octets bytes) ])
  in
  each "valid" json (fun name v ->
     read name v;
     let kind = number "type" v and body = hex "bodyHex" v in
     if kind >= 64 || Message.session_fields kind <> None then
       expect (name ^ ", written") body (fun () -> Message.body_of (Message.fields_of body)));
  each "validToRead" json read;
  each "invalid" json (fun name v ->
     let kind = number "type" v and body = hex "bodyHex" v and code = text "code" v in
     if kind < 64 || kind >= 128 then expect_refused name code (fun () -> Message.read kind body)
     else if code <> "bad-message" && code <> "unknown-type" then
       expect_refused name code (fun () -> Message.fields_of body))

let kinds = [ ("list", 1); ("names", 2); ("policy", 3); ("resolutions", 4); ("unmatched", 5) ]

let large kind =
  let ipv4 n = Address.to_string V4 { Address.zero with a = n land 0xffffffff } ^ "/32" in
  match kind with
  | "list" ->
     let v6 i = Printf.sprintf "2001:db8:%x::/48" (i * 40503 land 0xffff) in
     Part.Prefixes (set (List.init 5000 (fun i -> ipv4 (i * 2654435761)) @ List.init 1000 v6))
  | "names" ->
     Names { resolve = 0; keys = keys (List.init 2000 (Printf.sprintf "n%d.example")); exceptions = Names.no_keys }
  | "policy" ->
     let line i = "action=drop dst4=" ^ ipv4 (0x0a000000 + (7 * i)) in
     policy ~default:Drop (`Assoc [ ("egress", `List (List.init 4000 (fun i -> `String (line i)))) ])
  | _ ->
     let of_name i = (Printf.sprintf "n%d.example" i, `List [ `String (ipv4 (0x0a000000 + i)) ]) in
     resolutions (List.init 300 of_name)

let canonical json =
  each "parts" json (fun name v ->
     let (kind, _), part = part (member "part" v) in
     let bytes = hex "hex" v in
     expect name part (fun () -> whole "bad-canonical" bytes (fun cursor -> Part.read cursor kind));
     expect name bytes (fun () -> Part.canonical part);
     expect name (text "digest" v) (fun () -> to_hex (Part.digest part)));
  List.iter
    (fun v ->
      expect (text "about" v) (text "digest" v) (fun () -> to_hex (Part.digest (large (text "kind" v)))))
    (J.to_list (member "large" json));
  each "refused" json (fun name v ->
     let kind = List.assoc (text "kind" v) kinds in
     expect_refused name (text "code" v) (fun () ->
        Part.read (Cursor.of_string ~code:"bad-canonical" (hex "hex" v)) kind))

let room free = { Entries.free; over = "over-limit" }
let entries_max = 16_777_216

(* The decimal of 128 bits. *)
let decimal said =
  let times_10_and digit (x : Address.t) =
    let carry = ref digit in
    let word i =
      let value = (Address.word x i * 10) + !carry in
      carry := value lsr 32;
      value land 0xffffffff
    in
    let d = word 3 in
    let c = word 2 in
    let b = word 1 in
    { Address.a = word 0; b; c; d }
  in
  String.fold_left (fun x digit -> times_10_and (Char.code digit - Char.code '0') x) Address.zero said

let entries json =
  let numbers family cursor =
    let found = ref [] in
    Entries.sequence cursor family (room entries_max) ~start:ignore (fun { w0 = a; w1 = b; w2 = c; w3 = d } ->
       found := { Address.a; b; c; d } :: !found);
    List.rev !found
  in
  let column family cursor = Entries.entries cursor family (room entries_max) in
  each "sequences" json (fun name v ->
     let family = if number "words" v = 1 then Address.V4 else V6 in
     expect name
       (List.map decimal (texts "numbers" v))
       (fun () -> whole "bad-delta" (hex "hex" v) (numbers family)));
  each "columns" json (fun name v ->
     let family = if number "family" v = 4 then Address.V4 else V6 in
     expect name
       (Document.column family (texts "prefixes" v))
       (fun () -> whole "bad-delta" (hex "hex" v) (column family)));
  each "refused" json (fun name v ->
     expect_refused name (text "code" v) (fun () ->
        whole "bad-delta" (hex "hex" v) (fun cursor ->
           match text "kind" v with
           | "sequence" -> ignore (numbers V4 cursor)
           | "column4" -> ignore (column V4 cursor)
           | _ -> ignore (column V6 cursor))))

let names json =
  let list v resolve = { (Document.names v) with resolve } in
  each "lists" json (fun name v ->
     expect name
       (Document.names v)
       (fun () -> whole "bad-delta" (hex "hex" v) (fun cursor -> Names.put cursor (room entries_max))));
  each "edits" json (fun name v ->
     expect name
       (list (member "after" v) (resolve v))
       (fun () ->
         whole "bad-delta" (hex "hex" v) (fun cursor ->
            Names.patch cursor (list (member "before" v) 0) (room entries_max))));
  each "refused" json (fun name v ->
     expect_refused name (text "code" v) (fun () ->
        whole "bad-delta" (hex "hex" v) (fun cursor ->
           if member "before" v = `Null then Names.put cursor (room 8)
           else Names.patch cursor (list (member "before" v) 0) (room 8))))

let delta json =
  each "deltas" json (fun name v ->
     let before = rule_set (member "before" v) and bytes = hex "hex" v in
     expect name (rule_set (member "after" v)) (fun () -> Delta.apply before bytes);
     let is_refused length =
       match result (fun () -> Delta.apply before (String.sub bytes 0 length)) with
       | Ok _ -> false
       | Error _ -> true
     in
     check (name ^ ", cut anywhere") (List.for_all is_refused (List.init (String.length bytes) Fun.id));
     (* Whatever a flipped bit makes of it, it is made or refused; another exception ends all. *)
     for bit = 0 to (8 * String.length bytes) - 1 do
       let flipped = Bytes.of_string bytes in
       Bytes.set_uint8 flipped (bit / 8) (Bytes.get_uint8 flipped (bit / 8) lxor (1 lsl (bit mod 8)));
       ignore (result (fun () -> Delta.apply before (Bytes.to_string flipped)))
     done);
  let refused = member "refused" json in
  let before = rule_set (member "before" refused) in
  each "deltas" refused (fun name v ->
     expect_refused name (text "code" v) (fun () -> Delta.apply before (hex "hex" v)))

let budget json =
  let totals v =
    {
      Delta.parts = number "parts" v;
      prefixes = number "prefixes" v;
      others = number "others" v;
      bytes = number "bytes" v;
    }
  in
  (* Units, which are counted by eighths. *)
  let eighths key v = int_of_float (8. *. J.to_number (member key v)) in
  List.iteri
    (fun i v ->
      let base = totals (member "base" v) and result = totals (member "result" v) in
      let between = member "between" v in
      let wanted = (eighths "work" v, number "stream" v, (number "entries" between, number "bytes" between)) in
      let found = (Delta.work_max base result, Delta.stream_max result, Delta.between base result) in
      check (Printf.sprintf "bounds %d" i) (found = wanted))
    (J.to_list (member "bounds" json));
  each "cases" json (fun name v ->
     let base =
       match of_hex (text "base" v) with
       | "" -> Part.Map.empty
       | bytes ->
          List.fold_left
            (fun before cursor -> Delta.apply before (Cursor.rest cursor))
            Part.Map.empty (Delta.deltas_of bytes)
     in
     let result = totals (member "result" v) and stream = of_hex (text "stream" v) in
     let most = number "entriesMax" v in
     check (name ^ ", its bound") (eighths "most" v = Delta.work_max (Delta.totals_of_rule_set base) result);
     if member "work" v <> `Null then
       expect (name ^ ", its work") (eighths "work" v) (fun () ->
          let meter = Cursor.unlimited () in
          let step before (cursor : Cursor.t) = Delta.apply ~meter before (Cursor.rest cursor) in
          ignore (List.fold_left step base (Delta.deltas_of stream));
          max_int - meter.eighths);
     let made () = ignore (Delta.chained ~most ~result base stream) in
     match member "code" v with
     | `String code -> expect_refused name code made
     | _ -> expect name () made)

let manifest json =
  let key = hex "publicKey" json in
  each "manifests" json (fun name v ->
     let said = member "manifest" v in
     let wanted =
       Trust.
         {
           manifest_hash = hex "hash" v;
           of_lineage = hex "lineage" said;
           epoch = number "epoch" said;
           version = number "version" said;
           previous = number "previousVersion" said;
           created_ms = number "createdAtMs" said;
           parts = number "parts" said;
           prefixes = number "prefixes" said;
           others = number "others" said;
           bytes = number "bytes" said;
           catalogue = hex "catalogue" said;
         }
     in
     let bytes = hex "hex" v in
     expect name wanted (fun () -> Trust.manifest_of bytes);
     let signatures = whole "bad-message" (hex "signatures" v) Trust.signatures in
     check (name ^ ", signed") (Trust.signers signatures [ key ] bytes = 1);
     check (name ^ ", spoiled") (Trust.signers signatures [ key ] (bytes ^ "\000") = 0));
  each "refused" json (fun name v ->
     expect_refused name (text "code" v) (fun () -> Trust.manifest_of (hex "hex" v)));
  each "catalogues" json (fun name v ->
     let record r =
       ( (number "kind" r, text "name" r),
         { Part.count = number "count" r; bytes = number "bytes" r; digest = hex "digest" r } )
     in
     let records = List.map record (J.to_list (member "records" v)) in
     expect name (text "digest" v) (fun () -> to_hex (Part.catalogue_digest records));
     let counts =
       List.to_seq (List.map (fun (key, { Part.count; bytes; _ }) -> (key, (count, bytes))) records)
     in
     let wanted = (number "parts" v, number "prefixes" v, number "others" v, number "bytes" v) in
     expect name wanted (fun () -> Part.totals counts))

let trust json =
  let part key = member key json in
  let role v =
    { Trust.threshold = number "threshold" v; keys = List.map of_hex (texts "keys" v) }
  in
  let block v = whole "bad-message" (hex "signatures" v) Trust.signatures in
  let link v = (block v, hex "content" v) in
  let line text = match Trust.trust_of text with trust -> Some trust | exception Invalid_argument _ -> None in
  each "valid" (part "lines") (fun name v ->
     expect name (Some (hex "lineage" v, hex "root" v)) (fun () -> line (text "line" v)));
  each "invalid" (part "lines") (fun name v -> expect name None (fun () -> line (text "line" v)));
  let message = hex "content" (part "signatures") in
  each "judged" (part "signatures") (fun name v ->
     let { Trust.threshold; keys } = role v and signatures = block v in
     expect name (number "signers" v) (fun () -> Trust.signers signatures keys message);
     expect name
       (member "isSigned" v = `Bool true)
       (fun () -> Trust.role_signed { threshold; keys } signatures message));
  each "refused" (part "signatures") (fun name v ->
     expect_refused name (text "code" v) (fun () ->
        Trust.signatures (Cursor.of_string ~code:"bad-message" (hex "hex" v))));
  each "valid" (part "roots") (fun name v ->
     let said = member "root" v in
     let wanted =
       {
         Trust.hash = hex "hash" v;
         lineage = hex "lineage" said;
         number = number "number" said;
         epoch_floor = number "epochFloor" said;
         epoch_ceiling = number "epochCeiling" said;
         refresh_by = J.to_int_option (member "refreshBy" said);
         root_role = role (member "root" said);
         release_role = role (member "release" said);
         freshness_role = role (member "freshness" said);
       }
     in
     let bytes = hex "hex" v in
     expect name wanted (fun () -> Trust.root_of bytes);
     let is_refused length = Result.is_error (result (fun () -> Trust.root_of (String.sub bytes 0 length))) in
     check (name ^ ", cut anywhere") (List.for_all is_refused (List.init (String.length bytes) Fun.id)));
  each "refused" (part "roots") (fun name v ->
     expect_refused name (text "code" v) (fun () -> Trust.root_of (hex "hex" v)));
  each "chains" json (fun name v ->
     let lineage, first = Trust.trust_of (text "trust" v) in
     let take in_force v = Ok (Trust.next_root ~lineage ~in_force (link v)) in
     let roots = J.to_list (member "roots" v) in
     let before = List.filteri (fun i _ -> i < List.length roots - 1) roots in
     let in_force = List.fold_left take (Error first) before in
     let last () = Result.get_ok (take in_force (List.nth roots (List.length before))) in
     match member "code" v with
     | `String code -> expect_refused name code last
     | _ -> expect name (number "inForce" v) (fun () -> (last ()).Trust.number));
  let dated refresh_by = { (Trust.root_of (snd (link (member "root" (part "offers"))))) with refresh_by } in
  each "renewals" json (fun name v ->
     let root = dated (J.to_int_option (member "refreshBy" v)) in
     expect name
       (text "renewal" v = "overdue")
       (fun () -> Trust.is_overdue root ~earliest:(number "earliest" v)));
  let has_both (_, text) =
    let hashes = List.filter (fun word -> String.length word = 64) (String.split_on_char ' ' text) in
    List.length (List.sort_uniq compare hashes) = 2
  in
  let named v = { Freshness.epoch = number "epoch" v; version = number "version" v; hash = hex "hash" v } in
  let root = dated None in
  each "judged" (part "offers") (fun name v ->
     let floor = Option.bind (J.to_option link (member "floor" v)) (Trust.standing ~root) in
     let release = J.to_option named (member "stated" v) in
     let newest = Option.map (fun release -> { Freshness.release; as_of = 0; had = None }) release in
     let offered () =
       let manifest = Trust.offered ~root ~floor (link (member "offer" v)) in
       let offer = Freshness.of_manifest manifest and known = { Freshness.nothing with newest } in
       match Freshness.fault_of known ~offer ~has_floor:(floor <> None) ~since:0 with
       | Some (code, text) -> Cursor.refuse code text
       | None -> manifest.manifest_hash
     in
     match member "code" v with
     | `String code ->
        expect_refused name code offered;
        if code = "forked" then
          check (name ^ ", with both hashes") (Result.fold ~ok:(fun _ -> false) ~error:has_both (result offered))
     | _ -> expect name (Trust.sha256 (hex "content" (member "offer" v))) offered);
  let statements = part "statements" in
  each "valid" statements (fun name v ->
     let said = member "statement" v in
     let wanted =
       {
         Freshness.of_nonce = hex "nonce" said;
         of_lineage = hex "lineage" said;
         of_root = hex "root" said;
         states = named said;
       }
     in
     expect name wanted (fun () -> Freshness.statement_of (hex "hex" v)));
  each "invalid" statements (fun name v ->
     expect_refused name "bad-message" (fun () -> Freshness.statement_of (hex "hex" v)));
  let root = Trust.root_of (snd (link (member "root" statements))) in
  let floor = Some (named (member "floor" statements)) in
  let ask known nonce = Freshness.ask known ~nonce:(of_hex nonce) ~least:floor ~now:0 in
  let known = List.fold_left ask Freshness.nothing (texts "nonces" statements) in
  each "judged" statements (fun name v ->
     expect name (text "outcome" v) (fun () ->
        match Freshness.judge known ~root ~floor ~since:0 (link v) with
        | Not_asked -> "not-asked"
        | Unsigned _ -> "bad-signature"
        | Doubtful (_, "forked", text) when not (has_both ("", text)) -> "forked, without both hashes"
        | Doubtful (_, code, _) -> code
        | Believed _ -> "believed"))

let soundness json =
  let judged v () =
    Meaning.check_sound (Part.Map.map (fun { Delta.part; _ } -> part) (rule_set (member "parts" v)))
  in
  each "sound" json (fun name v -> expect name () (judged v));
  each "unsound" json (fun name v -> expect_refused name "bad-rule-set" (judged v))

let verdicts json =
  List.iter
    (fun case ->
      let title = text "title" case in
      let parts = document (member "document" case) in
      expect title () (fun () -> Meaning.check_sound parts);
      let table = Table.of_parts parts and environment = environment (member "environment" case) in
      let explain = if member "flow" case = `Bool true then Table.explain_flow else Table.explain in
      List.iter
        (fun (said, wanted) ->
          incr checks;
          let found = verdict_text (explain table environment (packet said)) in
          if `String found <> wanted then
            fail title (Printf.sprintf "%s: %s, not %s" said found (J.to_string wanted)))
        (fields "verdicts" case))
    (J.to_list (member "cases" json))

let () =
  let files =
    [
      ("frames", frames);
      ("messages", messages);
      ("canonical", canonical);
      ("entries", entries);
      ("names", names);
      ("delta", delta);
      ("budget", budget);
      ("manifest", manifest);
      ("trust", trust);
      ("session", States.recorded_session);
      ("soundness", soundness);
      ("verdicts", verdicts);
      ("verdicts-random", verdicts);
      ("states", States.run);
    ]
  in
  let run (file, judge) =
    let before = !checks in
    judge (Yojson.Basic.from_file (Filename.concat Sys.argv.(1) (file ^ ".json")));
    Printf.printf "%s: %d checks\n" file (!checks - before)
  in
  let is_wanted (file, _) = Array.length Sys.argv < 3 || file = Sys.argv.(2) in
  List.iter run (List.filter is_wanted files);
  if !failures > 0 then exit 1
