/** What `rulectl init` did and found, for people or programs, and what is to be done now. */

import { shownName } from '../terminal/input.ts';
import type { Terminal } from '../terminal/terminal.ts';
import type { PlannedFile } from './files.ts';
import type { Block } from './places.ts';

export class Report {
  readonly #terminal: Pick<Terminal, 'out' | 'complain'>;
  readonly #isJson: boolean;
  #changes = 0;

  constructor(terminal: Pick<Terminal, 'out' | 'complain'>, isJson: boolean) {
    this.#terminal = terminal;
    this.#isJson = isJson;
  }

  file({ path, state, text }: PlannedFile): void {
    this.#tell({ kind: 'file', path, state }, `${state}: ${shownName(path)}`);
    if (state === 'written') this.#changes++;
    if (state !== 'left') return;
    this.#terminal.complain(
      `rulectl: ${shownName(path)} was changed by a person, and is left alone; nothing was written. It lacks what this one has:\n\n${text}\nWrite that into it, or move it away and run this again.`,
    );
  }

  interface(name: string, state: 'joined' | 'unchanged'): void {
    this.#tell(
      { kind: 'interface', name, state },
      `${state}: ${name} is in link group 2, of interfaces that are judged`,
    );
    if (state === 'joined') this.#changes++;
  }

  /** Addresses of a qube of which one family is missing: what it sends over that is not judged. */
  family(address: string): void {
    const [family, more] = address.includes(':') ? ['IPv4', '10.137.0.5,'] : ['IPv6', ''];
    const text = `what ${address} sends over ${family} is not judged: where it has an address of that, too, add it: --qube ${more}${address}${more === '' ? ',fd09::a89:5' : ''}`;
    this.#tell({ kind: 'warning', code: 'policy-of-one-family', text }, `warning: ${text}`);
  }

  end(blocks: readonly Block[], proof: readonly string[]): void {
    const all = [...blocks, { place: 'behind the firewall, when it is in force', lines: proof }];
    const first = this.#changes === 0 ? ['Nothing was changed: all of it was there.'] : [];
    if (!this.#isJson) for (const line of first) this.#terminal.out.line(line);
    for (const { place, lines } of all)
      this.#tell({ kind: 'block', place, lines }, [`\n# ${place}:`, ...lines].join('\n'));
  }

  #tell(record: object, text: string): void {
    if (this.#isJson) this.#terminal.out.json(record);
    else this.#terminal.out.line(text);
  }
}
