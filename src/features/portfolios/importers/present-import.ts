import type { ImportRecord } from '../queries/imports.ts';

/** An import as the owner of its portfolio gets it; with its result where that is still known. */
export function presentImport(
  { id, format, encoding, bytes, sha256, added, ...record }: ImportRecord,
  resultJson?: string | null,
): Record<string, unknown> {
  return {
    id,
    file_name: record.fileName,
    format,
    on_error: record.onError,
    dry_run: record.isDryRun,
    encoding,
    bytes,
    sha256,
    added,
    created_at: record.createdAt,
    settled_at: record.settledAt,
    ...(resultJson === undefined ? {} : { result: resultJson === null ? null : JSON.parse(resultJson) }),
  };
}
