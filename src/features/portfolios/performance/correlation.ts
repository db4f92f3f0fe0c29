/**
 * Correlation matrix of assets, row by row: Pearson's coefficient of the daily log returns of each pair, over the days on
 * which both have a price of their own and of the day before (a price carried forward would be a return of 0 that never was).
 * NaN where fewer than `leastPairs` days remain or a price never moved; 1 on the diagonal.
 *
 * Source: K. Pearson, "Notes on regression and inheritance in the case of two parents", Proc. R. Soc. 58 (1895), pp. 240–242.
 * @param prices observed prices asset by asset (`asset * days + day`), NaN where there is none.
 */
export function correlationMatrix(prices: Float64Array, days: number): Float64Array {
  const assets = days === 0 ? 0 : prices.length / days;
  const returns = Array.from({ length: assets }, (_, asset) =>
    logReturns(prices.subarray(asset * days, (asset + 1) * days)),
  );
  const matrix = new Float64Array(assets * assets).fill(1);
  returns.forEach((a, row) => {
    returns.slice(row + 1).forEach((b, offset) => {
      const column = row + 1 + offset;
      const coefficient = pearson(a, b);
      matrix[row * assets + column] = coefficient;
      matrix[column * assets + row] = coefficient;
    });
  });
  return matrix;
}

/** Fewer pairs say nothing. */
const leastPairs = 3;

function logReturns(prices: Float64Array): Float64Array {
  return prices.map((price, day) => {
    const change = Math.log(price / (prices[day - 1] ?? NaN));
    return Number.isFinite(change) ? change : NaN;
  });
}

/** Two passes, the second over differences from the means, which keeps digits that sums of squares would lose. */
function pearson(a: Float64Array, b: Float64Array): number {
  let [count, sumX, sumY] = [0, 0, 0];
  for (let day = 0; day < a.length; day++) {
    const [x, y] = [a[day] ?? NaN, b[day] ?? NaN];
    if (Number.isNaN(x + y)) continue;
    count += 1;
    sumX += x;
    sumY += y;
  }
  if (count < leastPairs) return NaN;
  let [cross, squareX, squareY] = [0, 0, 0];
  for (let day = 0; day < a.length; day++) {
    const [x, y] = [a[day] ?? NaN, b[day] ?? NaN];
    if (Number.isNaN(x + y)) continue;
    const [dx, dy] = [x - sumX / count, y - sumY / count];
    cross += dx * dy;
    squareX += dx * dx;
    squareY += dy * dy;
  }
  const scale = Math.sqrt(squareX) * Math.sqrt(squareY);
  return scale === 0 ? NaN : Math.max(-1, Math.min(1, cross / scale));
}
