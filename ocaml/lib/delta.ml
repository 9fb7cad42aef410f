(* From one rule set to the next: CONTENT.md "Delta and snapshot", "Budget", WIRE.md "Transfers". *)

open Cursor

(* A part with its record, which is made once. *)
type held = { part : Part.t; record : Part.record; uncounted : int }
type rule_set = held Part.Map.t

let hold part = { part; record = Part.record_of part; uncounted = Part.uncounted part }
let weight held = held.record.count + held.uncounted

type change = { op : int; key : int * string; count : int; bytes : int; body : Cursor.t }

let inflated_max = 67_108_864

(* packed(…): what it holds, if that is no more than the part's claims allow. *)
let unpacked cursor ~code ~most =
  match u8 cursor with
  | 0 ->
     spend cursor 1 (left cursor);
     of_string ~meter:cursor.meter ~code (rest cursor)
  | 1 when cursor.meter.inflates ->
     let length = u32 cursor in
     if length > inflated_max || length > 1032 * left cursor then bad cursor "it inflates too far";
     if length > most then refuse "bad-count" "it inflates to more than its claim allows";
     spend cursor 1 length;
     of_string ~meter:cursor.meter ~code (Inflate.inflate cursor ~length)
  | _ -> bad cursor "a packing"

let all cursor read =
  let value = read cursor in
  finish cursor;
  value

(* ── Bodies ── *)

let spliced cursor ~is_ingress rules =
  let count = u32 cursor in
  spend cursor 128 count;
  if count = 0 then (rules, 0)
  else begin
    let builder = Rules.builder () in
    let add = Rules.adding builder rules and at = ref 0 in
    for i = 0 to count - 1 do
      let keep = varint cursor in
      let drop = varint cursor in
      if !at + keep + drop > Rules.count rules then refuse "bad-base" "a splice beyond the rules";
      add !at (!at + keep);
      let before = Rules.built_count builder in
      Rules.read_runs builder cursor ~is_ingress ~column:Column.read_planes;
      if keep = 0 && i > 0 then bad cursor "a later splice that keeps nothing";
      if drop = 0 && Rules.built_count builder = before then bad cursor "a splice that does nothing";
      at := !at + keep + drop
    done;
    add !at (Rules.count rules);
    (Rules.built builder, count)
  end

let patched_policy cursor (old : Part.policy) =
  let flags = u8 cursor in
  if flags > 3 then bad cursor "a flag of a patch";
  let base, prefixes =
    if flags land 1 = 0 then (old.base, old.prefixes)
    else
      let base = Part.read_base cursor in
      (base, Column.read_set cursor)
  in
  let egress, a = spliced cursor ~is_ingress:false old.egress in
  let ingress, b = spliced cursor ~is_ingress:true old.ingress in
  let exceptions rules ~is_ingress =
    if flags land 2 = 0 then (rules, 0) else spliced cursor ~is_ingress rules
  in
  let egress_exceptions, c = exceptions old.egress_exceptions ~is_ingress:false in
  let ingress_exceptions, d = exceptions old.ingress_exceptions ~is_ingress:true in
  finish cursor;
  if flags land 2 > 0 && c + d = 0 then bad cursor "exceptions without a splice";
  if a + b + c + d = 0 && base = old.base && prefixes = old.prefixes then bad cursor "nothing changes";
  Part.Policy { base; prefixes; egress; ingress; egress_exceptions; ingress_exceptions }

let patched_resolutions cursor old =
  let changes =
    Part.read_by_name cursor (fun cursor -> if flag cursor then Some (Column.read_set cursor) else None)
  in
  finish cursor;
  if changes = [] then bad cursor "a patch that changes nothing";
  let lacks (name, set) = set = None && not (List.mem_assoc name old) in
  if List.exists lacks changes then refuse "bad-base" "a name that is not resolved";
  let changed = Hashtbl.of_seq (List.to_seq changes) in
  let kept = List.filter (fun (name, _) -> not (Hashtbl.mem changed name)) old in
  let added = List.filter_map (fun (name, set) -> Option.map (fun set -> (name, set)) set) changes in
  let by_key (a, _) (b, _) = compare (Names.key_of_name a) (Names.key_of_name b) in
  Part.Resolutions (List.merge by_key kept added)

let part_of { op; key = kind, _; count; bytes; body } (before : held option) =
  let old_count, old_bytes =
    match before with Some { record; _ } -> (record.count, record.bytes) | None -> (0, 0)
  in
  let room = Entries.{ free = count; over = "bad-count" } in
  let each = match kind with 2 -> 5 | 3 -> 4382 | _ -> 255 in
  let most = 1024 + bytes + old_bytes + (each * (count + old_count)) in
  let unpack ~code = unpacked body ~code ~most in
  let patch = if op = 2 then before else None in
  Option.iter (fun held -> spend body 2 (weight held)) patch;
  let part =
    match (kind, Option.map (fun held -> held.part) patch) with
    | 1, None ->
       let v4 = Entries.entries body V4 room in
       Part.Prefixes { v4; v6 = Entries.entries body V6 room }
    | 1, Some (Prefixes { v4; v6 }) ->
       let v4, changed4 = Entries.patched body v4 room in
       let v6, changed6 = Entries.patched body v6 room in
       if changed4 + changed6 = 0 then bad body "a patch that changes nothing";
       Prefixes { v4; v6 }
    | 2, None -> Names (all (unpack ~code:body.code) (fun body -> Names.put ~most body room))
    | 2, Some (Names old) -> Names (all (unpack ~code:body.code) (fun body -> Names.patch ~most body old room))
    | (3 | 4), None -> Part.read ~column:Column.read_planes (unpack ~code:"bad-canonical") kind
    | 3, Some (Policy old) -> patched_policy (unpack ~code:body.code) old
    | 4, Some (Resolutions old) -> patched_resolutions (unpack ~code:body.code) old
    | 5, None -> Unmatched (Rule.action_of (flag body))
    | _ -> bad body "a patch of what has none"
  in
  finish body;
  if part = Resolutions [] then bad body "no name is left";
  let held = hold part in
  if held.record.count <> count || held.record.bytes <> bytes then refuse "bad-count" "not what its claim says";
  spend body 2 (weight held);
  held

(* ── Deltas ── *)

let read_change cursor parts at last =
  let op = u8 cursor in
  if op > 3 then bad cursor "an op";
  let key, at =
    if op = 3 then begin
      let kind = u8 cursor in
      let key = (kind, text8 cursor) in
      if not (Part.is_key key) then bad cursor "no part has this name";
      (key, at)
    end
    else begin
      let at = at + varint cursor in
      if at >= Array.length parts then refuse "bad-base" "a place beyond the parts";
      (fst parts.(at), at + 1)
    end
  in
  if Option.fold ~none:false ~some:(fun last -> Part.Key.compare last key >= 0) last then
    bad cursor "changes that do not ascend";
  if op = 0 then ({ op; key; count = 0; bytes = 0; body = sub cursor 0 }, at)
  else begin
    let old = if op = 3 then None else Some (snd parts.(at - 1)) in
    let claimed was =
      let claim = was + difference cursor in
      if claim < 0 || claim > safe_max then bad cursor "a claim of less than nothing";
      claim
    in
    let count = claimed (Option.fold ~none:0 ~some:(fun held -> held.record.count) old) in
    let bytes = claimed (Option.fold ~none:0 ~some:(fun held -> held.record.bytes) old) in
    ({ op; key; count; bytes; body = sub cursor (varint cursor) }, at)
  end

(* The changes of a delta, of which no body is looked into yet. *)
let changes_of cursor (before : rule_set) =
  let parts = Array.of_seq (Part.Map.to_seq before) in
  let rec go n at last done_ =
    if n = 0 then List.rev done_
    else begin
      let change, at = read_change cursor parts at last in
      if change.op = 3 && Part.Map.mem change.key before then refuse "bad-base" "an added part that is there";
      go (n - 1) at (Some change.key) (change :: done_)
    end
  in
  spend cursor 64 (Array.length parts);
  let count = varint cursor in
  spend cursor 128 count;
  let changes = go count 0 None [] in
  finish cursor;
  changes

(* The counts and bytes of the parts that a delta leaves, by its claims. *)
let claimed (before : rule_set) changes =
  let was = Part.Map.map (fun { record; _ } -> (record.Part.count, record.bytes)) before in
  let apply counts { op; key; count; bytes; _ } =
    if op = 0 then Part.Map.remove key counts else Part.Map.add key (count, bytes) counts
  in
  List.fold_left apply was changes

(* Ours: prefixes of policies and addresses of names in all; CONTENT.md "Limits". *)
let uncounted_max = 2_097_152

(* What is made by some changes, of which `entries` are taken with all that counts do not say; more is refused
   with `over`. *)
let applied ~entries ~over before changes =
  let add (sum, uncounted) held =
    let sum = sum + weight held and uncounted = uncounted + held.uncounted in
    if sum > entries || uncounted > uncounted_max then refuse over "more entries in all than are taken";
    (sum, uncounted)
  in
  let changed = List.fold_left (fun all change -> Part.Map.add change.key () all) Part.Map.empty changes in
  let kept = Part.Map.filter (fun key _ -> not (Part.Map.mem key changed)) before in
  let sums = Part.Map.fold (fun _ held sums -> add sums held) kept (0, 0) in
  let apply (parts, sums) change =
    Pause.pause ();
    if change.op = 0 then (parts, sums)
    else
      let held = part_of change (Part.Map.find_opt change.key before) in
      (Part.Map.add change.key held parts, add sums held)
  in
  fst (List.fold_left apply (kept, sums) changes)

let check_lists rule_set =
  let is_twice (kind, name) _ = kind = 1 && Part.Map.mem (2, name) rule_set in
  if Part.Map.exists is_twice rule_set then refuse "bad-delta" "two lists of one name"

(* One delta, without bounds. *)
let apply ?meter before bytes =
  let changes = changes_of (of_string ?meter ~code:"bad-delta" bytes) before in
  let result = applied ~entries:max_int ~over:"over-limit" before changes in
  check_lists result;
  result

let steps_max = 1024

let deltas_of ?meter stream =
  let cursor = of_string ?meter ~code:"bad-delta" stream in
  let rec go n done_ =
    if left cursor = 0 then List.rev done_
    else if n = steps_max then refuse "over-limit" "more than 1,024 deltas"
    else go (n + 1) (sub cursor (varint cursor) :: done_)
  in
  match go 0 [] with [] -> bad cursor "no delta" | deltas -> deltas

(* ── Budget ── *)

(* What a manifest says of a release, or what its parts are together. *)
type totals = { parts : int; prefixes : int; others : int; bytes : int }

let totals_of counts =
  let parts, prefixes, others, bytes = Part.totals (Part.Map.to_seq counts) in
  { parts; prefixes; others; bytes }

let totals_of_rule_set rule_set =
  totals_of (Part.Map.map (fun { record; _ } -> (record.Part.count, record.bytes)) rule_set)

let signed ({ parts; prefixes; others; bytes; _ } : Trust.manifest) = { parts; prefixes; others; bytes }

(* What a stream may take that leads to a release. *)
let stream_max { parts; bytes; _ } = 131_072 + (1024 * parts) + (4 * bytes)

(* Entries and bytes of what is made on the way. *)
let between base result =
  let entries { prefixes; others; _ } = prefixes + others in
  (65_536 + (2 * max (entries base) (entries result)), 4_194_304 + (2 * max base.bytes result.bytes))

(* In eighths of units. *)
let work_max base result =
  let snapshot { parts; prefixes; others; bytes } =
    (192 * parts) + (132 * (prefixes + others)) + (3 * max 0 (bytes - (5 * prefixes)))
  in
  (8 * 8_388_608) + snapshot base + snapshot result

let check_totals ~result totals =
  if totals.parts <> result.parts then refuse "bad-rule-set" "another number of parts";
  if totals <> result then refuse "bad-count" "other totals"

(* What a stream makes of a base within its budget. Before a body of a delta is decoded, its claims are checked;
   those of the last are what was signed. *)
let chained ?(inflates = true) ~most ~result base stream =
  let of_base = totals_of_rule_set base in
  let entries_max, bytes_max = between of_base result in
  let deltas = deltas_of ~meter:{ eighths = work_max of_base result; inflates } stream in
  if String.length stream > stream_max result then refuse "over-limit" "a stream beyond its budget";
  let rec go before = function
    | [] -> before
    | cursor :: rest ->
       Pause.pause ();
       let changes = changes_of cursor before in
       let totals = totals_of (claimed before changes) in
       let entries = totals.prefixes + totals.others in
       let over = if rest = [] then "over-limit" else "over-budget" in
       if totals.parts > 65_536 then refuse "over-limit" "too many parts";
       if rest = [] then check_totals ~result totals
       else if entries > entries_max || totals.bytes > bytes_max then
         refuse "over-budget" "far more than is to be left";
       if entries > most then refuse over "more entries in all than are taken";
       go (applied ~entries:most ~over before changes) rest
  in
  let made = go base deltas in
  check_lists made;
  made

(* The release of a manifest, out of what it is based on and the stream of a transfer. `most` entries are
   taken. *)
let received ?inflates ~most ~manifest ~base stream =
  let made = chained ?inflates ~most ~result:(signed manifest) base stream in
  let records = List.map (fun (key, held) -> (key, held.record)) (Part.Map.bindings made) in
  if Part.catalogue_digest records <> manifest.catalogue then refuse "bad-digest" "the catalogue";
  made
