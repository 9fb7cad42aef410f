(* Like ipaddr. *)

module V4 = struct
  type t = string (* four bytes *)

  let to_octets ip = ip

  let of_string_exn text =
    let octets = List.map int_of_string (String.split_on_char '.' text) in
    if List.length octets <> 4 then invalid_arg text;
    String.concat "" (List.map (fun octet -> String.make 1 (Char.chr octet)) octets)
end
