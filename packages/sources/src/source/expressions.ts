/**
 * Evaluates lists made of others, all from the state of one moment: a list loaded meanwhile waits for the
 * next release, with all lists made of it.
 */

import { operandsOf } from '@rulecast/formats';
import type { List } from '@rulecast/rules';
import { NO_PERMITS, type Permits } from '../guard/guard.ts';
import { type ListLog, standingOf } from './list-log.ts';
import type { ListWork, Source } from './source.ts';

/** Lists by name; undefined if there is no good content yet. */
export type ListsAtOnce = Map<string, List | undefined>;

export interface ExpressionContext {
  readonly sources: ReadonlyMap<string, Source>;
  readonly work: ListWork;
  /** For this time, by list. */
  readonly permits: ReadonlyMap<string, Permits>;
  readonly log: ListLog;
}

/** Lists with those that they are made from. Throws RangeError for a name that there is no source of. */
export function withOperands(
  names: readonly string[],
  sources: ReadonlyMap<string, Source>,
): readonly string[] {
  const all = new Set<string>();
  const open = [...names];
  for (let name = open.pop(); name !== undefined; name = open.pop()) {
    const source = sources.get(name);
    if (source === undefined) throw new RangeError(`there is no list ${name} in the configuration`);
    if (all.has(name)) continue;
    all.add(name);
    open.push(...operandsOf(source.config));
  }
  return [...all];
}

/** Adds to `lists` the present value of each expression, operands first. */
export async function evaluateExpressions(lists: ListsAtOnce, context: ExpressionContext): Promise<void> {
  const done = new Set<string>();
  const visit = async (name: string): Promise<void> => {
    const source = context.sources.get(name);
    if (source === undefined || done.has(name)) return;
    done.add(name);
    for (const operand of operandsOf(source.config)) await visit(operand);
    await evaluate(source, lists, context);
    if (source.config.source.kind === 'expression') lists.set(name, source.list);
  };
  for (const name of context.sources.keys()) await visit(name);
}

async function evaluate(source: Source, lists: ListsAtOnce, context: ExpressionContext): Promise<void> {
  const { source: expression, name, aggregate } = source.config;
  if (expression.kind !== 'expression') return;
  const missing = operandsOf(source.config).find((operand) => lists.get(operand) === undefined);
  if (missing !== undefined) {
    source.refuse({ code: 'operand-missing', reason: `it waits for list ${missing}` });
    return;
  }
  const listsOf = (names: readonly string[]): List[] => names.flatMap((operand) => lists.get(operand) ?? []);
  const operands = listsOf(expression.operands);
  const minus = listsOf(expression.minus);
  const permits = context.permits.get(name);
  if (source.isMadeOf([...operands, ...minus]) && permits === undefined) return;
  const { operator } = expression;
  const list = await context.work.evaluate({ operator, operands, minus, aggregate });
  if (list.kind === 'unsayable') {
    source.refuse({ code: list.code, reason: list.reason });
    return;
  }
  const before = standingOf(source);
  const overridden = await source.takeExpression(list, [...operands, ...minus], permits ?? NO_PERMITS);
  context.log.tell(source, before, overridden);
}
