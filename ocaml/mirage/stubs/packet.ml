(* Like packet.ml of qubes-mirage-firewall. *)

type transport_header =
  [ `TCP of Tcp.Tcp_packet.t | `UDP of Udp_packet.t | `ICMP of Icmpv4_packet.t ]

type ('src, 'dst) t = {
  ipv4_header : Ipv4_packet.t;
  transport_header : transport_header;
  src : 'src;
  dst : 'dst;
}
