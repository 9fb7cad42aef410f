(* No test waits for minutes: they take five seconds. *)
let ns n = Lwt_unix.sleep (if n > 60_000_000_000L then 5. else Int64.to_float n /. 1e9)
