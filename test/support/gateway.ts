import { createServer, request as forward, type IncomingMessage, type ServerResponse } from 'node:http';
import { freePort } from '../../embedded/free-port.ts';

/**
 * Stands between the workers and the market, and holds the calls of chosen quote currencies: so a test decides which jobs
 * stay active, and for how long.
 */
export interface Gateway {
  /** For `COINGECKO_BASE_URL`. */
  readonly url: string;
  /** From now on calls in this currency get no answer. */
  hold(currency: string): void;
  /** Lets the calls in this currency through, the held ones too. */
  release(currency: string): void;
  /** Held calls in this currency whose caller still waits. */
  held(currency: string): number;
  /** All calls in this currency so far, the held ones too. */
  received(currency: string): number;
  close(): Promise<void>;
}

interface HeldCall {
  readonly currency: string;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
}

/** Starts a gateway to the market at `marketUrl` (its root with `/api/v3`). */
export async function startGateway(marketUrl: string): Promise<Gateway> {
  const origin = new URL(marketUrl).origin;
  const heldCurrencies = new Set<string>();
  const received = new Map<string, number>();
  let calls: HeldCall[] = [];

  const server = createServer((request, response) => {
    const { searchParams } = new URL(request.url ?? '/', origin);
    const currency = searchParams.get('vs_currency') ?? searchParams.get('vs_currencies') ?? '';
    received.set(currency, (received.get(currency) ?? 0) + 1);
    const call = { currency, request, response };
    if (!heldCurrencies.has(currency)) {
      pass(call);
      return;
    }
    calls.push(call);
    response.on('close', () => (calls = calls.filter((other) => other !== call)));
  });

  function pass({ request, response }: HeldCall): void {
    const headers = { ...request.headers, host: new URL(origin).host };
    const onward = forward(`${origin}${request.url ?? ''}`, { method: request.method, headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
    });
    onward.on('error', () => response.destroy());
    onward.end();
  }

  const port = await freePort();
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', resolve);
  });
  return {
    url: `http://127.0.0.1:${port}/api/v3`,
    hold: (currency) => void heldCurrencies.add(currency),
    release(currency) {
      heldCurrencies.delete(currency);
      const released = calls.filter((call) => call.currency === currency);
      calls = calls.filter((call) => call.currency !== currency);
      released.forEach(pass);
    },
    held: (currency) => calls.filter((call) => call.currency === currency).length,
    received: (currency) => received.get(currency) ?? 0,
    async close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      await closed;
    },
  };
}
