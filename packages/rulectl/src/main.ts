/** The program `rulectl`. */

const [first, ...others] = process.argv.slice(2);
// Output is written with blocking calls, so nothing is lost by exiting at once. A user who completes a name
// waits for it, so the rest of the program is not loaded then.
process.exit(
  first === '__complete'
    ? await (await import('./live-names.ts')).complete(others, process.env)
    : await (await import('./cli.ts')).runCli(process.argv.slice(2), process.env),
);
