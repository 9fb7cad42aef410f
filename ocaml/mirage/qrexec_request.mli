(** The bytes of a qrexec call that a unikernel makes: qrexec.h of Qubes, `trigger_service_params`,
    `trigger_service_params3`, `exec_params`. For [Qubes.RExec] of mirage-qubes. *)

(** How a call is named until it is connected or refused: at most 31 bytes, without NUL. *)
type identifier = string

(** The identifier of the call with that number. *)
val identifier : int -> identifier

(** The body of MSG_TRIGGER_SERVICE (protocol 2) or MSG_TRIGGER_SERVICE3 (protocol 3).
    @raise Invalid_argument for what does not fit. *)
val trigger :
  version:[ `V2 | `V3 ] -> service:string -> vm:string -> identifier -> [ `Trigger_service | `Trigger_service3 ] * string

(** Of the body of MSG_SERVICE_CONNECT: the domain, its port, and the call. [None]: it is too short. *)
val connected : string -> (int32 * int32 * identifier) option

(** Of the body of MSG_SERVICE_REFUSED. *)
val refused : string -> identifier
