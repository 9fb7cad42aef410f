/** Globs over names with slashes, for members of archives and files of directories. */

import picomatch from 'picomatch';

/**
 * Whether a name is wanted: by one of the globs, or by all if there are none, and by none that starts with
 * `!`. A glob without a slash is about the last part of a name. Throws TypeError for what is no glob.
 */
export function wantedBy(globs: readonly string[] | undefined): (name: string) => boolean {
  if (globs === undefined || globs.length === 0) return () => true;
  const matcher = (glob: string): ((name: string) => boolean) => {
    return picomatch(glob, { dot: true, basename: !glob.includes('/') });
  };
  const wanted = globs.filter((glob) => !glob.startsWith('!')).map(matcher);
  const unwanted = globs.filter((glob) => glob.startsWith('!')).map((glob) => matcher(glob.slice(1)));
  return (name) => {
    if (unwanted.some((matches) => matches(name))) return false;
    return wanted.length === 0 || wanted.some((matches) => matches(name));
  };
}
