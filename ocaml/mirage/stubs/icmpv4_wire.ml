type ty = Echo_reply | Destination_unreachable | Echo_request | Timestamp_request

let ty_to_int = function
  | Echo_reply -> 0
  | Destination_unreachable -> 3
  | Echo_request -> 8
  | Timestamp_request -> 13
