/** Which page of how many. */
interface PageOfAll {
  /** Rows of all pages. */
  readonly total: number;
  readonly page: number;
  readonly limit: number;
}

/** Where a page lies, as every list tells it. */
export function pageFields({ total, page, limit }: PageOfAll): Record<string, number> {
  return { total, page, limit, total_pages: Math.ceil(total / limit) };
}

/** A page of a list. */
export function pageOf(data: readonly unknown[], of: PageOfAll): Record<string, unknown> {
  return { data, ...pageFields(of) };
}
