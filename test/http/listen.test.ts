import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import type { RequestListener } from 'node:http';
import { connect, type Socket } from 'node:net';
import { promisify } from 'node:util';
import { expect } from 'chai';
import { maxConnectionsBy, maxPerAddressOf } from '../../src/platform/http/connection-bounds.ts';
import { listen, type Listening } from '../../src/platform/http/listen.ts';
import { waitFor } from '../support/wait-for.ts';

const serving = (listener: RequestListener) => ({ callback: () => listener });
const address = { host: '127.0.0.1', port: 0 };

/** A promise that is settled from outside. */
function signal(): { promise: Promise<void>; resolve: () => void } {
  let resolve: () => void = () => undefined;
  const promise = new Promise<void>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}

describe('listen', () => {
  it('says what to do when the port is taken', async () => {
    const first = await listen(
      serving((_req, res) => res.end()),
      address,
    );
    const second = await listen(
      serving((_req, res) => res.end()),
      { ...address, port: first.port },
    ).catch((error: unknown) => error);
    expect(second).to.be.instanceOf(Error);
    expect((second as Error).message).to.match(
      /^Cannot listen on 127\.0\.0\.1:\d+: another process listens there; set PORT/,
    );
    await first.close();
  });

  it('lets a request that is being answered end, and takes no new one', async () => {
    let answer: () => void = () => undefined;
    const arrived = signal();
    const listening = await listen(
      serving((_req, res) => {
        answer = () => res.end('whole');
        arrived.resolve();
      }),
      address,
    );
    const url = `http://127.0.0.1:${listening.port}`;
    const pending = fetch(url);
    await arrived.promise;
    const closed = listening.close(10_000);
    answer();
    const answered = await pending;
    expect(await answered.text()).to.equal('whole');
    await closed;
    const late = await fetch(url).catch((error: unknown) => error);
    expect(late).to.be.instanceOf(Error);
  });

  it('answers what comes on an open connection while it ends, and says that it was the last', async () => {
    const listening = await listen(
      serving((_req, res) => res.end('served')),
      address,
    );
    const socket = connect(listening.port, '127.0.0.1');
    let text = '';
    socket.on('data', (chunk: Buffer) => (text += chunk.toString()));
    const ask = async (): Promise<string> => {
      text = '';
      socket.write('GET / HTTP/1.1\r\nHost: example\r\n\r\n');
      await waitFor(() => text.endsWith('served'), { what: 'an answer' });
      return text.toLowerCase();
    };
    expect(await ask()).to.include('connection: keep-alive');
    const ended = once(socket, 'end');
    const closed = listening.close(10_000);
    expect(await ask()).to.include('connection: close');
    await ended;
    await closed;
  });

  it('cuts what does not end within the grace', async () => {
    const arrived = signal();
    const listening = await listen(
      serving(() => arrived.resolve()),
      address,
    );
    const pending = fetch(`http://127.0.0.1:${listening.port}`).catch((error: unknown) => error);
    await arrived.promise;
    await listening.close(20);
    expect(await pending).to.be.instanceOf(Error);
  });
});

describe('the bounds of connections', () => {
  const limitsOf = (files: string): string =>
    [
      'Limit                     Soft Limit           Hard Limit           Units     ',
      'Max processes             512                  512                  processes ',
      `Max open files            ${files.padEnd(20)} 1048576              files     `,
    ].join('\n');

  it('lie below the limit of open files, so that files are left for the rest', () => {
    const bounds = ['1024', '65536', '100', 'unlimited'].map((files) => maxConnectionsBy(limitsOf(files)));
    expect(bounds).to.deep.equal([768, 20_000, 64, 20_000]);
    expect(maxConnectionsBy('')).to.equal(20_000);
    expect([20_000, 768, 64].map(maxPerAddressOf)).to.deep.equal([5_000, 192, 64]);
  });

  it('are those of the process that listens', function () {
    if (process.platform !== 'linux') this.skip();
    const script = `
      const { listen } = await import('./src/platform/http/listen.ts');
      const { server, close } = await listen({ callback: () => () => undefined }, { host: '127.0.0.1', port: 0 });
      console.log(server.maxConnections);
      await close(0);`;
    const command = 'ulimit -n 1000 && exec "$0" --import tsx --input-type=module --eval "$1"';
    const ran = spawnSync('sh', ['-c', command, process.execPath, script], {
      encoding: 'utf8',
      timeout: 15_000,
    });
    expect([ran.stdout.trim(), ran.stderr]).to.deep.equal(['744', '']);
  });

  describe('of one address', () => {
    let listening: Listening;
    const sockets: Socket[] = [];

    before(function () {
      // Elsewhere this machine has one loopback address only.
      if (process.platform !== 'linux') this.skip();
    });
    afterEach(async () => {
      for (const socket of sockets.splice(0)) socket.destroy();
      await listening.close(0);
    });

    async function start(isTrusted?: (address: string) => boolean): Promise<void> {
      const app = serving((_req, res) => res.end('served'));
      const door = { host: '127.0.0.1', port: 0, maxPerAddress: 3 };
      listening = await listen(app, isTrusted === undefined ? door : { ...door, isTrusted });
    }

    /** An idle connection that the server has accepted. */
    async function open(localAddress: string): Promise<Socket> {
      const socket = connect({ host: '127.0.0.1', port: listening.port, localAddress });
      socket.on('error', () => undefined);
      sockets.push(socket);
      await Promise.all([once(listening.server, 'connection'), once(socket, 'connect')]);
      return socket;
    }

    /** What comes for a request on a connection of its own: empty when it is cut. */
    async function ask(localAddress: string): Promise<string> {
      const socket = await open(localAddress);
      let text = '';
      socket.on('data', (chunk: Buffer) => (text += chunk.toString()));
      const closed = once(socket, 'close');
      socket.write('GET / HTTP/1.1\r\nHost: example\r\nConnection: close\r\n\r\n');
      await closed;
      return text;
    }

    const count = (): Promise<number> => promisify(listening.server.getConnections.bind(listening.server))();

    it('cut the connections above, of that address alone, until others of it have closed', async () => {
      await start(() => false);
      const held = [await open('127.0.0.2'), await open('127.0.0.2'), await open('127.0.0.2')];
      expect(await ask('127.0.0.2')).to.equal('');
      expect(await ask('127.0.0.3')).to.include('served');
      for (let round = 0; round < 3; round += 1) {
        held.shift()?.destroy();
        await waitFor(async () => (await count()) === 2, { what: 'the connection to be given back' });
        expect(await ask('127.0.0.2')).to.include('served');
        held.push(await open('127.0.0.2'));
        expect(await ask('127.0.0.2')).to.equal('');
      }
      expect(held.map(({ closed }) => closed)).to.deep.equal([false, false, false]);
    });

    it('hold for no address of this machine, nor for one that is trusted', async () => {
      await start();
      for (let each = 0; each < 5; each += 1) await open('127.0.0.2');
      expect(await ask('127.0.0.2')).to.include('served');
      await listening.close(0);
      await start((address) => address === '127.0.0.2');
      for (let each = 0; each < 5; each += 1) await open('127.0.0.2');
      expect(await ask('127.0.0.2')).to.include('served');
    });
  });
});
