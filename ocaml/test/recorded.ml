(* A recorded session of a publisher, as its frames; and a subscriber that takes it. *)

open Rulecast

let read path = In_channel.with_open_bin path In_channel.input_all

let config =
  {
    Session.name = "fw";
    entries = 2_000_000;
    bytes = 64_000_000;
    stale_after = 120_000;
    capabilities = Session.usual_capabilities;
    random = (fun n -> String.make n '\255');
    environment = (fun () -> { Meaning.earlier = 0; later = max_int; dns = [] });
  }

(* A subscriber that has just connected. *)
let subscriber trust =
  let memory = Session.memory ~trust ~now:0 () in
  (memory, fst (Session.create memory config ~now:0))

(* The release that the session leads to. *)
let release trust bytes =
  let memory, session = subscriber trust in
  ignore (Session.receive session ~now:0 bytes);
  Option.get (Session.active memory)
