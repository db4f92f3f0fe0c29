/** Cached reads over both versions of the API: whatever is called fresh is looked up in the market. */
import { madeUp, pick } from '../support/figures.ts';
import { anyOf, repeat, type Part, type Soak } from './clients.ts';

const readers = 3;
const hot = ['bitcoin', 'ethereum', ...madeUp(1, 60)];

export function readsLoad(soak: Soak): Part {
  const urls = soak.fleet.stack.apis.map(({ url }) => url);

  async function readV1(): Promise<void> {
    const requested = Date.now();
    const answer = await anyOf(soak.users).ask('GET', `/crypto/${anyOf(hot)}`);
    const { id, state, price, received_at: at } = (answer?.body?.data ?? {}) as Record<string, string>;
    if (answer?.status !== 200 || state !== 'fresh' || id === undefined) return;
    const receivedAt = Date.parse(at ?? '');
    soak.truth.check({ where: 'v1', id, price: Number(price), requested, answered: Date.now(), receivedAt });
  }

  async function readV3(): Promise<void> {
    const requested = Date.now();
    const query = `ids=${pick(hot, 5).join(',')}&vs_currencies=usd`;
    const response = await fetch(`${anyOf(urls)}/api/v3/simple/price?${query}`, {
      headers: { authorization: `Bearer ${anyOf(soak.users).token}` },
      signal: AbortSignal.timeout(30_000),
    }).catch(() => undefined);
    const prices = (await response?.json().catch(() => undefined)) as
      Record<string, { usd?: number }> | undefined;
    if (response?.status !== 200 || response.headers.get('x-pricepool-state') !== 'fresh') return;
    const answered = Date.now();
    for (const [id, { usd }] of Object.entries(prices ?? {}))
      if (usd !== undefined) soak.truth.check({ where: 'v3', id, price: usd, requested, answered });
  }

  return {
    async run() {
      await Promise.all(
        Array.from({ length: readers }, () => [repeat(soak, 100, readV1), repeat(soak, 150, readV3)]).flat(),
      );
    },
    rows() {
      const { checked, wrong, oldestMs } = soak.truth;
      const oldest = ` of ${checked}, the oldest ${(oldestMs / 1_000).toFixed(0)} s`;
      return Promise.resolve([
        {
          what: 'wrong prices called fresh',
          result: `${wrong.length}${oldest}${wrong.length === 0 ? '' : `: ${wrong[0] ?? ''}`}`,
          requested: '0',
          kept: wrong.length === 0 && checked > 0,
        },
      ]);
    },
  };
}
