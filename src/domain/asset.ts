/** An asset as it is kept locally: a row of the provider's list, with what rankings told beside it. */
export interface Asset {
  /** Stable id as the provider writes it. */
  readonly id: string;
  /** Ticker symbol as the provider writes it, capitals included; not unique. */
  readonly symbol: string;
  readonly name: string;
  /** Rank by market capitalisation, 1 is the largest; null where the provider told none. */
  readonly rank: number | null;
  /** Address of a picture that the provider told; null where it told none. */
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

/** A list may lose this share of its assets without being doubted. */
const believableLoss = 0.5;
/** Two short lists are alike when they differ by no more than this share. */
const likeness = 0.1;

/**
 * Whether a list is believed. A cut-off answer looks like a list from which most assets have vanished: such a one is believed
 * when a second one says the same (`confirm` until then), an empty one never while there are assets.
 */
export function judgeList({
  held,
  arrived,
  suspect,
}: {
  /** Assets on the list that is held. */
  readonly held: number;
  readonly arrived: number;
  /** Length of a list that was not believed before; null when there was none. */
  readonly suspect: number | null;
}): 'take' | 'refuse' | 'confirm' {
  if (arrived === 0) return 'refuse';
  if (arrived >= held * (1 - believableLoss)) return 'take';
  const isLikeSuspect = suspect !== null && Math.abs(arrived - suspect) <= suspect * likeness;
  return isLikeSuspect ? 'take' : 'confirm';
}
