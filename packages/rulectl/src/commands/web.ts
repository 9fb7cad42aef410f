/**
 * `rulectl web`: serves a page with the content of `status`, `lists`, `history`, `log`, `test` and `which`.
 */

import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { isatty } from 'node:tty';
import type { Argv } from 'yargs';
import { type ControlArgs, controlOf } from '../control/client.ts';
import { CliError, ExitCode, usageError } from '../terminal/exit.ts';
import type { Terminal } from '../terminal/terminal.ts';
import type { Access } from '../web/access.ts';
import { Model } from '../web/model.ts';
import { servePage } from '../web/server.ts';

export const command = 'web';

const LISTEN = /^(127\.0\.0\.1|\[::1\]):(\d{1,5})$/;
const PORT_MAX = 65_535;

export interface WebArgs extends ControlArgs {
  readonly listen: string;
}

export function builder(yargs: Argv<{ readonly control: string }>): Argv<WebArgs> {
  return yargs
    .usage(
      '$0 web\n\nServes a page for a browser of this machine, and prints its link: whether the firewalls enforce what is released, lists, releases, what was refused, and what happens to a packet. It shows what you may see, changes nothing, and ends with this command. A link opens the page once, in one browser; Enter prints another.',
    )
    .option('listen', {
      type: 'string',
      requiresArg: true,
      default: '127.0.0.1:0',
      defaultDescription: '127.0.0.1, any free port',
      describe: 'where: 127.0.0.1:PORT or [::1]:PORT, and no other address',
    })
    .example([
      ['$0 web', 'a link to open'],
      ['$0 web --listen 127.0.0.1:8470', 'always at the same port'],
      ['$0 web --control unix:/run/rulecast/viewer.sock', 'as an operator of the role status'],
    ]);
}

export async function run(args: WebArgs, terminal: Terminal): Promise<ExitCode> {
  const [, host = '', port = ''] = LISTEN.exec(args.listen) ?? [];
  if (host === '' || Number(port) > PORT_MAX)
    throw usageError(
      `--listen ${args.listen}: write 127.0.0.1:PORT or [::1]:PORT; the page is for this machine alone`,
    );
  const world = { nowMs: () => terminal.nowMs(), waitMs: (ms: number) => terminal.waitMs(ms) };
  const model = new Model(controlOf(args), world);
  const complain = (text: string): void => terminal.complain(text);
  const { access } = await servePage(model, { host, port: Number(port) }, randomBytes, complain).catch(
    (cause: Error) => {
      const text = `${args.listen} cannot be listened at: ${cause.message}; name another port, or none`;
      throw new CliError(ExitCode.unreachable, 'cannot-listen', text, { cause });
    },
  );
  tellLink(access, terminal);
  await ended(access, terminal);
  return ExitCode.ok;
}

function tellLink(access: Access, terminal: Terminal): void {
  const url = access.newLink();
  terminal.record({ kind: 'link', url });
  if (!terminal.isJson) terminal.out.line(url);
  terminal.out.flush();
}

/** Resolves when the terminal is gone. Without one a signal ends it, as it ends any program. */
async function ended(access: Access, terminal: Terminal): Promise<void> {
  if (!isatty(0)) return new Promise(() => undefined);
  terminal.complain(
    'rulectl: open it once, in a browser of this machine. Enter: another link. Ctrl-C: the end.',
  );
  process.stdin.on('data', () => tellLink(access, terminal));
  await once(process.stdin, 'end').catch(() => undefined); // reading fails if the terminal is gone
}
