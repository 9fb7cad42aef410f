(* Where a decoder that takes long lets others run: a scheduler handles the effect and continues later.
   Without a handler it goes on at once. *)

type _ Effect.t += Pause : unit Effect.t

let pause () = try Effect.perform Pause with Effect.Unhandled Pause -> ()

(* Ours: of so many steps of a loop, which take some tens of nanoseconds each, one pauses. *)
let every = 8192
let at step = if step land (every - 1) = 0 then pause ()
