/**
 * Divides one upstream call among those who asked for its assets, by the number of assets. Assets without a requester are
 * charged to nobody, so the shares may add up to less than one, but never to more.
 */
export function callShares(requesters: readonly (string | undefined)[]): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const requester of requesters) {
    if (requester !== undefined) counts.set(requester, (counts.get(requester) ?? 0) + 1);
  }
  return new Map([...counts].map(([requester, count]) => [requester, count / requesters.length]));
}
