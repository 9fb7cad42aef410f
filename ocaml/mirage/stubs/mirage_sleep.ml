let ns n = Lwt_unix.sleep (Int64.to_float n /. 1e9)
