(* Connections as mirage-nat keeps them: two entries each, keyed by source, destination and their ports. *)

type ports = int * int
type channel = Ipaddr.V4.t * Ipaddr.V4.t * ports

module Table = Map.Make (struct
  type t = channel

  let compare = Stdlib.compare
end)

let flip (a, b) = (b, a)

(* As `Nat_rewrite.add` does for `NAT`. *)
let add ~translated:(own, port) ((src, dst, (_, dst_port)) as request) table =
  table
  |> Table.add request (own, dst, (port, dst_port))
  |> Table.add (dst, own, (dst_port, port)) (dst, src, flip (let _, _, ports = request in ports))

let remove drops table =
  Nat_removal.remove table ~drops
    ~fold:(fun f none table -> Table.fold f table none)
    ~remove:Table.remove
    ~answer:(fun _ (src, dst, ports) -> (dst, src, flip ports))
