/** Reads a message of a channel; undefined when it is not JSON, because a stray publish must not end the process. */
export function parseMessage<T extends object>(text: string): T | undefined {
  try {
    const message: unknown = JSON.parse(text);
    return typeof message === 'object' && message !== null ? (message as T) : undefined;
  } catch {
    return undefined;
  }
}
