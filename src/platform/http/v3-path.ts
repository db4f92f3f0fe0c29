/** Root of the paths that follow CoinGecko's API. */
export const v3Root = '/api/v3';

/** Whether a path follows CoinGecko's API: its responses, including errors, then have CoinGecko's shapes. */
export function isV3(path: string | undefined): boolean {
  return (
    path !== undefined &&
    path.startsWith(v3Root) &&
    (path.length === v3Root.length || path[v3Root.length] === '/')
  );
}
