/**
 * Lists written inside an expression in place of a name: `union: [ipsum, { country: ru }]`. Each becomes a
 * list of its own that is not released: `country.ru`.
 */

import type { MappingEntry, MappingNode, TreeNode } from '../document/node.ts';
import { EXPRESSION_SOURCES } from './list-keys.ts';
import { ConfigFault, type ConfigReader, textsOf } from './reader.ts';

/** Keys whose values are lists. */
export const OPERAND_KEYS = [...EXPRESSION_SOURCES, 'minus'] as const;
/** As long as the name of a part: it is shown, and names a file. */
const NAME_MAX_CHARS = 63;

/** The lists, with those written inside expressions as lists of their own, each once. */
export function withOperandLists(lists: MappingNode, reader: ConfigReader): MappingNode {
  const operands = new Map<string, MappingEntry>();
  const nameOf = (operand: TreeNode): TreeNode => {
    const [entry] = operand.kind === 'mapping' ? operand.entries : [];
    if (operand.kind !== 'mapping' || entry === undefined) return operand;
    const { offset } = operand;
    const [key, { keyOffset, value }] = entry;
    const values = textsOf(value).map((text) => text.value.toLowerCase());
    const name = [key, ...values].join('.');
    if (name.length > NAME_MAX_CHARS)
      reader.fault(
        keyOffset,
        ConfigFault.limit,
        `${key}: is too long here: make a list of it, and name that`,
      );
    const publish = { keyOffset, value: { kind: 'text' as const, value: 'false', offset, exact: false } };
    const own = lists.entries.get(name);
    if (own !== undefined) {
      const reason = `list ${name} has the name of { ${key}: … } in an expression: use another name`;
      reader.fault(own.keyOffset, ConfigFault.name, reason);
    }
    operands.set(name, {
      keyOffset,
      value: { ...operand, entries: new Map([...operand.entries, ['publish', publish]]) },
    });
    return { kind: 'text', value: name, offset, exact: false };
  };
  const entries = Array.from(lists.entries, ([name, entry]): [string, MappingEntry] => {
    const { value } = entry;
    if (value.kind !== 'mapping') return [name, entry];
    const keys = Array.from(value.entries, ([key, below]): [string, MappingEntry] => {
      if (!OPERAND_KEYS.some((known) => known === key)) return [key, below];
      const { value: given } = below;
      const named = given.kind === 'sequence' ? { ...given, items: given.items.map(nameOf) } : nameOf(given);
      return [key, { ...below, value: named }];
    });
    return [name, { ...entry, value: { ...value, entries: new Map(keys) } }];
  });
  return { ...lists, entries: new Map([...entries, ...operands]) };
}
