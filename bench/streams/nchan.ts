/** nginx with nchan, a broadcaster in C, where this machine has it: a configuration of its own in a temporary folder. */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { freePort } from '../../embedded/free-port.ts';
import { waitFor } from '../../test/support/wait-for.ts';
import { cpuMicros, pin } from '../support/procs.ts';
import { requestText, serverCore, type StartServer, type StreamServer } from './server.ts';
import { dataOf } from './ticks.ts';

const nginxPaths = ['/usr/sbin/nginx', '/usr/local/sbin/nginx', '/usr/bin/nginx', '/usr/local/bin/nginx'];
const modulePaths = ['/usr/lib/nginx/modules', '/usr/share/nginx/modules', '/usr/local/nginx/modules'];
const moduleFile = 'ngx_nchan_module.so';
const stopDeadlineMs = 5_000;

interface Found {
  readonly program: string;
  readonly module: string;
}

/** How to start nchan, or why that cannot be. */
export function findNchan(): StartServer | string {
  const program = nginxPaths.find((path) => existsSync(path));
  if (program === undefined) return 'nginx is not installed';
  const module = modulePaths.map((folder) => join(folder, moduleFile)).find((path) => existsSync(path));
  if (module === undefined) return `nginx has no ${moduleFile} (in Debian: apt install libnginx-mod-nchan)`;
  if (!existsSync('/proc/self/stat')) return 'its CPU time can only be read where there is /proc';
  return () => start({ program, module });
}

function configOf({ module }: Found, folder: string, port: number): string {
  // Only root may choose, and must: the workers of root become somebody who cannot read the folder.
  const user = process.getuid?.() === 0 ? `user ${userInfo().username};\n` : '';
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((name) => `  ${name}_temp_path ${folder}/${name};`)
    .join('\n');
  return `load_module ${module};
${user}daemon off;
worker_processes 1;
pid ${folder}/nginx.pid;
error_log stderr crit;
events { worker_connections 16384; }
http {
  access_log off;
  tcp_nodelay on;
${temporary}
  server {
    listen 127.0.0.1:${port} backlog=4096;
    location = /publish { nchan_publisher; nchan_channel_id prices; nchan_message_buffer_length 1; }
    location = /prices { nchan_subscriber eventsource; nchan_channel_id prices; nchan_subscriber_first_message newest; }
  }
}
`;
}

async function start(found: Found): Promise<StreamServer> {
  const folder = await mkdtemp(join(tmpdir(), 'pricepool-nchan-'));
  const port = await freePort();
  const file = join(folder, 'nginx.conf');
  await writeFile(file, configOf(found, folder, port));
  const master = spawn(found.program, ['-p', folder, '-c', file], { stdio: ['ignore', 'ignore', 'inherit'] });
  const pid = master.pid ?? 0;
  const worker = await waitFor(() => childOf(pid), { what: 'a worker of nginx', timeoutMs: 5_000 });
  pin(worker, serverCore);
  const publishUrl = `http://127.0.0.1:${port}/publish`;
  return {
    streamOf: () => ({
      port,
      transport: 'sse',
      request: requestText(port, '/prices', { accept: 'text/event-stream' }),
    }),
    async publish(tick) {
      const headers = { 'x-eventsource-event': 'price', 'content-type': 'text/plain' };
      const answer = await fetch(publishUrl, { method: 'POST', headers, body: dataOf(tick) });
      await answer.arrayBuffer();
      if (!answer.ok) throw new Error(`nchan answered ${answer.status}`);
    },
    figures: () =>
      Promise.resolve({
        rssBytes: rssBytesOf(worker),
        cpuMicros: cpuMicros(worker),
        handles: NaN,
        streams: NaN,
        behind: NaN,
        slow: NaN,
      }),
    async stop() {
      const ended = new Promise((resolve) => master.once('exit', resolve));
      master.kill('SIGTERM');
      const kill = setTimeout(() => master.kill('SIGKILL'), stopDeadlineMs);
      await ended;
      clearTimeout(kill);
      await rm(folder, { recursive: true, force: true });
    },
  };
}

function childOf(pid: number): number | undefined {
  const [first] = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ');
  return first === undefined || first === '' ? undefined : Number(first);
}

function rssBytesOf(pid: number): number {
  const pages = Number(readFileSync(`/proc/${pid}/statm`, 'utf8').split(' ')[1]);
  return pages * pageBytes;
}

const pageBytes = Number(spawnSync('getconf', ['PAGESIZE'], { encoding: 'utf8' }).stdout) || 4_096;
