/** Findings of `rulectl doctor`, and the interface to the machine it examines. */

/** The result of one check. */
export interface Finding {
  /** Stable, for programs. */
  readonly check: string;
  /** `doubt`: it works, and may not for long, or not as somebody thinks. */
  readonly result: 'good' | 'doubt' | 'fault';
  /** The finding. */
  readonly text: string;
  /** The remedy; absent if all is well. */
  readonly remedy?: string;
}

/** A file, as far as its permissions go. */
export interface FileState {
  readonly kind: 'file' | 'folder' | 'socket' | 'device' | 'other';
  /** Permission bits. */
  readonly mode: number;
}

export interface CommandResult {
  /** undefined: it could not be started, or took too long. */
  readonly status: number | undefined;
  readonly stdout: string;
}

/** The machine. Each answer is undefined for what is not there or may not be seen. */
export interface Machine {
  text(path: string): string | undefined;
  state(path: string): FileState | undefined;
  /** The target of a link, all links followed. */
  target(path: string): string | undefined;
  freeBytes(path: string): number | undefined;
  run(program: string, ...args: readonly string[]): CommandResult;
  readonly nowMs: number;
  /** As `uname -r`. */
  readonly kernel: string;
  /** Without the `v`. */
  readonly node: string;
}

export function good(check: string, text: string): Finding {
  return { check, result: 'good', text };
}

export function doubt(check: string, text: string, remedy: string): Finding {
  return { check, result: 'doubt', text, remedy };
}

export function fault(check: string, text: string, remedy: string): Finding {
  return { check, result: 'fault', text, remedy };
}

/** Whether a dotted version is at least another one. */
export function isAtLeast(version: string, least: readonly number[]): boolean {
  const numbers = version.split(/[.-]/).map(Number);
  for (const [at, wanted] of least.entries()) {
    const said = numbers[at] ?? 0;
    if (said !== wanted) return said > wanted;
  }
  return true;
}
