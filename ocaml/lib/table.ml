(* What is searched for a verdict: rules by the prefix they name, lists and qubes by prefix. It holds the columns
   of the release, and some bytes beside. A verdict makes no value. MEANING.md "Meaning". *)

open Meaning

type family_rules = {
  nest : Nest.t; (* the prefixes that rules name *)
  begins : string; (* of each prefix, u32: where its rules begin; and where the last ones end *)
  candidates : string; (* u32: rules, of one prefix in their order *)
}

type test = All | Never | Within of { v4 : Nest.t; v6 : Nest.t }

type block = {
  rules : Rules.t;
  v4 : family_rules;
  v6 : family_rules;
  others : int array; (* rules that name no prefix, in their order *)
  tests : test array; (* of each, what has to hold the remote *)
}

type policy = {
  name : string;
  default : Rule.action;
  egress : block;
  ingress : block;
  egress_exceptions : block;
  ingress_exceptions : block;
}

type owners = { v4 : Nest.t; of_v4 : int array; v6 : Nest.t; of_v6 : int array }

type t = {
  policies : policy array;
  first : int; (* index of the policy of that name; -1: there is none *)
  common : int;
  default : int;
  egress_owners : owners;
  ingress_owners : owners;
  unmatched : Rule.action option;
}

(* ── Compile ── *)

let family_rules rules kind family =
  let wanted = ref 0 in
  for i = 0 to Rules.count rules - 1 do
    if Rules.kind rules i = kind then incr wanted
  done;
  let sorted = Array.make !wanted 0 and at = ref 0 in
  for i = 0 to Rules.count rules - 1 do
    if Rules.kind rules i = kind then begin
      sorted.(!at) <- i;
      incr at
    end
  done;
  let compared = ref 0 in
  let order_address i j =
    let x = Rules.operand rules i and y = Rules.operand rules j in
    if family = Address.V4 then Int.compare x y
    else Column.compare_words rules.v6 (16 * x) rules.v6 (16 * y) 4
  in
  let order_prefix i j =
    incr compared;
    Pause.at !compared;
    match order_address i j with 0 -> Char.compare rules.lengths.[i] rules.lengths.[j] | order -> order
  in
  Array.stable_sort order_prefix sorted;
  let column = Column.builder family in
  let begins = Buffer.create 16 and candidates = Buffer.create (4 * !wanted) in
  Array.iteri
    (fun k i ->
      Pause.at k;
      if k = 0 || order_prefix sorted.(k - 1) i <> 0 then begin
        Column.push column (Rules.prefix rules i);
        Column.add_word begins k
      end;
      Column.add_word candidates i)
    sorted;
  Column.add_word begins !wanted;
  {
    nest = Nest.of_sorted (Column.built column);
    begins = Buffer.contents begins;
    candidates = Buffer.contents candidates;
  }

(* Those of some rules whose remote is not one prefix, with what holds it. *)
let others_of rules test_of =
  let others = ref [] in
  for i = Rules.count rules - 1 downto 0 do
    let kind = Rules.kind rules i in
    if kind <> Rules.ipv4 && kind <> Rules.ipv6 then others := (i, test_of kind i) :: !others
  done;
  (Array.of_list (List.map fst !others), Array.of_list (List.map snd !others))

let block ~list ~host rules =
  let test_of kind i =
    if kind = Rules.any then All
    else if kind = Rules.host then host (Rules.name rules i)
    else list (Rules.name rules i)
  in
  let others, tests = others_of rules test_of in
  {
    rules;
    v4 = family_rules rules Rules.ipv4 V4;
    v6 = family_rules rules Rules.ipv6 V6;
    others;
    tests;
  }

let within { Column.v4; v6 } = Within { v4 = Nest.of_column v4; v6 = Nest.of_column v6 }

(* The qubes of policies, by prefix. *)
let owners policies =
  let of_family family column =
    let own k (policy : Part.policy) =
      Seq.map (fun prefix -> (prefix, k)) (Column.to_seq (column policy.prefixes))
    in
    let all = List.concat (List.mapi (fun k policy -> List.of_seq (own k policy)) policies) in
    let all = List.sort (fun (x, _) (y, _) -> Address.compare_prefix x y) all in
    ( Nest.of_sorted (Column.of_seq family (Seq.map fst (List.to_seq all))),
      Array.of_list (List.map snd all) )
  in
  let v4, of_v4 = of_family V4 (fun set -> set.v4) in
  let v6, of_v6 = of_family V6 (fun set -> set.v6) in
  { v4; of_v4; v6; of_v6 }

(* A function that keeps what it gave for each name. *)
let kept make =
  let known = Hashtbl.create 16 in
  fun name ->
    match Hashtbl.find_opt known name with
    | Some value -> value
    | None ->
       let value = make name in
       Hashtbl.add known name value;
       value

let no_ingress (p : Part.policy) =
  { p with prefixes = (if has_ingress p then p.prefixes else Column.empty_set) }

let of_parts parts =
  let resolutions = Hashtbl.create 16 in
  (match Part.Map.find_opt (4, "") parts with
  | Some (Part.Resolutions names) -> List.iter (fun (name, set) -> Hashtbl.replace resolutions name set) names
  | _ -> ());
  let host name = Option.fold ~none:Never ~some:within (Hashtbl.find_opt resolutions name) in
  (* All that the names of a list stand for: the outermost prefix is the one that a verdict says. *)
  let united keys =
    let resolved key = Hashtbl.find_opt resolutions (Names.name_of_key key) in
    let sets = Seq.filter_map resolved (Names.to_seq keys) in
    let all column = List.of_seq (Seq.concat_map (fun set -> Column.to_seq (column set)) sets) in
    let of_family family column = Column.of_prefixes family (all column) in
    { Column.v4 = of_family V4 (fun set -> set.v4); v6 = of_family V6 (fun set -> set.v6) }
  in
  let list name =
    match (Part.Map.find_opt (1, name) parts, Part.Map.find_opt (2, name) parts) with
    | Some (Part.Prefixes set), _ -> within set
    | _, Some (Names { resolve = 1; keys; _ }) -> within (united keys)
    | _ -> Never
  in
  let block = block ~list:(kept list) ~host:(kept host) in
  let compile name (p : Part.policy) =
    {
      name;
      default = Part.default_action p;
      egress = block p.egress;
      ingress = block p.ingress;
      egress_exceptions = block p.egress_exceptions;
      ingress_exceptions = block p.ingress_exceptions;
    }
  in
  let policies =
    List.filter_map
      (function (3, name), Part.Policy policy -> Some (name, policy) | _ -> None)
      (Part.Map.bindings parts)
  in
  let at name =
    Option.value (List.find_index (fun (other, _) -> other = name) policies) ~default:(-1)
  in
  {
    policies = Array.of_list (List.map (fun (name, policy) -> compile name policy) policies);
    first = at "first";
    common = at "common";
    default = at "default";
    egress_owners = owners (List.map snd policies);
    ingress_owners = owners (List.map (fun (_, policy) -> no_ingress policy) policies);
    unmatched = (match Part.Map.find_opt (5, "") parts with Some (Unmatched action) -> Some action | _ -> None);
  }

(* ── Verdicts ── *)

let fails = 0
let holds = 1
let unreadable = 2

let rec is_dns_server servers family address =
  match servers with
  | [] -> false
  | (f, server) :: rest ->
     (f = family && Address.compare server address = 0) || is_dns_server rest family address

(* Whether all holds that a rule says beside its remote. *)
let asks environment packet remote (said : Rule.said) =
  let time = if said.action = Accept then environment.later else environment.earlier in
  let is_expired = match said.expiry with Some expiry -> time >= expiry | None -> false in
  let icmp = match packet.family with V4 -> 1 | V6 -> 58 in
  let is_transport = packet.proto = 6 || packet.proto = 17 in
  let is_other_protocol =
    said.protocol <> 0 && packet.proto <> if said.protocol = 1 then icmp else said.protocol
  in
  if is_expired || is_other_protocol then fails
  else if said.is_dns && not (is_transport && is_dns_server environment.dns packet.family remote) then fails
  else
    let of_ports =
      if (not said.is_dns) && Option.is_none said.ports then holds
      else if not is_transport then fails
      else
        match (packet.port, said.ports) with
        | None, _ -> unreadable
        | Some port, _ when said.is_dns && port <> 53 -> fails
        | Some port, Some (first, last) when port < first || port > last -> fails
        | _ -> holds
    in
    match said.icmp_type with
    | None -> of_ports
    | Some _ when packet.proto <> icmp -> fails
    | Some wanted -> (
       match packet.icmp_type with
       | None -> if of_ports = fails then fails else unreadable
       | Some found -> if found = wanted then of_ports else fails)

(* The first rule of a prefix that matches, before `best`; `best` if there is none. *)
let rec first_candidate (block : block) of_family environment packet remote at last best =
  if at = last then best
  else
    let i = Nest.u32 of_family.candidates at in
    if i >= best then best
    else if asks environment packet remote (Rules.said block.rules i) > fails then i
    else first_candidate block of_family environment packet remote (at + 1) last best

(* The same for a prefix and those around it. *)
let rec in_prefixes (block : block) of_family environment packet remote prefix best =
  if prefix < 0 then best
  else
    let at = Nest.u32 of_family.begins prefix and last = Nest.u32 of_family.begins (prefix + 1) in
    let best = first_candidate block of_family environment packet remote at last best in
    in_prefixes block of_family environment packet remote (Nest.parent of_family.nest prefix) best

let passes test packet remote has_remote =
  match test with
  | All -> true
  | Never -> false
  | Within { v4; v6 } ->
     has_remote && Nest.innermost (match packet.family with V4 -> v4 | V6 -> v6) remote >= 0

let rec in_others (block : block) environment packet remote has_remote at best =
  if at = Array.length block.others || block.others.(at) >= best then best
  else
    let i = block.others.(at) in
    if
      asks environment packet remote (Rules.said block.rules i) > fails
      && passes block.tests.(at) packet remote has_remote
    then i
    else in_others block environment packet remote has_remote (at + 1) best

(* The first rule that matches; max_int: none does. *)
let first_match (block : block) environment packet remote has_remote =
  let of_family = match packet.family with V4 -> block.v4 | V6 -> block.v6 in
  let best =
    if not has_remote then max_int
    else
      let prefix = Nest.innermost of_family.nest remote in
      in_prefixes block of_family environment packet remote prefix max_int
  in
  in_others block environment packet remote has_remote 0 best

let owner owners family address =
  match (family : Address.family) with
  | V4 ->
     let i = Nest.innermost owners.v4 address in
     if i < 0 then -1 else owners.of_v4.(i)
  | V6 ->
     let i = Nest.innermost owners.v6 address in
     if i < 0 then -1 else owners.of_v6.(i)

(* The policy that judges; -1: none. *)
let judging table packet direction =
  if direction = Egress then begin
    let found =
      match packet.src with None -> -1 | Some src -> owner table.egress_owners packet.family src
    in
    if found < 0 then table.default else found
  end
  else owner table.ingress_owners packet.family packet.dst

let rules_of policy direction block =
  match (block, direction) with
  | Exceptions, Egress -> policy.egress_exceptions
  | Exceptions, _ -> policy.ingress_exceptions
  | _, Egress -> policy.egress
  | _ -> policy.ingress

(* What decides in a direction, as one number: a rule and where it stands, the default, or nobody. *)
let nobody = -1
let by_default = -2
let in_first = 0
let in_exceptions = 1
let in_common = 2
let in_own = 3
let place_of decision = decision land 3
let index_of decision = decision lsr 2

let matched table policy direction block place environment packet remote has_remote =
  if policy < 0 then nobody
  else
    let block = rules_of table.policies.(policy) direction block in
    let i = first_match block environment packet remote has_remote in
    if i = max_int then nobody else (i lsl 2) lor place

(* Zero: it has none. *)
let remote_of packet direction =
  if direction = Egress then packet.dst else match packet.src with Some src -> src | None -> Address.zero

let decide table environment packet direction policy =
  let is_egress = direction = Egress in
  let has_remote = is_egress || Option.is_some packet.src in
  let remote = remote_of packet direction in
  let first = matched table table.first direction Own in_first environment packet remote has_remote in
  if first >= 0 then first
  else if policy < 0 && ((not is_egress) || Option.is_none table.unmatched) then nobody
  else
    let of_exceptions =
      matched table policy direction Exceptions in_exceptions environment packet remote has_remote
    in
    if of_exceptions >= 0 then of_exceptions
    else
      let of_common =
        matched table table.common direction Common in_common environment packet remote has_remote
      in
      if of_common >= 0 then of_common
      else
        let own = matched table policy direction Own in_own environment packet remote has_remote in
        if own >= 0 then own
        else match table.unmatched with Some Accept when policy < 0 -> nobody | _ -> by_default

(* The policy and the block in which the rule of a decision stands. *)
let home table policy place =
  if place = in_first then table.first else if place = in_common then table.common else policy

let block_at table policy direction place =
  let block = if place = in_exceptions then Exceptions else Own in
  rules_of table.policies.(home table policy place) direction block

let action table environment packet direction policy decision : Rule.action =
  if decision = by_default then
    if policy >= 0 then table.policies.(policy).default else Drop
  else
    let place = place_of decision in
    if place = in_first then Drop
    else
      let rules = (block_at table policy direction place).rules in
      let said = Rules.said rules (index_of decision) in
      if asks environment packet (remote_of packet direction) said = holds then said.action else Drop

type answer = Nobody | Accept | Drop

let judge_in table environment packet direction =
  let policy = judging table packet direction in
  let decision = decide table environment packet direction policy in
  if decision = nobody then Nobody
  else
    match action table environment packet direction policy decision with
    | Rule.Accept -> Accept
    | Drop -> Drop

(* What becomes of a packet. *)
let judge table environment packet =
  match packet.direction with
  | Both -> (
     match judge_in table environment packet Egress with
     | Drop -> Drop
     | egress -> (
        match judge_in table environment packet Ingress with
        | Nobody -> egress
        | ingress -> ingress))
  | direction -> judge_in table environment packet direction

(* ── The same with why ── *)

let explain_rule table packet direction policy decision =
  let place = place_of decision and index = index_of decision in
  let { rules; others; tests; _ } = block_at table policy direction place in
  let remote = if direction = Egress then Some packet.dst else packet.src in
  let kind = Rules.kind rules index in
  let prefix =
    match remote with
    | None -> None
    | Some _ when kind = Rules.any -> None
    | Some _ when kind = Rules.ipv4 || kind = Rules.ipv6 -> Some (packet.family, Rules.prefix rules index)
    | Some remote -> (
       match tests.(Option.get (List.find_index (( = ) index) (Array.to_list others))) with
       | Within { v4; v6 } ->
          let nest = match packet.family with V4 -> v4 | V6 -> v6 in
          Some (packet.family, Column.get nest.column (Nest.innermost nest remote))
       | All | Never -> None)
  in
  let block = if place = in_exceptions then Exceptions else if place = in_common then Common else Own in
  let list = if kind = Rules.list then Some (Rules.name rules index) else None in
  { block; index; run = Rules.run_of rules index; list; prefix }

let explain_in table environment packet direction =
  let policy = judging table packet direction in
  let decision = decide table environment packet direction policy in
  if decision = nobody then Meaning.Nobody
  else
    let action = action table environment packet direction policy decision in
    let name i = if i < 0 then None else Some table.policies.(i).name in
    if decision = by_default then Decided { action; direction; policy = name policy; rule = None }
    else
      let judge = if place_of decision = in_first then table.first else policy in
      let rule = Some (explain_rule table packet direction policy decision) in
      Decided { action; direction; policy = name judge; rule }

let explain table environment packet =
  let is_action wanted = function Decided { action; _ } -> action = wanted | _ -> false in
  match packet.direction with
  | Both ->
     let both = List.map (explain_in table environment packet) [ Egress; Ingress ] in
     let find action = List.find_opt (is_action action) both in
     let decided = match find Rule.Drop with None -> find Accept | found -> found in
     Option.value decided ~default:Meaning.Nobody
  | direction -> explain_in table environment packet direction

(* Of a firewall that follows flows, for a packet that belongs to none. *)
let explain_flow table environment packet =
  if begins_flow packet then explain table environment packet else No_flow

(* The rule of a verdict. *)
let rule table policy direction (block : Meaning.block) index =
  let found = List.find (fun p -> p.name = policy) (Array.to_list table.policies) in
  Rules.get (rules_of found direction block).rules index
