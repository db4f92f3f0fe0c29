/** An invalid field of a request. */
export interface FieldProblem {
  readonly field: string;
  readonly message: string;
}

/** An error of the API, or that it could not be reached (`status` 0, `code` `unreachable`). */
export class PricepoolError extends Error {
  readonly status: number;
  readonly code: string;
  readonly fields: readonly FieldProblem[];
  readonly retryAfterSeconds: number | undefined;
  readonly requestId: string | undefined;

  constructor(
    message: string,
    {
      status,
      code,
      fields,
      retryAfterSeconds,
      requestId,
      cause,
    }: {
      /** 0 when there was no answer at all. */
      readonly status: number;
      readonly code: string;
      readonly fields?: readonly FieldProblem[] | undefined;
      readonly retryAfterSeconds?: number | undefined;
      readonly requestId?: string | undefined;
      readonly cause?: unknown;
    },
  ) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'PricepoolError';
    this.status = status;
    this.code = code;
    this.fields = fields ?? [];
    this.retryAfterSeconds = retryAfterSeconds;
    this.requestId = requestId;
  }

  /** True when the same request may well succeed a little later. */
  get isTransient(): boolean {
    return this.status === 0 || this.status === 408 || this.status === 429 || this.status >= 500;
  }
}

/** Makes the error of a response that is not 2xx, whatever its body contains. */
export async function errorOfResponse(response: Response): Promise<PricepoolError> {
  const text = await response.text().catch(() => '');
  const { message, error, request_id: requestId } = parsed(text);
  const retryAfter = Number(response.headers.get('retry-after') ?? Number.NaN);
  return new PricepoolError(error?.detail ?? message ?? `The API answered ${response.status}`, {
    status: response.status,
    code: error?.code ?? 'unknown',
    fields: error?.fields,
    retryAfterSeconds: Number.isFinite(retryAfter) ? retryAfter : undefined,
    requestId: requestId ?? response.headers.get('x-request-id') ?? undefined,
  });
}

function parsed(text: string): {
  readonly message?: string;
  readonly error?: {
    readonly code?: string;
    readonly detail?: string;
    readonly fields?: readonly FieldProblem[];
  };
  readonly request_id?: string;
} {
  try {
    const body: unknown = JSON.parse(text);
    return typeof body === 'object' && body !== null ? body : {};
  } catch {
    // A proxy in between answers in its own words.
    return {};
  }
}
