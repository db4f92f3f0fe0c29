/** The position of a page, as in every list; `total` counts the rows of all pages. */
export function pageFields({
  total,
  page,
  limit,
}: Readonly<Record<'total' | 'page' | 'limit', number>>): Record<string, number> {
  return { total, page, limit, total_pages: Math.ceil(total / limit) };
}

/** A page of a list. */
export function pageOf(
  data: readonly unknown[],
  of: Parameters<typeof pageFields>[0],
): Record<string, unknown> {
  return { data, ...pageFields(of) };
}
