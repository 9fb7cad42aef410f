(* rulecast-firewall-ocaml: follows a publisher, and writes what is active. It enforces nothing: it is what a
   firewall in OCaml does of Rulecast, as a process that tests can run. *)

open Rulecast

let usage =
  "rulecast-firewall-ocaml --trust LINE --connect ENDPOINT --name NAME\n\
   ENDPOINT is unix:PATH, exec:COMMAND (its standard input and output), or accept:PATH (calls of qrexec)."

let event name fields =
  let field (key, value) = Printf.sprintf ",%S:%s" key value in
  Printf.printf "{\"event\":%S%s}\n%!" name (String.concat "" (List.map field fields))

let random n =
  In_channel.with_open_bin "/dev/urandom" (fun file -> Option.get (In_channel.really_input_string file n))

let read path = In_channel.with_open_bin path In_channel.input_all
let heap () = (Gc.quick_stat ()).top_heap_words * (Sys.word_size / 8)

(* Whole or not at all: a floor that is damaged is refused at the next start. *)
let keep_floor path signed =
  let made = path ^ ".new" in
  Out_channel.with_open_gen [ Open_wronly; Open_creat; Open_trunc; Open_binary ] 0o600 made (fun file ->
      Out_channel.output_string file signed;
      Out_channel.flush file;
      Unix.fsync (Unix.descr_of_out_channel file));
  Unix.rename made path

(* A peer writes texts; they have no control characters, which is all that JSON asks beside quotes. *)
let tell said =
  let escape c = if c = '"' || c = '\\' then Printf.sprintf "\\%c" c else String.make 1 c in
  let escaped = String.concat "" (List.map escape (List.of_seq (String.to_seq said))) in
  event "told" [ ("text", "\"" ^ escaped ^ "\"") ]

let flip ~floor ({ manifest; signed; _ } : Session.release) =
  (try if floor <> "" then keep_floor floor signed
   with Sys_error why | Unix.Unix_error (_, why, _) -> tell ("the floor is not kept: " ^ why));
  event "active"
    [
      ("epoch", string_of_int manifest.epoch);
      ("version", string_of_int manifest.version);
      ("parts", string_of_int manifest.parts);
      ("entries", string_of_int (manifest.prefixes + manifest.others));
      ("heapTop", string_of_int (heap ()));
    ]

let () =
  let trust = ref "" and connect = ref "" and name = ref "" in
  let entries = ref 2_000_000 and bytes = ref 16_000_000 and stale_after = ref 120_000 in
  let floor = ref "" and capabilities = ref Session.usual_capabilities in
  let options =
    [
      ("--trust", Arg.Set_string trust, "LINE whom to believe");
      ("--connect", Arg.Set_string connect, "ENDPOINT where the publisher is");
      ("--name", Arg.Set_string name, "NAME of this firewall");
      ("--entries", Arg.Set_int entries, "COUNT that are taken at most (2,000,000)");
      ("--bytes", Arg.Set_int bytes, "COUNT of a transfer at most (16,000,000)");
      ("--stale-after", Arg.Set_int stale_after, "MS without word of what is newest (120,000)");
      ("--floor", Arg.Set_string floor, "FILE of the newest release that was active: nothing older is taken");
      ( "--capabilities",
        Arg.String (fun codes -> capabilities := String.split_on_char ',' codes),
        "CODES that it lists, with commas: " ^ String.concat "," Session.capabilities );
    ]
  in
  let fail said =
    prerr_endline ("rulecast-firewall-ocaml: " ^ said ^ "\n" ^ usage);
    exit 2
  in
  Arg.parse (Arg.align options) (fun extra -> fail ("what is " ^ extra ^ "?")) usage;
  if not (Message.is_name !name) then fail "--name is missing, or no name";
  List.iter
    (fun code -> if not (List.mem code Session.capabilities) then fail ("it has no capability " ^ code))
    !capabilities;
  Gc.set { (Gc.get ()) with space_overhead = 40 };
  Sys.set_signal Sys.sigpipe Signal_ignore;
  let environment () =
    let now = int_of_float (Unix.time ()) in
    { Meaning.earlier = now; later = now; dns = [] }
  in
  let config =
    {
      Session.name = !name;
      entries = !entries;
      bytes = !bytes;
      stale_after = !stale_after;
      capabilities = !capabilities;
      random;
      environment;
    }
  in
  match
    let kept = if !floor <> "" && Sys.file_exists !floor then Some (read !floor) else None in
    let memory = Session.memory ?floor:kept ~trust:!trust ~now:(Clock.now ()) () in
    ({ Driver.memory; config; flip = flip ~floor:!floor; tell; is_stopped = false }, Channel.endpoint_of !connect)
  with
  | exception Invalid_argument said -> fail said
  | exception Sys_error said -> fail said
  | exception Unix.Unix_error (error, _, path) -> fail (path ^ ": " ^ Unix.error_message error)
  | driver, endpoint ->
     List.iter
       (fun signal -> Sys.set_signal signal (Signal_handle (fun _ -> driver.is_stopped <- true)))
       [ Sys.sigterm; Sys.sigint ];
     Driver.follow driver endpoint
