/** What we use of yargs, which brings no types of its own: options become typed arguments as they are declared. */

declare module 'yargs' {
  export interface OptionSpec {
    readonly type: 'string' | 'boolean';
    readonly describe: string;
    /** Given more than once, one value each time. */
    readonly array?: boolean;
    readonly requiresArg?: boolean;
    readonly choices?: readonly string[];
    readonly default?: string | boolean;
    /** Shown by --help in place of the default. */
    readonly defaultDescription?: string;
  }

  type ValueOf<O> = O extends { readonly array: true }
    ? readonly string[] | undefined
    : O extends { readonly type: 'boolean' }
      ? boolean | undefined
      : O extends { readonly choices: readonly (infer C)[] }
        ? O extends { readonly default: string }
          ? C
          : C | undefined
        : O extends { readonly default: string }
          ? string
          : string | undefined;

  export interface Argv<T> {
    option<const K extends string, const O extends OptionSpec>(
      key: K,
      spec: O,
    ): Argv<T & { readonly [P in K]: ValueOf<O> }>;
    positional<const K extends string, const O extends OptionSpec>(
      key: K,
      spec: O,
    ): Argv<T & { readonly [P in K]: ValueOf<O> }>;
    example(examples: readonly (readonly [command: string, description: string])[]): Argv<T>;
    command<U>(
      command: string,
      description: string,
      builder: (yargs: Argv<T>) => Argv<U>,
      handler: (args: U) => void,
    ): Argv<T>;
    alias(alias: string, key: string): Argv<T>;
    check(check: (args: Readonly<Record<string, unknown>>) => true, global: boolean): Argv<T>;
    demandCommand(min: number, message: string): Argv<T>;
    epilogue(text: string): Argv<T>;
    help(): Argv<T>;
    locale(locale: string): Argv<T>;
    parserConfiguration(configuration: Readonly<Record<string, boolean>>): Argv<T>;
    recommendCommands(): Argv<T>;
    scriptName(name: string): Argv<T>;
    showHelpOnFail(enabled: boolean): Argv<T>;
    strict(): Argv<T>;
    usage(text: string): Argv<T>;
    version(version: string): Argv<T>;
    wrap(columns: number): Argv<T>;
    /** `done` gets what would have been printed; with it yargs neither prints nor exits. */
    parse(
      args: readonly string[],
      context: Readonly<Record<string, unknown>>,
      done: (error: Error | null | undefined, args: unknown, output: string) => void,
    ): unknown;
  }

  export default function yargs(): Argv<object>;
}
