/**
 * Ends with what to do where Node is older than package.json's `engines` say, before anything is built with
 * it. npm only warns of that, unless `engine-strict` is set; and that holds us to what packages say of npm,
 * too, of which some ask for a newer one than they need.
 *
 * In syntax that old ones read, too.
 */

'use strict';

const { engines } = require('./package.json');

if (!isWithin(process.versions.node, engines.node)) {
  process.stderr.write(
    `Rulecast needs Node ${engines.node}, and this is ${process.versions.node}: install another one (Debian 13 has it).\n`,
  );
  process.exit(1);
}

/**
 * Whether a version is in a range of `^A.B.C` and `>=A.B.C`, joined by `||`. Any other range holds no
 * version.
 * @param {string} version
 * @param {string} range
 */
function isWithin(version, range) {
  const [major = 0, minor = 0, patch = 0] = version.split('.').map(Number);
  return range.split('||').some((part) => {
    const least = /^\s*(\^|>=)(\d+)\.(\d+)\.(\d+)\s*$/.exec(part);
    if (least === null) return false;
    const [leastMajor = 0, leastMinor = 0, leastPatch = 0] = least.slice(2).map(Number);
    if (major !== leastMajor) return least[1] === '>=' && major > leastMajor;
    return minor !== leastMinor ? minor > leastMinor : patch >= leastPatch;
  });
}
