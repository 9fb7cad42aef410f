(* Connections as mirage-nat keeps them: two entries each, keyed by source, destination and their ports. *)

type ports = int * int
type channel = Ipaddr.V4.t * Ipaddr.V4.t * ports

module Table = Map.Make (struct
  type t = channel

  let compare = Stdlib.compare
end)

module Removal = Nat_removal.Make (struct
  type t = channel Table.t
  type k = channel
  type v = channel

  let fold f nothing table = Table.fold f table nothing
  let remove = Table.remove
end)

let flip (a, b) = (b, a)

(* As `Nat_rewrite.add` does for `NAT`. *)
let add ~translated:(own, port) ((src, dst, (_, dst_port)) as request) table =
  table
  |> Table.add request (own, dst, (port, dst_port))
  |> Table.add (dst, own, (dst_port, port)) (dst, src, flip (let _, _, ports = request in ports))

let remove drops table =
  Removal.remove ~drops ~answer:(fun _ (src, dst, ports) -> (dst, src, flip ports)) table
