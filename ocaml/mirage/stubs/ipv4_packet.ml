(* Like tcpip, as the four below. *)

type t = { src : Ipaddr.V4.t; dst : Ipaddr.V4.t; ttl : int }
