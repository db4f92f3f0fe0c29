/** id, symbol, name, base price in US dollars, circulating supply, maximum supply where there is one. */
export type AssetRow = readonly [string, string, string, number, number, number?];
