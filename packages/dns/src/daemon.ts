/**
 * `rulecast-dns`: the proxy as a process. It judges by a rule set document of this machine; following
 * releases, and opening addresses, is to come.
 */

import { randomBytes } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';
import {
  EXIT_FAILED,
  LogStream,
  ProgramError,
  runProgram,
  serviceManager,
  stopSignal,
} from '@rulecast/program';
import { type Logger, pino } from 'pino';
import { argv, endpointsOf } from './daemon/options.ts';
import { judgeOfFile, RulesError } from './daemon/rules.ts';
import type { NameJudge } from './judge/judge.ts';
import { DnsServer } from './proxy/server.ts';

await runProgram('rulecast-dns', main);

async function main(): Promise<void> {
  const logger = pino({ name: 'rulecast-dns', level: argv.logLevel }, new LogStream(2));
  const manager = serviceManager(process.env, (error) => {
    logger.warn({ err: error }, 'the service manager could not be told');
  });
  const [listen, upstreams] = [endpointsOf('listen'), endpointsOf('upstream')];
  let judge = await firstJudge();
  const server = await DnsServer.listen({
    listen,
    upstreams,
    judge: (asker, name, at, aliases) => judge.judge(asker, name, at, aliases, { now: nowS() }),
    randomBytes,
    nowMs: () => performance.now(),
  });
  const stop = stopSignal(); // before anybody is told that it runs, and may end it
  let [isReading, isAsked] = [false, false];
  process.on('SIGHUP', async () => {
    isAsked = true; // however often, while one is read: once more
    if (isReading) return;
    isReading = true;
    while (isAsked) {
      isAsked = false;
      judge = (await nextJudge(logger)) ?? judge;
    }
    isReading = false;
  });
  logger.info({ listen: argv.listen, upstream: argv.upstream }, 'ready');
  manager.ready();
  await stop;
  manager.stopping();
  logger.info({ ...server.counts }, 'stopping');
  await server.close();
  process.exit(0); // whatever is being read
}

function nowS(): number {
  return Math.floor(Date.now() / 1000);
}

/** The judge of the document, made while questions are answered. */
async function newJudge(): Promise<NameJudge> {
  const steps = judgeOfFile(argv.rules, nowS());
  for (;;) {
    const { done, value } = steps.next();
    if (done === true) return value;
    await setImmediate();
  }
}

async function firstJudge(): Promise<NameJudge> {
  try {
    return await newJudge();
  } catch (error) {
    if (!(error instanceof RulesError)) throw error;
    throw new ProgramError(EXIT_FAILED, error.message, { cause: error });
  }
}

/** Undefined where the document cannot be read: the one before holds. */
async function nextJudge(logger: Logger): Promise<NameJudge | undefined> {
  try {
    const judge = await newJudge();
    logger.info({ rules: argv.rules }, 'the rules were read again');
    return judge;
  } catch (error) {
    const said = error instanceof Error ? error.message : String(error);
    logger.error({ rules: argv.rules, reason: said }, 'the rules cannot be used: those before hold');
    return undefined;
  }
}
