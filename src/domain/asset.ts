/** An asset as stored locally: a row of the provider's list, with fields from its rankings. */
export interface Asset {
  /** Stable id as the provider writes it. */
  readonly id: string;
  /** Ticker symbol as the provider writes it, capitals included; not unique. */
  readonly symbol: string;
  readonly name: string;
  /** Rank by market capitalisation, 1 is the largest; null if the provider sent none. */
  readonly rank: number | null;
  /** URL of an image sent by the provider; null if it sent none. */
  readonly image: string | null;
  /** False when the asset is no longer on the provider's list. */
  readonly active: boolean;
  /** JSON text of an object: contract address by platform. */
  readonly platformsJson: string;
}

/** The order of assets that share a symbol: by rank, those without one last, ties by id. */
export function byRank(left: Pick<Asset, 'id' | 'rank'>, right: Pick<Asset, 'id' | 'rank'>): number {
  const unranked = Number.MAX_SAFE_INTEGER;
  const distance = (left.rank ?? unranked) - (right.rank ?? unranked);
  if (distance !== 0) return distance;
  if (left.id === right.id) return 0;
  return left.id < right.id ? -1 : 1;
}

/** A list may lose this share of its assets and still be accepted. */
const believableLoss = 0.5;
/** Two short lists count as equal if they differ by at most this share. */
const likeness = 0.1;

/**
 * Whether to accept a list. A truncated answer looks like a list from which most assets have vanished: such a list is
 * accepted only if a second one agrees (`confirm` until then), and an empty one never while there are assets.
 */
export function judgeList({
  held,
  arrived,
  suspect,
}: {
  /** Assets on the stored list. */
  readonly held: number;
  readonly arrived: number;
  /** Length of a list that was rejected before; null if there was none. */
  readonly suspect: number | null;
}): 'take' | 'refuse' | 'confirm' {
  if (arrived === 0) return 'refuse';
  if (arrived >= held * (1 - believableLoss)) return 'take';
  const isLikeSuspect = suspect !== null && Math.abs(arrived - suspect) <= suspect * likeness;
  return isLikeSuspect ? 'take' : 'confirm';
}
