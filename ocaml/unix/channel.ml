(* Connections as file descriptors: to a Unix socket, to a program's standard input and output, or from qrexec,
   which connects to a socket of ours for each call. *)

(* What connected is no call of qrexec, and why. *)
exception No_call of string

(* ── Our choice ── *)

let header_max = 256
let header_ms = 2000

type endpoint = Connect of string | Exec of string | Accept of Unix.file_descr
type t = { fd : Unix.file_descr; child : int option }

let after prefix text =
  let n = String.length prefix in
  if String.starts_with ~prefix text && String.length text > n then
    Some (String.sub text n (String.length text - n))
  else None

(* Raises Invalid_argument for what is no endpoint. *)
let endpoint_of text =
  match (after "unix:" text, after "exec:" text, after "accept:" text) with
  | Some path, _, _ -> Connect path
  | _, Some command, _ -> Exec command
  | _, _, Some path ->
     let socket = Unix.socket ~cloexec:true PF_UNIX SOCK_STREAM 0 in
     (* A socket of a process that was killed is in the way; another file is none of ours. *)
     (match (Unix.lstat path).st_kind with
     | S_SOCK -> Unix.unlink path
     | _ | (exception Unix.Unix_error (ENOENT, _, _)) -> ());
     Unix.bind socket (ADDR_UNIX path);
     Unix.listen socket 1;
     Accept socket
  | _ -> invalid_arg (text ^ " is none of unix:PATH, exec:COMMAND, accept:PATH")

let connected fd child =
  Unix.set_nonblock fd;
  { fd; child }

let closing_on_error fd f =
  try f fd
  with error ->
    Unix.close fd;
    raise error

(* `SERVICE[+ARGUMENT] CALLER NUL`, which qrexec writes before anything of the caller's. Byte by byte: what is
   behind it belongs to the session. *)
let take_header fd =
  let until = Clock.now () + header_ms and byte = Bytes.create 1 and header = Buffer.create 64 in
  let rec go () =
    let left = until - Clock.now () in
    if left <= 0 then raise (No_call "qrexec does not say what is called");
    match Unix.select [ fd ] [] [] (float left /. 1000.) with
    | [], _, _ -> go ()
    | _ when Unix.read fd byte 0 1 = 0 -> raise (No_call "it ended before qrexec said what is called")
    | _ when Bytes.get byte 0 = '\000' -> ()
    | _ when Buffer.length header = header_max -> raise (No_call "its header is too long")
    | _ ->
       Buffer.add_bytes header byte;
       go ()
  in
  go ();
  match String.split_on_char ' ' (Buffer.contents header) with
  | [ called; _caller ] when Rulecast.Service.is_called called -> ()
  | _ -> raise (No_call ("it calls another service than " ^ Rulecast.Service.name))

(* Raises Unix_error where there is no connection, and No_call. *)
let connect = function
  | Connect path ->
     let fd = Unix.socket ~cloexec:true PF_UNIX SOCK_STREAM 0 in
     closing_on_error fd (fun fd -> Unix.connect fd (ADDR_UNIX path));
     connected fd None
  | Exec command ->
     let ours, theirs = Unix.socketpair ~cloexec:true PF_UNIX SOCK_STREAM 0 in
     let child = Unix.create_process "/bin/sh" [| "sh"; "-c"; "exec " ^ command |] theirs theirs Unix.stderr in
     Unix.close theirs;
     connected ours (Some child)
  | Accept socket ->
     let fd = fst (Unix.accept ~cloexec:true socket) in
     closing_on_error fd take_header;
     connected fd None

(* A child that hangs does not outlive its connection. *)
let close { fd; child } =
  Unix.close fd;
  Option.iter
    (fun child ->
      (try Unix.kill child Sys.sigkill with Unix.Unix_error _ -> ());
      ignore (Unix.waitpid [] child))
    child
