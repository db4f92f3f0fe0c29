import { succeed, type Person } from './identities.ts';

const csv = { 'content-type': 'text/csv' };

/** What uploads a file, which need not make sense. */
export const upload = { body: { a: 'file' }, headers: csv } as const;

/** On an import of the owner, made anew. */
export async function importCall({ token }: Pick<Person, 'token'>, url: string): Promise<{ path: string }> {
  const { id } = await succeed(url, token, ['POST', '/portfolios', { name: 'books' }]);
  const path = `/portfolios/${id as string}/import`;
  const headers = { authorization: `Bearer ${token}`, ...csv };
  const response = await fetch(`${url}/api/v1${path}`, { method: 'POST', headers, body: 'a,b\n1,2\n' });
  await response.body?.cancel();
  const page = await succeed(url, token, ['GET', `${path}s`]);
  const [made] = page.data as { id: string }[];
  return { path: `/api/v1${path}s/${made!.id}` };
}
