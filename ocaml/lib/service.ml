(* The qrexec service by which a publisher is followed, whichever side calls. *)

let name = "rulecast.Subscribe"

(* dom0 names a service without an argument with a plus, or without. *)
let is_called called = called = name || called = name ^ "+"
