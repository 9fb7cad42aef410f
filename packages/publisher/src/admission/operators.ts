/**
 * Who may use `rulectl`, and for what. The owner of the publisher's own control endpoint, and a key admitted
 * there, may do everything. An operator of the configuration has a role; a caller by qrexec has the rights of
 * the service that dom0 let it call. Nobody else is admitted. CONTROL.md "Operators".
 */

import { OPERATOR_ROLES, type OperatorRole } from '@rulecast/formats';
import { boundText, ErrorCode, type Message, ProtocolError } from '@rulecast/protocol';
import { type Binding, shownKey } from '@rulecast/sessions';
import type { PeerIdentity } from '@rulecast/vchan';

/** A caller known by a key, a qube or a socket of its own, with its role. */
export interface Operator extends Binding {
  readonly role: OperatorRole;
}

/** The caller of a request, with its role. */
export interface Caller {
  /** For people: the name of an operator, or how the caller came. */
  readonly by: string;
  readonly role: OperatorRole;
}

/** The services that operators call by qrexec, and the most that one who calls it may do. */
const SERVICES: ReadonlyMap<string, OperatorRole> = new Map([
  ['rulecast.Status', 'status'],
  ['rulecast.Push', 'push'],
  ['rulecast.Admin', 'admin'],
]);

/** The least role that a request needs. A request that is not listed is refused. */
const NEEDED: ReadonlyMap<Message['kind'], OperatorRole> = new Map([
  ['status', 'status'],
  ['test', 'status'],
  ['which', 'status'],
  ['history', 'status'],
  ['diff', 'status'],
  ['lists', 'status'],
  ['list', 'status'],
  ['top', 'status'],
  ['blocks', 'status'],
  ['metrics', 'status'],
  ['push', 'push'],
  ['rollback', 'push'],
  ['refresh', 'push'],
  ['block', 'push'],
  ['unblock', 'push'],
  ['forget', 'admin'],
  ['log', 'admin'],
]);

/** Fields of a request that override guards, besides those named after a guard. */
const OPENING_FIELDS: ReadonlySet<string> = new Set(['asNewEpoch', 'force', '+permit']);

export class Operators {
  readonly all: readonly Operator[];
  readonly #byName: ReadonlyMap<string, Operator>;
  readonly #byKey: ReadonlyMap<string | undefined, Operator>;
  readonly #byQube: ReadonlyMap<string | undefined, Operator>;

  /** No key, qube or path may be there twice. */
  constructor(all: readonly Operator[]) {
    this.all = all;
    this.#byName = new Map(all.map((operator) => [operator.name, operator]));
    this.#byKey = new Map(all.map((operator) => [operator.curveKey, operator]));
    this.#byQube = new Map(all.map((operator) => [operator.qube, operator]));
  }

  has(name: string): boolean {
    return this.#byName.has(name);
  }

  /**
   * The caller at a channel, by its transport; `owner` names the operator whose own socket it came by. Throws
   * ProtocolError `not-permitted` for a caller without rights.
   */
  callerOf({ curveKey, qube, service, argument }: PeerIdentity, owner: string | undefined): Caller {
    if (owner !== undefined) return callerOf(this.#byName.get(owner), owner);
    if (curveKey !== undefined) {
      const operator = this.#byKey.get(curveKey);
      return operator === undefined
        ? { by: `(key ${shownKey(curveKey)})`, role: 'admin' }
        : callerOf(operator, '');
    }
    if (qube === undefined) return { by: '(owner)', role: 'admin' };
    const most = SERVICES.get(service ?? '');
    if (most === undefined) throw notPermitted(`${service ?? 'what was called'} is no service of operators`);
    const { by, role } = callerOf(this.#byQube.get(qube), `the qube ${qube}`);
    if (argument !== undefined && argument !== by)
      throw notPermitted(`the call is for ${argument}, not ${by}`);
    return { by, role: allows(role, most) ? most : role };
  }
}

function callerOf(operator: Operator | undefined, shown: string): Caller {
  if (operator !== undefined) return { by: operator.name, role: operator.role };
  throw notPermitted(`${shown} is no operator: name it below operators: in the publisher's configuration`);
}

/** Throws ProtocolError `not-permitted` for a request, or a part of it, that this role may not make. */
export function checkRole(request: Message, { by, role }: Caller): void {
  const needed = NEEDED.get(request.kind);
  if (needed === undefined)
    throw new ProtocolError(ErrorCode.unexpectedMessage, `${request.kind} is no request`);
  const ask = (least: OperatorRole, what: string): void => {
    if (!allows(role, least)) throw notPermitted(`${by} may ${role}, and ${what} takes the role ${least}`);
  };
  ask(needed, request.kind);
  for (const [field, value] of Object.entries(request)) {
    const isOpening = /^\+?allow/.test(field) || OPENING_FIELDS.has(field);
    if (isOpening && value !== undefined && value !== false) ask('admin', `${request.kind} with ${field}`);
  }
}

/** Whether a role includes another. */
function allows(role: OperatorRole, least: OperatorRole): boolean {
  return OPERATOR_ROLES.indexOf(role) >= OPERATOR_ROLES.indexOf(least);
}

function notPermitted(text: string): ProtocolError {
  return new ProtocolError(ErrorCode.notPermitted, boundText(text));
}
