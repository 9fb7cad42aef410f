/** A DNS server that lasts for one test, on UDP and TCP of one port of 127.0.0.1. */

import { once } from 'node:events';
import dns2, { type DnsPacket } from 'dns2';
import { onTestFinished } from 'vitest';

const { Packet } = dns2;

export type DnsRecord =
  | { readonly type: 'A' | 'AAAA'; readonly address: string; readonly ttl: number }
  | { readonly type: 'CNAME'; readonly to: string; readonly ttl: number };

export type Misbehaviour = 'nxdomain' | 'servfail' | 'refused' | 'silent' | 'garbage';

/** What there is of a name. */
export interface DnsName {
  readonly records?: readonly DnsRecord[];
  /** How a question for one type is answered instead. */
  readonly A?: Misbehaviour;
  readonly AAAA?: Misbehaviour;
  /** Over UDP the answer is cut short: ask by TCP. */
  readonly isLong?: boolean;
}

export interface TestDns {
  /** For `dnsResolver`. */
  readonly server: string;
  /** May be changed at any time. */
  readonly zone: Map<string, DnsName>;
  /** `udp A name`, in order. */
  readonly questions: string[];
}

const RCODES = { nxdomain: 3, servfail: 2, refused: 5 } as const;

/**
 * Answers from a zone; a name that is not in it does not exist. Aliases are followed, as a recursive server
 * does.
 */
export async function serveDns(names: Readonly<Record<string, DnsName>>): Promise<TestDns> {
  const zone = new Map(Object.entries(names));
  const questions: string[] = [];
  const answerBy = (transport: 'udp' | 'tcp') => {
    return (request: DnsPacket, send: (answer: DnsPacket | Buffer) => void): void => {
      const [question] = request.questions;
      if (question === undefined) return;
      const type = question.type === Packet.TYPE.A ? 'A' : 'AAAA';
      questions.push(`${transport} ${type} ${question.name}`);
      const answer = answerOf(request, question.name.toLowerCase(), type, zone, transport);
      if (answer !== undefined) send(answer);
    };
  };
  const udp = dns2
    .createUDPServer()
    .on('request', answerBy('udp'))
    .on('requestError', () => undefined);
  const tcp = dns2
    .createTCPServer()
    .on('request', answerBy('tcp'))
    .on('requestError', () => undefined);
  tcp.listen(0, '127.0.0.1');
  await once(tcp, 'listening');
  const { port } = tcp.address();
  udp.listen(port, '127.0.0.1');
  await once(udp, 'listening');
  onTestFinished(async () => {
    for (const server of [udp, tcp]) await new Promise<void>((resolve) => server.close(resolve));
  });
  return { server: `127.0.0.1:${port}`, zone, questions };
}

function answerOf(
  request: DnsPacket,
  name: string,
  type: 'A' | 'AAAA',
  zone: ReadonlyMap<string, DnsName>,
  transport: 'udp' | 'tcp',
): DnsPacket | Buffer | undefined {
  const answer = Packet.createResponseFromRequest(request);
  answer.header.ra = 1;
  const misbehaviour = zone.has(name) ? zone.get(name)?.[type] : 'nxdomain';
  switch (misbehaviour) {
    case 'silent':
      return undefined;
    case 'garbage':
      return Buffer.concat([
        Buffer.from([request.header.id >> 8, request.header.id & 255]),
        Buffer.alloc(9, 255),
      ]);
    case undefined:
      break;
    default:
      answer.header.rcode = RCODES[misbehaviour];
      return answer;
  }
  if (zone.get(name)?.isLong === true && transport === 'udp') {
    answer.header.tc = 1;
    return answer;
  }
  for (let at: string | undefined = name; at !== undefined; ) {
    const records: readonly DnsRecord[] = zone.get(at)?.records ?? [];
    const alias = records.find((record) => record.type === 'CNAME');
    for (const record of records) {
      if (record.type !== 'CNAME' && record.type !== type) continue;
      const data = record.type === 'CNAME' ? { domain: record.to } : { address: record.address };
      const { CLASS, TYPE } = Packet;
      answer.answers.push({ name: at, type: TYPE[record.type], class: CLASS.IN, ttl: record.ttl, ...data });
    }
    at = alias?.to;
  }
  return answer;
}
