(* Connections as file descriptors: to a Unix socket, to a program's standard input and output, or from who
   connects to a socket of ours. *)

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

(* Raises Unix_error where there is no connection. *)
let connect = function
  | Connect path ->
     let fd = Unix.socket ~cloexec:true PF_UNIX SOCK_STREAM 0 in
     (try Unix.connect fd (ADDR_UNIX path)
      with error ->
        Unix.close fd;
        raise error);
     connected fd None
  | Exec command ->
     let ours, theirs = Unix.socketpair ~cloexec:true PF_UNIX SOCK_STREAM 0 in
     let child = Unix.create_process "/bin/sh" [| "sh"; "-c"; "exec " ^ command |] theirs theirs Unix.stderr in
     Unix.close theirs;
     connected ours (Some child)
  | Accept socket -> connected (fst (Unix.accept ~cloexec:true socket)) None

(* A child that hangs does not outlive its connection. *)
let close { fd; child } =
  Unix.close fd;
  Option.iter
    (fun child ->
      (try Unix.kill child Sys.sigkill with Unix.Unix_error _ -> ());
      ignore (Unix.waitpid [] child))
    child
