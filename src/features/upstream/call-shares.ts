/**
 * What one upstream call costs each of those who asked for its assets: a call is one, shared by the number of assets. What
 * nobody in particular asked for is charged to nobody, so the shares may add up to less than one, and never to more.
 */
export function callShares(requesters: readonly (string | undefined)[]): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const requester of requesters) {
    if (requester !== undefined) counts.set(requester, (counts.get(requester) ?? 0) + 1);
  }
  return new Map([...counts].map(([requester, count]) => [requester, count / requesters.length]));
}
