import type { CallReport } from './control.ts';
import type { Fault, FaultOptions, Latency } from './market-state.ts';

/** Controls the market behind `url`, its API's base URL, in another process. Each call rejects when the market refuses it. */
export function connectMarket(url: string): {
  /** Calls, refusals and the worst sliding minute since the last reset. */
  calls(): Promise<CallReport>;
  resetCalls(): Promise<void>;
  inject(fault: Fault, options?: FaultOptions): Promise<void>;
  clearFaults(): Promise<void>;
  setLatency(latencyMs: Latency): Promise<void>;
  setCallsPerMinute(callsPerMinute: number | undefined): Promise<void>;
} {
  const ask = async (method: string, what: string, body?: unknown): Promise<unknown> => {
    const response = await fetch(new URL(`/__market/${what}`, url), {
      method,
      signal: AbortSignal.timeout(10_000),
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    if (!response.ok) throw new Error(`market control: ${response.status} ${await response.text()}`);
    return await response.json();
  };
  const tell = async (method: string, what: string, body?: unknown): Promise<void> => {
    await ask(method, what, body);
  };
  return {
    calls: async () => (await ask('GET', 'calls')) as CallReport,
    resetCalls: async () => tell('DELETE', 'calls'),
    inject: async (fault, { count = 1, path } = {}) =>
      tell('POST', 'faults', { fault, count: Number.isFinite(count) ? count : null, path }),
    clearFaults: async () => tell('DELETE', 'faults'),
    setLatency: async (latencyMs) => tell('PUT', 'settings', { latencyMs }),
    setCallsPerMinute: async (callsPerMinute) =>
      tell('PUT', 'settings', { callsPerMinute: callsPerMinute ?? null }),
  };
}
