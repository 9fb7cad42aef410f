module Tcp_packet = struct
  type t = { src_port : int; dst_port : int }
end
