/**
 * A program that is started before it is needed and waits for its input, so that no release waits until it has started. `nft` looks
 * at nothing in the kernel before its script has ended. The one that waits ends when its input does, so it does not outlive us.
 */

import { StartedCommand } from './command.ts';

/** After the last one was taken: what comes together is not held up by one that starts. */
const START_AFTER_MS = 100;

export class Standby {
  private readonly program: string;
  private readonly args: readonly string[];
  private waiting: StartedCommand | undefined;
  private timer: NodeJS.Timeout | undefined;

  constructor(program: string, args: readonly string[]) {
    this.program = program;
    this.args = args;
  }

  /** The one that waits, or where there is none a new one. */
  take(): StartedCommand {
    const { waiting } = this;
    this.waiting = undefined;
    this.startSoon();
    return waiting === undefined || waiting.hasEnded ? this.start() : waiting;
  }

  /** Starts one in a moment, unless one waits. */
  startSoon(): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      if (this.waiting === undefined || this.waiting.hasEnded) this.waiting = this.start();
    }, START_AFTER_MS).unref();
  }

  /** Ends the one that waits. Take no more. */
  close(): void {
    clearTimeout(this.timer);
    this.waiting?.dismiss();
  }

  private start(): StartedCommand {
    return new StartedCommand(this.program, this.args);
  }
}
