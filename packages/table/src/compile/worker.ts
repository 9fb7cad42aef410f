/**
 * The compile thread of a table: keeps the parts it was sent, compiles them on demand, and writes the image
 * to the places in the table's memory that it is told, which nobody else touches until the answer.
 * compiler.ts is the other side.
 */

import { type MessagePort, parentPort } from 'node:worker_threads';
import type { List, RuleSet } from '@rulecast/rules';
import { Garbage } from '@rulecast/threads';
import type { PolicyColumns, RuleColumns } from '../classes/rule-columns.ts';
import { type CompiledImage, compileImage, writeImage } from '../image/image.ts';
import { TableLimitError } from '../limits.ts';
import { TableMemory } from '../memory/memory.ts';
import {
  type CompileRequest,
  type FromCompileThread,
  type SentPart,
  type ToCompileThread,
  unpackedResolutions,
  type WriteRequest,
} from './exchange.ts';

class CompileThread {
  readonly #lists = new Map<number, List>();
  readonly #policies = new Map<number, PolicyColumns>();
  readonly #resolutions = new Map<number, RuleSet['resolutions']>();
  readonly #lent = new Set<number>();
  #compiled: CompiledImage | undefined; // measured, and not yet told where to go

  keep({ id, part, isLent }: SentPart): void {
    if (isLent) this.#lent.add(id);
    if (part.kind === 'list') this.#lists.set(id, part.list);
    else if (part.kind === 'policy') this.#policies.set(id, part.policy);
    else this.#resolutions.set(id, unpackedResolutions(part.names, part.sets));
  }

  measure(request: CompileRequest): FromCompileThread {
    try {
      this.#compiled = this.#compile(request);
      return { kind: 'measured', pieces: this.#compiled.pieces };
    } catch (error) {
      if (error instanceof TableLimitError) {
        return { kind: 'refused', code: error.code, limit: error.limit, what: error.what };
      }
      return failed(error);
    }
  }

  write({ generation, memory: handle, memoryBytes, places }: WriteRequest): FromCompileThread {
    const compiled = this.#compiled;
    this.#compiled = undefined;
    try {
      if (compiled === undefined) throw new TypeError('nothing was compiled');
      const memory = new TableMemory(handle);
      memory.follow(memoryBytes);
      writeImage(compiled, generation, memory.views, places);
      return { kind: 'compiled', sizes: compiled.sizes, edit: compiled.edit };
    } catch (error) {
      return failed(error);
    }
  }

  drop(): void {
    this.#compiled = undefined;
  }

  #compile(request: CompileRequest): CompiledImage {
    const rules: RuleColumns = {
      lists: new Map(request.lists.map(([name, id]) => [name, held(this.#lists, id)])),
      policies: request.policies.map((id) => held(this.#policies, id)),
      resolutions: held(this.#resolutions, request.resolutions),
      unmatched: request.unmatched,
    };
    const named = new Set([...request.lists.map(([, id]) => id), ...request.policies, request.resolutions]);
    for (const parts of [this.#lists, this.#policies, this.#resolutions]) {
      for (const id of parts.keys()) if (!named.has(id) || this.#lent.has(id)) parts.delete(id);
    }
    this.#lent.clear();
    return compileImage(rules, request.environment, request.limits);
  }
}

function failed(error: unknown): FromCompileThread {
  const reason = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return { kind: 'failed', reason };
}

function held<T>(parts: ReadonlyMap<number, T>, id: number): T {
  const part = parts.get(id);
  if (part === undefined) throw new TypeError(`part ${id} was never sent to the compile thread`);
  return part;
}

function serve(port: MessagePort): void {
  const thread = new CompileThread();
  const garbage = new Garbage();
  port.on('message', (message: ToCompileThread) => {
    switch (message.kind) {
      case 'parts':
        for (const part of message.parts) thread.keep(part);
        break;
      case 'drop':
        thread.drop();
        break;
      case 'compile':
        post(port, thread.measure(message));
        break;
      case 'write':
        post(port, thread.write(message));
        garbage.sweep();
    }
  });
}

/** Posts an answer; the classes' arrays go away with it. */
function post(port: MessagePort, answer: FromCompileThread): void {
  const sets = answer.kind === 'compiled' ? answer.edit.sets : undefined;
  port.postMessage(
    answer,
    sets === undefined ? [] : [sets.starts, sets.members, sets.hashes].map(({ buffer }) => buffer),
  );
}

if (parentPort !== null) serve(parentPort);
