/** Opens something at its first use, once. */
export function lazily<T>(open: () => T): () => T {
  let opened: { readonly it: T } | undefined;
  return () => (opened ??= { it: open() }).it;
}
