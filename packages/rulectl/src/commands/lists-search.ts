/** `rulectl lists search`: searches feeds of the catalogue by words. */

import type { Argv } from 'yargs';
import { searchCatalogue } from '../catalogue/catalogue.ts';
import { renderCatalogue } from '../render/catalogue.ts';
import { CliError, ExitCode } from '../terminal/exit.ts';
import type { Terminal } from '../terminal/terminal.ts';

export const command = 'lists-search [word..]';

export interface SearchArgs {
  readonly word: readonly string[] | undefined;
}

export function builder(yargs: Argv<object>): Argv<SearchArgs> {
  return yargs
    .usage(
      '$0 lists search [WORD...]\n\nShows the public feeds of the catalogue in whose key, title, topic, publisher or licence a word begins with WORD; without WORD, all of them. It works offline: the catalogue comes with rulectl.',
    )
    .positional('word', {
      type: 'string',
      array: true,
      describe: 'beginnings of words, all of which an entry has',
    })
    .example([
      ['$0 lists search ads', 'what blocks ads'],
      ['$0 lists search tor', 'where Tor leaves'],
      ['$0 lists search phishing names', 'names of phishing'],
    ]);
}

export async function run({ word = [] }: SearchArgs, terminal: Terminal): Promise<ExitCode> {
  const found = searchCatalogue(word);
  if (found.length === 0)
    throw new CliError(
      ExitCode.refused,
      'no-such-entry',
      `no entry of the catalogue has ${word.join(' and ')}: try fewer words, or rulectl lists search for all`,
    );
  if (terminal.isJson) for (const entry of found) terminal.record({ kind: 'feed', ...entry });
  else {
    const more = 'rulectl lists show KEY tells all of one; rulectl lists add KEY adds it.';
    terminal.out.line(`${renderCatalogue(found, terminal.colors)}\n\n${more}`);
  }
  return ExitCode.ok;
}
