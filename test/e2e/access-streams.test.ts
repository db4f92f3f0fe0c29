/** Streams and credentials, over two API processes: tickets in place of headers, and what a revocation does to open streams. */
import { expect } from 'chai';
import { startStack, type Stack } from '../support/stack.ts';
import { waitFor } from '../support/wait-for.ts';
import { logIn, newPerson, succeed, type Person } from './support/identities.ts';

describe('access to streams', () => {
  let stack: Stack;
  let person: Person;
  let jobId: string;
  let here: string;
  let there: string;

  before(async () => {
    // Without a worker a job waits, and its stream stays open.
    stack = await startStack({ apis: 2, workers: 0 });
    [here, there] = stack.apis.map(({ url }) => url) as [string, string];
  });

  after(async () => {
    await stack.stop();
  });

  beforeEach(async () => {
    person = await newPerson(here);
    jobId = (await succeed(here, person.token, ['POST', '/crypto/bulk', { coins: ['bitcoin'] }]))
      .id as string;
  });

  const eventsOf = (url: string, query = ''): string => `${url}/api/v1/jobs/${jobId}/events${query}`;

  const ticketFor = async (token: string): Promise<string> =>
    (await succeed(here, token, ['POST', '/auth/stream-ticket'])).ticket as string;

  /** Opens a stream, and tells whether it has ended. */
  async function open(url: string, headers: Record<string, string> = {}) {
    const response = await fetch(url, { headers, signal: AbortSignal.timeout(110_000) });
    const state = { status: response.status, ended: false, text: '' };
    void (async () => {
      const decoder = new TextDecoder();
      for await (const chunk of response.body ?? []) state.text += decoder.decode(chunk as Uint8Array);
      state.ended = true;
    })().catch(() => (state.ended = true));
    return state;
  }

  it('open with a ticket, as often as one likes, in every process', async () => {
    const ticket = await ticketFor(person.token);
    const streams = await Promise.all(
      [here, there, here].map((url) => open(eventsOf(url, `?ticket=${ticket}`))),
    );
    expect(streams.map(({ status }) => status)).to.deep.equal([200, 200, 200]);
    await waitFor(() => streams.every(({ text }) => text.includes('event: hello')), {
      what: 'the greetings',
    });
  });

  it('do not open with somebody else’s ticket, an access token in its place, or none', async () => {
    const stranger = await newPerson(here);
    const foreign = await open(eventsOf(here, `?ticket=${await ticketFor(stranger.token)}`));
    const misused = await open(eventsOf(here, `?ticket=${person.token}`));
    const none = await open(eventsOf(here));
    expect([foreign, misused, none].map(({ status }) => status)).to.deep.equal([404, 401, 401]);
  });

  it('are all that a ticket opens', async () => {
    const ticket = await ticketFor(person.token);
    const read = await open(`${here}/api/v1/jobs/${jobId}?ticket=${ticket}`);
    const bearer = await open(`${here}/api/v1/jobs/${jobId}`, { authorization: `Bearer ${ticket}` });
    expect([read, bearer].map(({ status }) => status)).to.deep.equal([401, 401]);
  });

  it('end within two seconds of the logout of the session that opened them, and no other does', async () => {
    const again = await logIn(here, person);
    const byHeader = await open(eventsOf(there), { authorization: `Bearer ${person.token}` });
    const byTicket = await open(eventsOf(there, `?ticket=${await ticketFor(person.token)}`));
    const other = await open(eventsOf(there), { authorization: `Bearer ${again.token}` });
    await waitFor(() => [byHeader, byTicket, other].every(({ text }) => text.includes('hello')), {
      what: 'the greetings',
    });
    await succeed(here, person.token, ['POST', '/auth/logout']);
    await waitFor(() => byHeader.ended && byTicket.ended, {
      what: 'the end of both streams',
      timeoutMs: 30_000,
    });
    expect(other.ended).to.equal(false);
  });

  it('end with the API key and with the account', async () => {
    const made = await succeed(here, person.token, [
      'POST',
      '/api-keys',
      { name: 'watcher', scopes: ['jobs:write'] },
    ]);
    const byKey = await open(eventsOf(there), { 'x-api-key': made.key as string });
    const byTicket = await open(eventsOf(there, `?ticket=${await ticketFor(made.key as string)}`));
    const byPerson = await open(eventsOf(there), { authorization: `Bearer ${person.token}` });
    expect([byKey, byTicket, byPerson].map(({ status }) => status)).to.deep.equal([200, 200, 200]);
    await succeed(here, person.token, ['DELETE', `/api-keys/${made.id as string}`]);
    await waitFor(() => byKey.ended && byTicket.ended, { what: 'the end of the key', timeoutMs: 30_000 });
    expect(byPerson.ended).to.equal(false);
    await succeed(here, person.token, ['DELETE', '/users/me', { current_password: person.password }]);
    await waitFor(() => byPerson.ended, { what: 'the end of the account', timeoutMs: 30_000 });
  });

  it('leave no ticket in the log', async () => {
    const ticket = await ticketFor(person.token);
    await open(eventsOf(here, `?ticket=${ticket}`));
    const refused = await open(`${here}/nowhere?ticket=${ticket}`);
    expect(refused.status).to.equal(404);
    await waitFor(async () => (await stack.apis[0]!.log()).includes('"path":"/nowhere"'), {
      what: 'the line of the refused request',
    });
    expect(await stack.apis[0]!.log()).to.not.include(ticket.split('.')[2]);
  });
});
