/** The part of dns2 that the tests use: it has no types of its own. */
declare module 'dns2' {
  import type { EventEmitter } from 'node:events';
  import type { AddressInfo } from 'node:net';

  interface DnsPacket {
    readonly header: { id: number; rcode: number; tc: number; ra: number };
    readonly questions: readonly { readonly name: string; readonly type: number }[];
    readonly answers: object[];
  }

  interface DnsServer extends EventEmitter {
    listen(port: number, address: string): unknown;
    address(): AddressInfo;
    close(closed: () => void): unknown;
    on(
      event: 'request',
      listener: (request: DnsPacket, send: (answer: DnsPacket | Buffer) => void) => void,
    ): this;
    on(event: 'requestError', listener: (error: Error) => void): this;
  }

  const dns2: {
    readonly Packet: {
      createResponseFromRequest(request: DnsPacket): DnsPacket;
      readonly TYPE: { readonly A: number; readonly AAAA: number; readonly CNAME: number };
      readonly CLASS: { readonly IN: number };
    };
    createUDPServer(): DnsServer;
    createTCPServer(): DnsServer;
  };
  export default dns2;
  export type { DnsPacket };
}
