/** The upstream of the command line: a publisher at an endpoint, or mirrors of its depot. */

import { usageError } from '@rulecast/program';
import { STEADY_CLOCK, systemTurn, type Trust } from '@rulecast/protocol';
import {
  type ConnectOptions,
  connect,
  curvePeerKeys,
  type Endpoint,
  EndpointError,
  needsCurve,
  parseEndpoint,
  readCurveKeyPair,
} from '@rulecast/vchan';
import type { Logger } from 'pino';
import { systemRandom, systemWallMs } from '../clock/system.ts';
import type { SubscriberOptions } from '../peer/options.ts';
import { argv } from './options.ts';

const WEB = /^https?:/i;
/** One variable, or key of QubesDB, may have several. */
const BETWEEN_MIRRORS = / +(?=https?:)/i;
const NOT_KNOWN =
  'without --report-token FILE the publisher does not know which release is in force, and does not confirm that it is the newest: rulectl keys token NAME makes a token';
const NOTHING_TAKEN =
  'no release was in force here, and the first one needs --report-token FILE, so that the publisher confirms which is newest: rulectl keys token NAME makes a token';

export interface Upstream {
  readonly options: Pick<SubscriberOptions, 'channel' | 'staleAfterMs'>;
  /** For people. */
  readonly text: string;
  /** Warns of missing options, given the version in force. */
  warn(version: number | undefined): void;
  close(): Promise<void>;
}

/**
 * The addresses of `--connect`, one by one. Throws ProgramError `usage` for options that exclude each other.
 */
export function placesIn(given: readonly string[]): readonly string[] {
  const places = given.flatMap((text) => text.split(BETWEEN_MIRRORS));
  const { ca, reportToken, stale } = argv;
  const isMirrored = places.some((place) => WEB.test(place));
  if (!isMirrored) endpointOf(places);
  if (!isMirrored && (ca !== undefined || reportToken !== undefined))
    throw usageError('--ca and --report-token go with --connect https://…: a session needs neither');
  if (isMirrored && reportToken === undefined && stale === 'closed')
    throw usageError('--stale closed goes with --report-token FILE: else all is stale after 15 minutes');
  return places;
}

/** Reads files that need the rights of this process, and begins to ask mirrors. Throws ProgramError. */
export async function openUpstream(
  places: readonly string[],
  trust: Trust,
  logger: Logger,
  onText: (text: string) => void,
): Promise<Upstream> {
  if (!places.some((place) => WEB.test(place))) {
    const endpoint = endpointOf(places);
    const keys = curveOptions(endpoint);
    const channel: SubscriberOptions['channel'] = (signal) => connect(endpoint, { signal, ...keys, onText });
    return {
      options: { channel },
      text: places.join(' '),
      warn: () => undefined,
      close: async () => undefined,
    };
  }
  const { openMirrors, readMirrors } = await import('./mirrors.ts'); // few have it
  const world = { clock: STEADY_CLOCK, turn: systemTurn, nowMs: systemWallMs, random: systemRandom };
  const read = readMirrors(places, argv, STEADY_CLOCK, logger);
  const { channel, staleAfterMs, close } = openMirrors({
    ...read,
    ...world,
    trust,
    logger,
    pollMs: argv.poll * 1000,
  });
  const warn = (version: number | undefined): void => {
    if (read.token === undefined) logger.warn(version === undefined ? NOTHING_TAKEN : NOT_KNOWN);
  };
  const text = read.sources.map(({ name }) => name).join(' ');
  return { options: { channel, staleAfterMs }, text, warn, close };
}

/** The keys for an endpoint over ZeroMQ, as the options say. */
function curveOptions(endpoint: Endpoint): Pick<ConnectOptions, 'curve'> {
  const { curveKey, curvePeer } = argv;
  if (curveKey === undefined && curvePeer === undefined) {
    if (needsCurve(endpoint)) {
      throw usageError(
        `--connect ${argv.connect.join(' ')} leaves this machine: it needs --curve-key FILE and --curve-peer KEY`,
      );
    }
    return {};
  }
  if (curveKey === undefined || curvePeer === undefined) {
    throw usageError('--curve-key FILE and --curve-peer KEY go together: each end proves who it is');
  }
  try {
    const [serverKey, ...others] = curvePeerKeys(curvePeer);
    if (serverKey === undefined || others.length > 0)
      throw usageError(`--curve-peer: ${curvePeer} must hold one key`);
    return { curve: { ...readCurveKeyPair(curveKey), serverKey } };
  } catch (error) {
    throw error instanceof EndpointError ? usageError(error.message, { cause: error }) : error;
  }
}

function endpointOf([text = '', another]: readonly string[]): Endpoint {
  if (another !== undefined)
    throw usageError(`--connect ${another}: several are mirrors, each an address as https://rules.example/`);
  try {
    return parseEndpoint(text);
  } catch (error) {
    throw error instanceof EndpointError ? usageError(error.message, { cause: error }) : error;
  }
}
