/**
 * The compile thread of a table: keeps the parts it was sent, compiles them on demand, and writes the image to the
 * standby, which nobody else touches until the answer. compiler.ts is the other side.
 */

import { type MessagePort, parentPort } from 'node:worker_threads';
import type { List, RuleSet } from '@rulecast/rules';
import {
  type CompilePart,
  type CompileRequest,
  type FromCompileThread,
  type ToCompileThread,
  unpackedResolutions,
} from './compile-message.ts';
import { growTo } from './double-buffer.ts';
import { compileImage, type ImageSizes, writeImage } from './image.ts';
import { TableLimitError } from './limits.ts';
import type { PolicyColumns, RuleColumns } from './rule-columns.ts';

class CompileThread {
  private readonly lists = new Map<number, List>();
  private readonly policies = new Map<number, PolicyColumns>();
  private readonly resolutions = new Map<number, RuleSet['resolutions']>();

  keep(id: number, part: CompilePart): void {
    if (part.kind === 'list') this.lists.set(id, part.list);
    else if (part.kind === 'policy') this.policies.set(id, part.policy);
    else this.resolutions.set(id, unpackedResolutions(part.names, part.sets));
  }

  answer(request: CompileRequest): FromCompileThread {
    try {
      return { kind: 'compiled', sizes: this.compile(request) };
    } catch (error) {
      if (error instanceof TableLimitError) {
        return { kind: 'refused', code: error.code, limit: error.limit, what: error.what };
      }
      return {
        kind: 'failed',
        reason: error instanceof Error ? (error.stack ?? error.message) : String(error),
      };
    }
  }

  private compile(request: CompileRequest): ImageSizes {
    const rules: RuleColumns = {
      lists: new Map(request.lists.map(([name, id]) => [name, held(this.lists, id)])),
      policies: request.policies.map((id) => held(this.policies, id)),
      resolutions: held(this.resolutions, request.resolutions),
    };
    const named = new Set([...request.lists.map(([, id]) => id), ...request.policies, request.resolutions]);
    for (const parts of [this.lists, this.policies, this.resolutions]) {
      for (const id of parts.keys()) if (!named.has(id)) parts.delete(id);
    }
    const compiled = compileImage(rules, request.environment, request.limits);
    growTo(request.standby, compiled.plan.bytes);
    writeImage(compiled, request.generation, request.standby);
    return compiled.sizes;
  }
}

function held<T>(parts: ReadonlyMap<number, T>, id: number): T {
  const part = parts.get(id);
  if (part === undefined) throw new TypeError(`part ${id} was never sent to the compile thread`);
  return part;
}

function serve(port: MessagePort): void {
  const thread = new CompileThread();
  port.on('message', (message: ToCompileThread) => {
    if (message.kind === 'part') thread.keep(message.id, message.part);
    else port.postMessage(thread.answer(message));
  });
}

if (parentPort !== null) serve(parentPort);
