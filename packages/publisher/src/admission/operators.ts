/**
 * Who may use `rulectl`, and for what. Whoever can open a control endpoint of the publisher's own, or has a
 * key that is admitted there, may do all; an operator of the configuration what its role says; whoever comes
 * by qrexec no more than the service that dom0 let them call; anybody else nothing. CONTROL.md "Operators".
 */

import { OPERATOR_ROLES, type OperatorRole } from '@rulecast/formats';
import { boundText, ErrorCode, type Message, ProtocolError } from '@rulecast/protocol';
import { type Binding, shownKey } from '@rulecast/sessions';
import type { PeerIdentity } from '@rulecast/vchan';

/** Who is known by a key, a qube or a socket of its own, with what it may do. */
export interface Operator extends Binding {
  readonly role: OperatorRole;
}

/** Who makes a request. */
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

/** The least role that may make a request. What is not here is nobody's. */
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

/** Of a request: what goes beyond what guards allow, beside the fields that say so by their names. */
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
   * Who is at a channel, by its transport; `owner`: whose own socket it came by. Throws ProtocolError
   * `not-permitted` for who may do nothing.
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

/** Whether a role may what another may. */
function allows(role: OperatorRole, least: OperatorRole): boolean {
  return OPERATOR_ROLES.indexOf(role) >= OPERATOR_ROLES.indexOf(least);
}

function notPermitted(text: string): ProtocolError {
  return new ProtocolError(ErrorCode.notPermitted, boundText(text));
}
