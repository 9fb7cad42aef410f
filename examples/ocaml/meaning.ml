(* What a rule set does with a packet: PROTOCOL.md "Meaning". *)

open Rule

type direction = Egress | Ingress | Both

type packet = {
  direction : direction;
  family : Address.family; (* of both addresses *)
  src : Address.t option;
  dst : Address.t;
  proto : int;
  port : int option; (* None: there is none, or it cannot be read *)
  icmp_type : int option;
}

type environment = { earlier : int; later : int; dns : (Address.family * Address.t) list }
type block = Exceptions | Common | Own

type rule_verdict = {
  block : block;
  index : int;
  run : int;
  list : string option;
  prefix : (Address.family * Address.prefix) option;
}

type verdict =
  | Nobody (* none *)
  | No_flow (* a drop before any rule *)
  | Decided of { action : action; direction : direction; policy : string option; rule : rule_verdict option }

type list_of = Of_prefixes of Lookup.set | Of_names of Names.t

type firewall = {
  environment : environment;
  policies : (string, Part.policy) Hashtbl.t;
  lists : (string, list_of) Hashtbl.t;
  resolutions : (string, Lookup.set) Hashtbl.t;
  unmatched : action option;
  (* Whose a prefix is, of egress and of ingress; and the lengths that there are, the longest first. *)
  egress_of : (Address.family * Address.prefix, string) Hashtbl.t;
  ingress_of : (Address.family * Address.prefix, string) Hashtbl.t;
  lengths : int list;
}

let prefixes_of { Column.v4; v6 } =
  let with_family family column = Seq.map (fun prefix -> (family, prefix)) (Column.to_seq column) in
  Seq.append (with_family Address.V4 v4) (with_family Address.V6 v6)

let has_ingress (p : Part.policy) = Array.length p.ingress + Array.length p.ingress_exceptions > 0

let firewall environment parts =
  let table () = Hashtbl.create 16 in
  let policies = table () and lists = table () and resolutions = table () in
  let egress_of = table () and ingress_of = table () and unmatched = ref None and lengths = ref [] in
  let own_prefix name policy (family, prefix) =
    lengths := prefix.Address.length :: !lengths;
    Hashtbl.replace egress_of (family, prefix) name;
    if has_ingress policy then Hashtbl.replace ingress_of (family, prefix) name
  in
  let take (_, name) = function
    | Part.Prefixes set -> Hashtbl.replace lists name (Of_prefixes (Lookup.of_set set))
    | Names names -> Hashtbl.replace lists name (Of_names names)
    | Policy policy ->
       Hashtbl.replace policies name policy;
       Seq.iter (own_prefix name policy) (prefixes_of policy.prefixes)
    | Resolutions names ->
       List.iter (fun (name, set) -> Hashtbl.replace resolutions name (Lookup.of_set set)) names
    | Unmatched action -> unmatched := Some action
  in
  Part.Map.iter take parts;
  let lengths = List.sort_uniq (fun a b -> Int.compare b a) !lengths in
  { environment; policies; lists; resolutions; unmatched = !unmatched; egress_of; ingress_of; lengths }

(* The name of the policy with the longest prefix that holds the qube. *)
let judging firewall family qube direction =
  let owners = if direction = Egress then firewall.egress_of else firewall.ingress_of in
  let at qube length =
    Hashtbl.find_opt owners (family, { Address.address = Address.mask qube length; length })
  in
  match Option.bind qube (fun qube -> List.find_map (at qube) firewall.lengths) with
  | None when direction = Egress && Hashtbl.mem firewall.policies "default" -> Some "default"
  | found -> found

type asked = Holds | Fails | Unreadable

(* Whether all holds that a rule says beside its remote. *)
let asks firewall packet remote { action; protocol; is_dns; ports; icmp_type; expiry; _ } =
  let { earlier; later; dns } = firewall.environment in
  let time = if action = Accept then later else earlier in
  let icmp = match packet.family with V4 -> 1 | V6 -> 58 in
  let is_transport = packet.proto = 6 || packet.proto = 17 in
  let is_dns_server =
    match remote with Some address -> List.mem (packet.family, address) dns | None -> false
  in
  let ranges = (if is_dns then [ (53, 53) ] else []) @ Option.to_list ports in
  let within port (first, last) = first <= port && port <= last in
  if Option.fold ~none:false ~some:(fun expiry -> time >= expiry) expiry then Fails
  else if protocol <> 0 && packet.proto <> if protocol = 1 then icmp else protocol then Fails
  else if is_dns && not (is_transport && is_dns_server) then Fails
  else if ranges <> [] && not is_transport then Fails
  else if icmp_type <> None && packet.proto <> icmp then Fails
  else
    match (ranges, packet.port, icmp_type, packet.icmp_type) with
    | _ :: _, None, _, _ | _, _, Some _, None -> Unreadable
    | _ :: _, Some port, _, _ when not (List.for_all (within port) ranges) -> Fails
    | _, _, Some asked, Some found when asked <> found -> Fails
    | _ -> Holds

let resolved firewall family address name =
  Option.bind (Hashtbl.find_opt firewall.resolutions name) (fun set -> Lookup.find set family address)

(* The list that a rule's remote names, and the prefix that holds the address; None: it does not hold it. *)
let remote_holds firewall family address remote =
  let prefix_of list = Option.map (fun prefix -> (list, Some (family, prefix))) in
  match (remote, address) with
  | Any, _ -> Some (None, None)
  | _, None -> None
  | Prefix (of_family, prefix), Some address ->
     if of_family = family && Address.holds prefix address then Some (None, Some (family, prefix)) else None
  | Host name, Some address -> prefix_of None (resolved firewall family address name)
  | List name, Some address -> (
     match Hashtbl.find_opt firewall.lists name with
     | Some (Of_prefixes set) -> prefix_of (Some name) (Lookup.find set family address)
     | Some (Of_names { resolve = 1; keys }) ->
        let shorter best key =
          match (best, resolved firewall family address (Names.name_of_key key)) with
          | Some { Address.length; _ }, Some found when found.length < length -> Some found
          | None, found -> found
          | best, _ -> best
        in
        prefix_of (Some name) (Array.fold_left shorter None keys)
     | _ -> None)

let first_match firewall packet remote rules =
  let rec go index run =
    if index = Array.length rules then None
    else begin
      let { said; remote = wanted } = rules.(index) in
      let run = if index > 0 && not (is_joined rules.(index - 1) rules.(index)) then run + 1 else run in
      match asks firewall packet remote said with
      | Fails -> go (index + 1) run
      | (Holds | Unreadable) as asked -> (
         match remote_holds firewall packet.family remote wanted with
         | None -> go (index + 1) run
         | Some (list, prefix) ->
            let action = if asked = Holds then said.action else Drop in
            Some (action, fun block -> { block; index; run; list; prefix }))
    end
  in
  go 0 0

let rules_of (p : Part.policy) direction block =
  match (block, direction) with
  | Exceptions, Egress -> p.egress_exceptions
  | Exceptions, _ -> p.ingress_exceptions
  | _, Egress -> p.egress
  | _ -> p.ingress

let judged firewall packet direction =
  let qube, remote =
    if direction = Egress then (packet.src, Some packet.dst) else (Some packet.dst, packet.src)
  in
  let policy = judging firewall packet.family qube direction in
  let decided action rule = Decided { action; direction; policy; rule } in
  let in_block block =
    let home = if block = Common then Some "common" else policy in
    let rules =
      Option.map (fun p -> rules_of p direction block) (Option.bind home (Hashtbl.find_opt firewall.policies))
    in
    let matched = Option.bind rules (first_match firewall packet remote) in
    Option.map (fun (action, rule) -> decided action (Some (rule block))) matched
  in
  if policy = None && (direction = Ingress || firewall.unmatched = None) then Nobody
  else
    match (List.find_map in_block [ Exceptions; Common; Own ], policy, firewall.unmatched) with
    | Some verdict, _, _ -> verdict
    | None, Some name, _ -> decided (Part.default_action (Hashtbl.find firewall.policies name)) None
    | None, None, Some Drop -> decided Drop None
    | None, None, _ -> Nobody

let verdict firewall packet =
  let is_action action = function Decided decided -> decided.action = action | _ -> false in
  match packet.direction with
  | Both ->
     let both = List.map (judged firewall packet) [ Egress; Ingress ] in
     let find action = List.find_opt (is_action action) both in
     Option.value (match find Drop with None -> find Accept | found -> found) ~default:Nobody
  | direction -> judged firewall packet direction

let begins_flow { family; proto; port; icmp_type; _ } =
  let own, asking = match family with Address.V4 -> (1, [ 8; 13; 15; 17 ]) | V6 -> (58, [ 128; 139 ]) in
  match proto with
  | 6 | 17 -> port <> None
  | 1 | 58 -> proto = own && Option.fold ~none:false ~some:(fun t -> List.mem t asking) icmp_type
  | _ -> true

(* Of a firewall that follows flows, for a packet that belongs to none. *)
let flow_verdict firewall packet = if begins_flow packet then verdict firewall packet else No_flow

(* ── Sound rule sets ── *)

let check_sound parts =
  let owners = Hashtbl.create 16 in
  let unsound text = Cursor.refuse "bad-rule-set" text in
  let check_rule ~is_ingress { said; remote } =
    match remote with
    | List name -> (
       match (Part.Map.mem (1, name) parts, Part.Map.find_opt (2, name) parts) with
       | true, _ -> ()
       | false, Some (Part.Names { resolve = 1; keys }) when Array.length keys <= 4096 -> ()
       | false, Some (Names { resolve = 2 | 3; _ }) ->
          if is_ingress || said.is_dns || (said.action = Drop && said.protocol <> 0) then
            unsound "a rule that the firewall's DNS cannot follow"
       | _ -> unsound ("no list for rules: " ^ name))
    | _ -> ()
  in
  let own prefix =
    if Hashtbl.mem owners prefix then unsound "two policies have one prefix";
    Hashtbl.add owners prefix ()
  in
  let check (kind, name) part =
    if kind <= 2 && name = "resolved" then unsound "a list is called resolved";
    match part with
    | Part.Names { resolve; keys } ->
       if resolve < 2 && Array.exists (fun key -> Names.end_of key > 0) keys then
         unsound "a wildcard for rules"
    | Policy p ->
       if List.mem name [ "default"; "common" ] && p.prefixes <> Column.empty_set then
         unsound (name ^ " has prefixes");
       if name = "default" && has_ingress p then unsound "default has ingress";
       if name = "common" && Part.has_exceptions p then unsound "common has exceptions";
       Seq.iter own (prefixes_of p.prefixes);
       List.iter (Array.iter (check_rule ~is_ingress:false)) [ p.egress; p.egress_exceptions ];
       List.iter (Array.iter (check_rule ~is_ingress:true)) [ p.ingress; p.ingress_exceptions ]
    | _ -> ()
  in
  Part.Map.iter check parts
