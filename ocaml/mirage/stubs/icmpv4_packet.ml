type t = { ty : Icmpv4_wire.ty; code : int }
