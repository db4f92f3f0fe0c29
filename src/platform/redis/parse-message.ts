/** Reads a message of a channel; undefined when it is not JSON, because a stray publish must not end the process. */
export function parseMessage(text: string): object | undefined {
  try {
    const message: unknown = JSON.parse(text);
    return typeof message === 'object' && message !== null ? message : undefined;
  } catch {
    return undefined;
  }
}
