/** The program `rulectl`. */

import { runCli } from './cli.ts';

// Output is written with blocking calls, so nothing is lost by exiting at once.
process.exit(await runCli(process.argv.slice(2), process.env));
