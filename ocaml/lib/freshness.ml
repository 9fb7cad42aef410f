(* Whether what is active is the newest, as far as one connection knows: the nonces that wait for an answer,
   and the newest release that one of them was answered with. WIRE.md "Freshness". *)

type named = { epoch : int; version : int; hash : string }

let of_manifest (m : Trust.manifest) = { epoch = m.epoch; version = m.version; hash = m.manifest_hash }

let order a b =
  match Int.compare a.epoch b.epoch with 0 -> Int.compare a.version b.version | order -> order

let fork_text { epoch; version; hash } other = Trust.fork_text ~epoch ~version hash other.hash

(* A nonce that may still be answered; `least` was the newest that ever had been active here by then. *)
type ask = { nonce : string; asked_at : int; least : named option; tries : int }

(* The newest release of the publisher at some moment since `as_of`. Version 0: there was none. *)
type newest = { release : named; as_of : int; had : named option }

(* The oldest ask first. *)
type t = { asks : ask list; ask_at : int; newest : newest option }

let nothing = { asks = []; ask_at = max_int; newest = None }

(* fixed by us: WIRE.md "Limits" *)
let every_ms = 5000
let nonces_max = 4
let tries_max = 4

let ask known ~nonce ~least ~now =
  let kept =
    List.filteri (fun i _ -> i >= List.length known.asks + 1 - nonces_max) known.asks
  in
  let asks = kept @ [ { nonce; asked_at = now; least; tries = 0 } ] in
  { known with asks; ask_at = now + every_ms }

type statement = { of_nonce : string; of_lineage : string; of_root : string; states : named }

let statement_of said =
  let open Cursor in
  let cursor = of_string ~code:"bad-message" said in
  tag cursor "RCF1";
  let of_nonce = take cursor 16 in
  let of_lineage = take cursor 16 in
  let of_root = take cursor 32 in
  let epoch = u64 cursor in
  let version = u64 cursor in
  let hash = take cursor 32 in
  finish cursor;
  { of_nonce; of_lineage; of_root; states = { epoch; version; hash } }

type outcome =
  | Not_asked
  | Unsigned of ask
  | Doubtful of ask * string * string (* code, and a text for people *)
  | Believed of ask * newest

(* A nonce made before `since` is not answered any more. `floor` counts under this root. *)
let judge known ~(root : Trust.root) ~floor ~since (signatures, said) =
  match statement_of said with
  | exception Cursor.Refused _ -> Not_asked
  | { of_nonce; of_lineage; of_root; states } -> (
     match List.find_opt (fun ask -> ask.nonce = of_nonce && ask.asked_at >= since) known.asks with
     | None -> Not_asked
     | Some ask ->
        let is_ours = of_lineage = root.lineage && of_root = root.hash in
        if not (is_ours && Trust.role_signed root.freshness_role signatures said) then Unsigned ask
        else begin
          (* What became active after the nonce was made is no fault of the publisher. *)
          let bound =
            match (ask.least, floor) with
            | Some least, Some floor -> Some (if order least floor < 0 then least else floor)
            | _ -> None
          in
          match Option.map (fun bound -> (order states bound, bound)) bound with
          | Some (0, bound) when bound.hash <> states.hash ->
             Doubtful (ask, "forked", fork_text bound states)
          | Some (below, _) when below < 0 ->
             Doubtful (ask, "not-newer", "the publisher states a release below the one that was active here")
          | _ -> Believed (ask, { release = states; as_of = ask.asked_at; had = ask.least })
        end)

(* A nonce is answered once, and older ones not any more; what nobody signed uses none up at once. *)
let learn known outcome =
  let after ask = List.filter (fun other -> other.asked_at > ask.asked_at) known.asks in
  match outcome with
  | Not_asked -> known
  | Unsigned ask ->
     let tried other = if other == ask then { other with tries = other.tries + 1 } else other in
     { known with asks = List.filter (fun a -> a.tries < tries_max) (List.map tried known.asks) }
  | Doubtful (ask, _, _) -> { known with asks = after ask }
  | Believed (ask, newest) -> { known with asks = after ask; newest = Some newest }

(* Why an OFFER is not known to be the newest. *)
let fault_of known ~offer ~has_floor ~since =
  match known.newest with
  | Some { release; as_of; _ } when has_floor || as_of >= since ->
     let order = order offer release in
     if order > 0 || (order = 0 && offer.hash = release.hash) then None
     else if order = 0 then Some ("forked", fork_text release offer)
     else Some ("not-fresh", "below the release that was stated")
  | _ when has_floor -> None
  | _ -> Some ("not-fresh", "nothing states yet what is newest")

(* Whether what is active was the newest at that moment, or came since. *)
let confirms newest active =
  match active with
  | None -> newest.release.version = 0
  | Some active ->
     active.hash = newest.release.hash
     || (Option.fold ~none:true ~some:(fun had -> had.hash <> active.hash) newest.had
        && order active newest.release > 0)
