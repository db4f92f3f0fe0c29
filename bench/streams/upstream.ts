/** Upstream calls do not depend on how many clients watch: a whole deployment, with the market's own count. */
import { sleep } from '../../src/platform/concurrency/sleep.ts';
import { newUser } from '../../test/support/api-client.ts';
import { waitFor } from '../../test/support/wait-for.ts';
import type { Row } from '../support/bench.ts';
import { madeUp } from '../support/figures.ts';
import type { StreamOptions } from './options.ts';
import { requestText } from './server.ts';
import type { Tools } from './tools.ts';

const few = 10;
const manyStreams = 4_000;
const coins = madeUp(1, 20);
const seconds = 20;
/** Often, so that a short run has calls to count. */
const renewSeconds = 2;
const plenty = '1000000';
/** A window may begin just before or just after a call. */
const slack = 1;

interface Watched {
  readonly calls: number;
  readonly bytes: number;
}

/** Rows of the part `upstream`. */
export async function upstream({ bench, load }: Tools, options: StreamOptions): Promise<Row[]> {
  const many = options.streams ?? manyStreams;
  const stack = await bench.stack({
    apis: 1,
    workers: 1,
    market: { callsPerMinute: 1_000, walkIntervalMs: 1_000 },
    environment: {
      APP_ENV: 'production',
      NODE_ENV: 'production',
      UPSTREAM_CALLS_PER_MINUTE: '1000',
      STREAM_RENEW_AFTER: `${renewSeconds}s`,
      STREAMS_PER_USER: plenty,
      STREAMS_PER_ADDRESS: plenty,
      STREAMS_PER_PROCESS: plenty,
    },
  });
  const url = stack.apis[0]?.url ?? '';
  const { token } = await newUser(url);
  const port = Number(new URL(url).port);
  const path = `/api/v1/crypto/stream/prices?coins=${coins.join(',')}`;
  const request = requestText(port, path, { authorization: `Bearer ${token}` });
  const watch = async (streams: number): Promise<Watched> => {
    await load.open({ port, request, transport: 'sse', count: streams, addresses: 1, stalls: false });
    await sleep(2 * renewSeconds * 1_000);
    // The window begins with a call, so that both windows lie alike.
    const before = stack.market.callCount();
    await waitFor(() => stack.market.callCount() > before, { what: 'a call upstream' });
    const [calls, bytes] = [stack.market.callCount(), (await load.report([])).bytes];
    await sleep(seconds * 1_000);
    const result = { calls: stack.market.callCount() - calls, bytes: (await load.report([])).bytes - bytes };
    await load.closeAll();
    return result;
  };
  const byFew = await watch(few);
  const byMany = await watch(many);
  await stack.stop();
  return rowsOf(byFew, byMany, many);
}

function rowsOf(byFew: Watched, byMany: Watched, many: number): Row[] {
  const result = ({ calls, bytes }: Watched): string => `${calls} calls, ${(bytes / 1e6).toFixed(2)} MB sent`;
  return [
    {
      what: `upstream calls in ${seconds} s with ${few} clients of ${coins.length} coins`,
      result: result(byFew),
    },
    {
      what: `the same with ${many} clients`,
      result: result(byMany),
      requested: 'the same number of calls (+ 1)',
      kept: byFew.calls > 0 && byMany.calls <= byFew.calls + slack && byMany.bytes > byFew.bytes,
    },
  ];
}
