/**
 * Who causes work: a user, with an API key or without. The text form goes where an object cannot: into the data of a
 * job and into Redis, along with the wanted assets.
 */
export interface Requester {
  readonly userId: string;
  /** The API key; absent for a person who has logged in. */
  readonly keyId?: string | undefined;
}

/** The text of a requester: `<userId>` or `<userId>/<keyId>`. */
export function requesterText({ userId, keyId }: Requester): string {
  return keyId === undefined ? userId : `${userId}/${keyId}`;
}

const uuid = '[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}';
const pattern = new RegExp(`^(${uuid})(?:/(${uuid}))?$`);

/** The requester of a text; undefined when it is none. */
export function parseRequester(text: string): Requester | undefined {
  const [, userId, keyId] = pattern.exec(text) ?? [];
  return userId === undefined ? undefined : { userId, keyId };
}
