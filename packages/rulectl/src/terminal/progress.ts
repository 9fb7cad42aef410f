/** A progress bar on standard error, for somebody who watches; nothing otherwise. */

import cliProgress from 'cli-progress';

export class Progress {
  readonly #isShown: boolean;
  #bar: InstanceType<typeof cliProgress.SingleBar> | undefined;
  #stage: string | undefined;

  /** `isShown`: whether standard error is a terminal. */
  constructor(isShown: boolean) {
    this.#isShown = isShown;
  }

  /** Shows `done` of `total` of a stage; another stage takes the bar over. */
  show(stage: string, done: number, total: number): void {
    if (!this.#isShown || total === 0) return;
    if (this.#bar === undefined || this.#stage !== stage) this.#start(stage, total);
    this.#bar?.update(done);
  }

  #start(stage: string, total: number): void {
    this.stop();
    this.#bar = new cliProgress.SingleBar({
      format: '{stage} [{bar}] {percentage}%',
      stream: process.stderr,
      clearOnComplete: true,
      hideCursor: true,
      barCompleteChar: '#',
      barIncompleteChar: '.',
    });
    this.#stage = stage;
    this.#bar.start(total, 0, { stage });
  }

  /** Removes the bar: call it before anything else is printed. */
  stop(): void {
    this.#bar?.stop();
    this.#bar = undefined;
    this.#stage = undefined;
  }
}
