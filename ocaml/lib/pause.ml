(* Where a decoder that takes long lets others run: a scheduler handles the effect and continues later.
   Without a handler it goes on at once. *)

type _ Effect.t += Pause : unit Effect.t

let pause () = try Effect.perform Pause with Effect.Unhandled Pause -> ()

(* Ours: of so many steps of a loop, which take some tens of nanoseconds each, one pauses. *)
let every = 8192
let at step = if step land (every - 1) = 0 then pause ()

(* Does `work`; whenever it pauses, `scheduler` gets what goes on with it. *)
let schedule scheduler work =
  Effect.Deep.match_with work ()
    {
      retc = Fun.id;
      exnc = raise;
      effc =
        (fun (type a) (performed : a Effect.t) ->
          match performed with
          | Pause ->
             Some
               (fun (k : (a, _) Effect.Deep.continuation) -> scheduler (fun () -> Effect.Deep.continue k ()))
          | _ -> None);
    }
