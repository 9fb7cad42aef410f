/** A bare DEALER, which obeys nobody: neither credit nor CLOSE. */
import * as zmq from 'zeromq';

/** Messages that ZeroMQ keeps for who does not take them, and for us. */
interface HighWater {
  readonly sendHighWaterMark?: number;
  readonly receiveHighWaterMark?: number;
}

export function rawDealer(path: string, highWater: HighWater = {}): zmq.Dealer {
  const dealer = new zmq.Dealer({ linger: 0, ...highWater });
  dealer.connect(`ipc://${path}`);
  return dealer;
}
