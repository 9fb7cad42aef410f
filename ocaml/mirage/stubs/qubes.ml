(* Like mirage-qubes, with `Client_flow.close`. In the place of dom0 and a vchan are Unix sockets:
   test/qrexec/agent.mjs says what goes over them. *)

open Lwt.Infix

let piece = 65_536

let read_some fd =
  let bytes = Bytes.create piece in
  Lwt.catch (fun () -> Lwt_unix.read fd bytes 0 piece) (fun _ -> Lwt.return 0) >|= fun n ->
  Bytes.sub_string bytes 0 n

let rec write_all fd text =
  Lwt_unix.write_string fd text 0 (String.length text) >>= fun n ->
  if n = String.length text then Lwt.return_unit else write_all fd (String.sub text n (String.length text - n))

module RExec = struct
  type t = { agent : string }

  module Client_flow = struct
    type t = Lwt_unix.file_descr

    let write fd text =
      Lwt.catch (fun () -> write_all fd text >|= fun () -> `Ok ()) (fun _ -> Lwt.return `Eof)

    let read fd = read_some fd >|= function "" -> `Eof | bytes -> `Stdout bytes
    let close fd = Lwt_unix.close fd
  end

  module Flow = struct
    type t = Lwt_unix.file_descr

    let read fd = read_some fd >|= function "" -> `Eof | bytes -> `Ok bytes
    let write = write_all
  end

  type client = [ `Ok of Client_flow.t | `Closed | `Permission_denied | `Error of string ] -> unit Lwt.t

  let connect_to path =
    let fd = Lwt_unix.socket PF_UNIX SOCK_STREAM 0 in
    Lwt.catch
      (fun () -> Lwt_unix.connect fd (ADDR_UNIX path) >|= fun () -> fd)
      (fun error -> Lwt_unix.close fd >>= fun () -> Lwt.reraise error)

  let qrexec { agent } ~vm ~service (client : client) =
    let call () =
      connect_to agent >>= fun fd ->
      write_all fd (Printf.sprintf "%s %s\n" vm service) >>= fun () ->
      let answer = Bytes.create 1 in
      Lwt_unix.read fd answer 0 1 >>= fun n ->
      if n = 1 && Bytes.get answer 0 = 'a' then client (`Ok fd)
      else Lwt_unix.close fd >>= fun () -> client `Permission_denied
    in
    Lwt.async (fun () -> Lwt.catch call (fun error -> client (`Error (Printexc.to_string error))));
    Lwt.return `Ok

  type handler = user:string -> string -> Flow.t -> int Lwt.t

  (* Calls that come to the socket of a service; the first bytes are its name and who calls, up to a NUL. *)
  let listen { agent } (handler : handler) =
    let listener = Lwt_unix.socket PF_UNIX SOCK_STREAM 0 in
    let rec head fd text =
      let byte = Bytes.create 1 in
      Lwt_unix.read fd byte 0 1 >>= fun n ->
      if n = 0 || Bytes.get byte 0 = '\000' then Lwt.return text else head fd (text ^ Bytes.to_string byte)
    in
    let answer fd () =
      head fd "" >>= fun called ->
      handler ~user:"root" ("QUBESRPC " ^ called) fd >>= fun _code -> Lwt_unix.close fd
    in
    let rec accept () =
      Lwt_unix.accept listener >>= fun (fd, _) ->
      Lwt.async (fun () -> Lwt.catch (answer fd) (fun _ -> Lwt_unix.close fd));
      accept ()
    in
    Lwt_unix.bind listener (ADDR_UNIX agent) >>= fun () ->
    Lwt_unix.listen listener 8;
    accept ()
end
