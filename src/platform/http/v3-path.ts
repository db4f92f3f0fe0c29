/** Root of CoinGecko's contract, as this server speaks it. */
export const v3Root = '/api/v3';

/** Whether a path belongs to CoinGecko's contract: its answers, refusals included, have CoinGecko's shapes. */
export function isV3(path: string | undefined): boolean {
  return (
    path !== undefined &&
    path.startsWith(v3Root) &&
    (path.length === v3Root.length || path[v3Root.length] === '/')
  );
}
