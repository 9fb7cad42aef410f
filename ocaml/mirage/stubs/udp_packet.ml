type t = { src_port : int; dst_port : int }
