/**
 * Servers that ours is compared with, by KIND: each the way its own documentation has it, with one event for all clients. They
 * are given what they send as text, so that none of them is charged for making it.
 */
import { createServer, type RequestListener, type Server, type ServerResponse } from 'node:http';
import { createChannel, createSession, type Channel } from 'better-sse';
import { answerProbe, type ProbeEvent } from './streams/probe.ts';

interface Contender {
  readonly server: Server;
  readonly send: (event: ProbeEvent) => void;
  readonly count: () => number;
}

/** The text is made already. */
const asItIs = (data: unknown): string => data as string;

function ofChannel(channel: Channel): Pick<Contender, 'send' | 'count'> {
  return {
    send: ({ id, data }) => void channel.broadcast(data, 'price', { eventId: id }),
    count: () => channel.sessionCount,
  };
}

function betterSse(): Contender {
  const channel = createChannel();
  const server = createServer((request, response) => {
    void createSession(request, response, { serializer: asItIs }).then((session) =>
      channel.register(session),
    );
  });
  return { server, ...ofChannel(channel) };
}

async function betterSseInKoa(): Promise<Contender> {
  const { default: Koa } = await import('koa');
  const channel = createChannel();
  const app = new Koa();
  app.use(async (ctx) => {
    ctx.respond = false;
    ctx.res.statusCode = 200;
    channel.register(await createSession(ctx.req, ctx.res, { serializer: asItIs }));
  });
  // Koa types its callback as one that may be waited for.
  return { server: createServer(app.callback() as RequestListener), ...ofChannel(channel) };
}

async function plainWs(): Promise<Contender> {
  const { WebSocketServer } = await import('ws');
  const server = createServer();
  const sockets = new WebSocketServer({ server });
  return {
    server,
    send({ id, data }) {
      const message = Buffer.from(`{"type":"price","event_id":${JSON.stringify(id)},"data":${data}}`);
      for (const socket of sockets.clients) socket.send(message, { binary: false });
    },
    count: () => sockets.clients.size,
  };
}

/** The simplest broadcaster that does the job. */
function nodeHttp(): Contender {
  const responses = new Set<ServerResponse>();
  const server = createServer((_request, response) => {
    response.writeHead(200, {
      'Content-Type': 'text/event-stream; charset=utf-8',
      'Cache-Control': 'no-cache',
    });
    response.flushHeaders();
    responses.add(response);
    response.on('close', () => responses.delete(response));
  });
  return {
    server,
    send({ id, data }) {
      const event = Buffer.from(`id: ${id}\nevent: price\ndata: ${data}\n\n`);
      for (const response of responses) response.write(event);
    },
    count: () => responses.size,
  };
}

const kinds: Readonly<Record<string, () => Contender | Promise<Contender>>> = {
  'better-sse': betterSse,
  'better-sse in Koa': betterSseInKoa,
  'plain ws': plainWs,
  'node:http': nodeHttp,
};

const contender = await kinds[process.env['KIND'] ?? '']?.();
if (contender === undefined) throw new Error('KIND names none of the servers');
answerProbe(() => ({ streams: contender.count() }), contender.send);
contender.server.listen({ host: '127.0.0.1', port: Number(process.env['PORT']), backlog: 4_096 }, () =>
  process.send?.('ready'),
);
process.on('SIGTERM', () => process.exit(0));
