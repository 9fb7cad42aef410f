/** A process that notes in a store what it is behind, and is killed as soon as that returns. */

import { Store } from '../dist/store/store.js';

const [directory = ''] = process.argv.slice(2);
new Store(directory).noteBehind([8, 9]);
process.kill(process.pid, 'SIGKILL');
