/** What we use of cli-progress, which brings no types of its own. */

declare module 'cli-progress' {
  export interface BarOptions {
    readonly format: string;
    readonly stream: NodeJS.WritableStream;
    readonly clearOnComplete: boolean;
    readonly hideCursor: boolean;
    readonly barCompleteChar: string;
    readonly barIncompleteChar: string;
  }

  class SingleBar {
    constructor(options: BarOptions);
    start(total: number, startValue: number, payload: Readonly<Record<string, string>>): void;
    update(value: number): void;
    stop(): void;
  }

  const cliProgress: { readonly SingleBar: typeof SingleBar };
  export default cliProgress;
}
