/** Command lines of programs that `npm run` starts here: options with a value each, and flags. */

/**
 * What was given, by name, a flag as ''; undefined where a name is not known, comes twice, or lacks its
 * value.
 * @param {readonly string[]} args
 * @param {readonly string[]} names of options that take a value
 * @param {readonly string[]} [flags]
 * @returns {ReadonlyMap<string, string> | undefined}
 */
export function givenOptions(args, names, flags = []) {
  /** @type {Map<string, string>} */
  const given = new Map();
  for (let i = 0; i < args.length; i++) {
    const name = /^--(.+)$/.exec(args[i] ?? '')?.[1] ?? '';
    const value = flags.includes(name) ? '' : args[++i];
    if (
      value === undefined ||
      given.has(name) ||
      !(flags.includes(name) || (names.includes(name) && value !== ''))
    )
      return undefined;
    given.set(name, value);
  }
  return given;
}

/**
 * The number given, or another one; NaN where it is none.
 * @param {ReadonlyMap<string, string>} given
 * @param {string} name
 * @param {number} otherwise
 */
export function numberGiven(given, name, otherwise) {
  return Number(given.get(name) ?? otherwise);
}
