/**
 * Waits until its standard input closes, which is the end of the run that started it, and removes what the
 * run left: run.mjs.
 */

import { removeBelongings } from './belongings.mjs';

const [id, ...directories] = process.argv.slice(2);
if (id === undefined || directories.length === 0) throw new Error('keeper.mjs ID DIRECTORY...');

// A signal for everything in sight is not meant for this process, which still has to clean up.
for (const signal of ['SIGHUP', 'SIGINT', 'SIGTERM']) process.on(signal, () => undefined);
process.stdin.on('end', () => removeBelongings({ id, directories }, [process.pid]));
process.stdin.resume();
