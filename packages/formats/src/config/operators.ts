/**
 * The part of the publisher's configuration about operators: the users of `rulectl`, how each is identified,
 * and its role. Without a role, only the owner of the control endpoint has rights.
 */

import { isPartName } from '@rulecast/rules';
import type { MappingNode } from '../document/node.ts';
import { partNameReason } from '../text/entry.ts';
import { type Keys, readKeys, word } from './key.ts';
import { ConfigFault, type ConfigReader } from './reader.ts';
import { type BindingConfig, readBindings, SUBSCRIBER_KEYS } from './subscribers.ts';

/** The roles of operators; each includes those before it. */
export const OPERATOR_ROLES = ['status', 'push', 'admin'] as const;
export type OperatorRole = (typeof OPERATOR_ROLES)[number];

export interface OperatorConfig extends BindingConfig {
  readonly role: OperatorRole;
}

/** Each has places of its own at the control endpoints. */
export const OPERATORS_MAX = 32;

/** The keys of an operator beside those of a subscriber. */
export const ROLE_KEYS = {
  role: word(
    OPERATOR_ROLES,
    '`status`: look; `push`: release, refresh, roll back, block, allow and cut off, within the guards; `admin`: all',
  ),
} as const satisfies Keys;

export const OPERATOR_KEYS = { ...ROLE_KEYS, ...SUBSCRIBER_KEYS } as const satisfies Keys;

/** Reads operators. One without a valid name, a role or an identity is a fault at its place. */
export function readOperators(node: MappingNode, reader: ConfigReader): readonly OperatorConfig[] {
  const bindings = new Map(readBindings(node, reader).map((binding) => [binding.name, binding]));
  const operators: OperatorConfig[] = [];
  for (const [name, { keyOffset, value }] of node.entries) {
    if (operators.length === OPERATORS_MAX) {
      reader.fault(keyOffset, ConfigFault.limit, `at most ${OPERATORS_MAX} operators`);
      break;
    }
    const binding = bindings.get(name);
    const { role } = readKeys(ROLE_KEYS, value.kind === 'mapping' ? value : undefined, reader);
    if (!isPartName(name)) reader.fault(keyOffset, ConfigFault.name, partNameReason(name, 'operator'));
    else if (binding !== undefined && role !== undefined) operators.push({ ...binding, role });
    else if (binding === undefined && role !== undefined)
      reader.fault(keyOffset, ConfigFault.value, `${name}: write curve-key:, qube: or socket: as well`);
  }
  return operators;
}
