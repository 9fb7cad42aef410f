/** Where the daemons and `rulectl` meet when nobody says otherwise. */

/** Endpoint URLs below one runtime directory. */
export interface RuntimeEndpoints {
  /** Where `rulectl` reaches the publisher. */
  readonly control: string;
  /** Where subscribers reach the publisher. */
  readonly subscribers: string;
}

/** The runtime directory: `$XDG_RUNTIME_DIR/rulecast`, else `/run/rulecast`. */
export function runtimeDirectory(environment: Readonly<Record<string, string | undefined>>): string {
  const base = environment['XDG_RUNTIME_DIR'];
  return base === undefined || base === '' ? '/run/rulecast' : `${base}/rulecast`;
}

export function defaultEndpoints(
  environment: Readonly<Record<string, string | undefined>>,
): RuntimeEndpoints {
  const directory = runtimeDirectory(environment);
  return { control: `unix:${directory}/control.sock`, subscribers: `unix:${directory}/subscribers.sock` };
}
