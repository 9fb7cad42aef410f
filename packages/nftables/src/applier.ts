/**
 * The applier: the only process with CAP_NET_ADMIN. It takes requests on standard input, checks each wholly, and runs `nft` and
 * `conntrack`. It opens no socket and parses no rule; what it knows of the rest is in message.ts.
 */

import { checkRequest, RequestError } from './change-check.ts';
import { CommandError } from './command.ts';
import { readMarks } from './flows.ts';
import { lookAtKernel, readCounters } from './kernel.ts';
import { ERROR_TEXT_MAX_BYTES } from './limits.ts';
import { FrameSplitter, type FromApplier, frameOf, parseFrame, type Reply, type Request } from './message.ts';
import { scriptOf } from './script.ts';
import { Standby } from './standby.ts';

export interface ApplierOptions {
  readonly nft: string;
  readonly conntrack: string;
}

/** Serves requests, one after the other, until the input ends. */
export async function serveApplier(
  input: AsyncIterable<Buffer>,
  write: (bytes: Uint8Array) => Promise<void>,
  options: ApplierOptions,
): Promise<void> {
  const send = async (message: FromApplier, body: readonly Uint8Array[] = []): Promise<void> => {
    for (const piece of frameOf(message, body)) await write(piece);
  };
  const applier = new Applier(options);
  const splitter = new FrameSplitter();
  for await (const bytes of input) {
    for (const frame of splitter.push(bytes)) {
      const { header, body } = parseFrame(frame);
      const { id, request } = header as { readonly id?: unknown; readonly request?: unknown };
      const { reply, replyBody } = await applier.answer(request, body);
      await send({ id: typeof id === 'number' ? id : -1, reply }, replyBody);
    }
  }
  applier.close();
}

interface Answer {
  readonly reply: Reply;
  readonly replyBody?: readonly Uint8Array[];
}

class Applier {
  private readonly options: ApplierOptions;
  /** Of scripts. */
  private readonly loader: Standby;

  constructor(options: ApplierOptions) {
    this.options = options;
    this.loader = new Standby(options.nft, ['-f', '-']);
    this.loader.startSoon();
  }

  close(): void {
    this.loader.close();
  }

  async answer(request: unknown, body: Uint8Array): Promise<Answer> {
    try {
      return await this.serve(checkRequest(request, body), body);
    } catch (error) {
      if (!(error instanceof RequestError || error instanceof CommandError)) throw error;
      const text =
        error instanceof RequestError ? `the applier refuses the request: ${error.message}` : error.message;
      return { reply: { kind: 'failed', text } };
    }
  }

  private async serve(request: Request, body: Uint8Array): Promise<Answer> {
    const { nft } = this.options;
    switch (request.kind) {
      case 'apply':
        return this.apply(request, body);
      case 'look': {
        const { state, body: replyBody } = await lookAtKernel(nft, request.sets, request.maps);
        return { reply: { kind: 'state', state }, replyBody };
      }
      case 'counters':
        return { reply: { kind: 'counters', counters: await readCounters(nft) } };
      case 'marks':
        return { reply: { kind: 'marks', marks: await readMarks(this.options.conntrack) } };
    }
  }

  private async apply(request: Request & { readonly kind: 'apply' }, body: Uint8Array): Promise<Answer> {
    const { milliseconds, peakBytes } = await this.loader.take().finish({
      input: scriptOf(request.change, body),
      errorBytesMax: ERROR_TEXT_MAX_BYTES,
    });
    return { reply: { kind: 'applied', run: { milliseconds, peakBytes } } };
  }
}
