import type { ApiContext } from './context.ts';

/** Time (ms) for which a client that is still sending may read its response. */
const lingerMs = 1_000;

/**
 * Makes the response the last of its connection, for requests whose body is not read to its end. Node would cut the connection
 * as soon as the response is written, and a client that is still sending would lose it; so our side is closed first, and the
 * other a moment later.
 */
export function makeLastResponse(ctx: ApiContext): void {
  const { socket } = ctx.req;
  ctx.set('Connection', 'close');
  socket.destroySoon = () => {
    socket.end();
    const cut = setTimeout(() => socket.destroy(), lingerMs);
    socket.once('close', () => clearTimeout(cut));
  };
}
