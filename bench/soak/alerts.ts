/**
 * Alerts: some that fire at every crossing of a price that goes to and fro, and a line of others that must fire once as soon as
 * they are made. All are told to a receiver that refuses one webhook of ten.
 */
import type { ServerResponse } from 'node:http';
import type { Row } from '../support/bench.ts';
import { madeUp } from '../support/figures.ts';
import { anyOf, chance, dataOf, none, pause, repeat, type Part, type Soak } from './clients.ts';
import { freshSeconds, stepMs } from './fleet.ts';

const watched = ['bitcoin', 'ethereum', ...madeUp(1, 18)];
const certainEveryMs = 5_000;
/** Beside the price at which an alert is made. */
const distance = 0.0002;
/** In per cent of the threshold. */
const hysteresis = 0.01;
const minBetweenMs = 10_000;

interface Crossing {
  readonly coin: string;
  readonly direction: 'above' | 'below';
  readonly threshold: number;
}

interface Firing {
  readonly id: string;
  readonly alert_id: string;
  readonly value: string;
  readonly received_ms: number;
}

/** 204 mostly; a receiver that fails is sent the same again. */
export function answerSometimes(response: ServerResponse): void {
  response.writeHead(chance(0.1) ? 500 : 204).end();
}

export function alertsLoad(soak: Soak): Part {
  const crossings = new Map<string, Crossing>();
  /** Ids of alerts that fire at once. */
  const certain = new Set<string>();
  const url = `${soak.receiver.url}/alerts`;

  async function watch(coin: string): Promise<void> {
    const user = anyOf(soak.users);
    let price: number | undefined;
    while (price === undefined) {
      if (soak.end.aborted) return;
      const quote = dataOf<{ price: number; state: string }>(await user.ask('GET', `/crypto/${coin}`));
      if (quote.state === 'fresh') price = quote.price;
      else await pause(soak, 500);
    }
    for (const direction of ['above', 'below'] as const) {
      const offset = direction === 'above' ? distance : -distance;
      const threshold = (price * (1 + offset)).toFixed(12);
      const rule = { kind: 'price', coin, direction, threshold, repeat: 'every' };
      const body = { ...rule, hysteresis: { percent: String(hysteresis) }, url };
      const answer = await user.ask('POST', '/alerts', { body });
      const { id } = dataOf<{ id: string }>(answer);
      if (answer?.status === 201 && id !== undefined)
        crossings.set(id, { coin, direction, threshold: Number(threshold) });
    }
  }

  async function makeCertain(): Promise<void> {
    const body = {
      kind: 'price',
      coin: anyOf(watched),
      direction: 'below',
      threshold: '99999999',
      fire_if_true: true,
      url,
    };
    const answer = await anyOf(soak.users).ask('POST', '/alerts', { body });
    const { id } = dataOf<{ id: string }>(answer);
    if (answer?.status === 201 && id !== undefined) certain.add(id);
  }

  return {
    async run() {
      await Promise.all([...watched.map(watch), repeat(soak, certainEveryMs, makeCertain)]);
    },
    async rows() {
      const { backstage } = soak.fleet;
      const firings = await backstage.query<Firing>(
        `select id, alert_id, value::text as value, extract(epoch from received_at)::float8 * 1000 as received_ms
         from alert_firings order by id`,
      );
      const counts = await backstage.query<{ id: string; fired_count: number }>(
        'select id, fired_count from alerts',
      );
      const byAlert = new Map<string, Firing[]>();
      for (const firing of firings)
        byAlert.set(firing.alert_id, [...(byAlert.get(firing.alert_id) ?? []), firing]);
      const miscounted = counts.filter(({ id, fired_count: n }) => (byAlert.get(id)?.length ?? 0) !== n);
      const ofCrossings = [...crossings].reduce((sum, [id]) => sum + (byAlert.get(id)?.length ?? 0), 0);
      return [
        none(
          'alerts that should have fired and did not',
          [...certain].filter((id) => !byAlert.has(id)),
          ` of ${certain.size}`,
        ),
        none(
          'alerts that fired twice for one crossing',
          [
            ...[...crossings].flatMap(([id, crossing]) =>
              doubledFirings(soak, crossing, byAlert.get(id) ?? []),
            ),
            ...[...certain].filter((id) => (byAlert.get(id)?.length ?? 0) > 1),
          ],
          ` of ${ofCrossings + certain.size} firings`,
        ),
        none(
          'alerts that count other firings than are recorded',
          miscounted.map(({ id }) => id),
        ),
        ...webhookRows(soak, firings),
      ];
    },
  };
}

/** Between two firings the price must have come back by more than the hysteresis. */
function doubledFirings(
  { truth }: Soak,
  { coin, direction, threshold }: Crossing,
  firings: readonly Firing[],
): string[] {
  const back = threshold * (1 + ((direction === 'above' ? -1 : 1) * hysteresis) / 100);
  const isBack = (price: number): boolean => (direction === 'above' ? price < back : price > back);
  return firings.flatMap(({ id, value, received_ms: at }, index) => {
    const holds = direction === 'above' ? Number(value) >= threshold : Number(value) <= threshold;
    if (!holds) return [`${id} fired at ${value}, not ${direction} ${threshold}`];
    const before = firings[index - 1];
    if (before === undefined) return [];
    if (at - before.received_ms < minBetweenMs)
      return [`${id} fired ${at - before.received_ms} ms after another`];
    for (let step = before.received_ms - freshSeconds * 1_000; step <= at; step += stepMs)
      if (isBack(truth.priceAt(coin, step))) return [];
    return [`${id} fired though ${coin} had not come back`];
  });
}

function webhookRows({ receiver }: Soak, firings: readonly Firing[]): Row[] {
  const deliveries = new Map<string, Set<string>>();
  let times = 0;
  for (const { path, headers, body } of receiver.received) {
    if (path !== '/alerts') continue;
    times += 1;
    const firing = (JSON.parse(body) as { data: { id: string } }).data.id;
    const ids = deliveries.get(firing) ?? new Set();
    deliveries.set(firing, ids.add(String(headers['webhook-id'])));
  }
  const known = new Set(firings.map(({ id }) => id));
  return [
    none(
      'firings whose webhook was lost',
      firings.map(({ id }) => id).filter((id) => !deliveries.has(id)),
      ` of ${firings.length}`,
    ),
    none(
      'webhooks with two ids, or of no firing',
      [...deliveries].filter(([id, ids]) => ids.size > 1 || !known.has(id)).map(([id]) => id),
      ` of ${times} attempts`,
    ),
  ];
}
