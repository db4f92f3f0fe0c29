/** A real nginx before an API, as operators set it up who never heard of event streams. */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { freePort, isPortFree } from '../../embedded/free-port.ts';
import { projectRoot } from '../../embedded/project-root.ts';
import { waitFor } from './wait-for.ts';

export interface Nginx {
  /** `http://127.0.0.1:<port>` */
  readonly url: string;
  stop(): Promise<void>;
}

interface NginxOptions {
  /** Port of the API on loopback. */
  readonly upstreamPort: number;
  /** What it says to the API: `1.0` is what nginx does unless told otherwise. */
  readonly httpVersion?: '1.0' | '1.1';
  /** Deaf to `X-Accel-Buffering`. */
  readonly ignoresHeader?: boolean;
  /** Keeps good answers for so long, lets one request of a crowd through, and serves old ones while it must. */
  readonly cacheSeconds?: number;
}

let started = 0;

/** Whether this machine has nginx. */
export async function hasNginx(): Promise<boolean> {
  return promisify(execFile)('nginx', ['-v']).then(
    () => true,
    () => false,
  );
}

/** Starts one; resolves when it listens. */
export async function startNginx(options: NginxOptions): Promise<Nginx> {
  const folder = join(projectRoot, '.pricepool', `nginx-${process.pid}-${++started}`);
  await mkdir(folder, { recursive: true });
  const port = await freePort();
  const file = join(folder, 'nginx.conf');
  await writeFile(file, configOf(folder, port, options));
  const child = spawn('nginx', ['-e', join(folder, 'error.log'), '-c', file], { stdio: 'ignore' });
  const exited = once(child, 'exit');
  await waitFor(async () => !(await isPortFree(port)), { what: 'nginx to listen' });
  return {
    url: `http://127.0.0.1:${port}`,
    async stop() {
      child.kill('SIGTERM');
      await exited;
      await rm(folder, { recursive: true, force: true });
    },
  };
}

function configOf(folder: string, port: number, options: NginxOptions): string {
  const { upstreamPort, httpVersion = '1.1', ignoresHeader = false, cacheSeconds } = options;
  const store = `proxy_cache_path ${folder}/cache levels=1:2 keys_zone=answers:50m max_size=1g inactive=1d;`;
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((kind) => `${kind}_temp_path ${folder}/${kind};`)
    .join('\n  ');
  return `
daemon off;
worker_processes 1;
pid ${folder}/nginx.pid;
events { worker_connections 2048; }
http {
  access_log off;
  ${temporary}
  gzip on;
  gzip_proxied any;
  ${cacheSeconds === undefined ? '' : store}
  server {
    listen 127.0.0.1:${port};
    location / {
      proxy_pass http://127.0.0.1:${upstreamPort};
      proxy_http_version ${httpVersion};
      proxy_buffering on;
      proxy_read_timeout 20s;
      ${ignoresHeader ? 'proxy_ignore_headers X-Accel-Buffering;' : ''}
      ${cacheSeconds === undefined ? '' : cacheLines(cacheSeconds)}
    }
  }
}
`;
}

/** A cache as its makers recommend it. The upstream's own `Cache-Control` would make it shorter. */
function cacheLines(seconds: number): string {
  return `
      proxy_cache answers;
      proxy_cache_key $request_uri;
      proxy_cache_valid 200 ${seconds}s;
      proxy_ignore_headers Cache-Control Expires Vary Set-Cookie;
      proxy_cache_lock on;
      proxy_cache_lock_timeout 15s;
      proxy_cache_background_update on;
      proxy_cache_use_stale error timeout invalid_header updating http_429 http_500 http_502 http_503 http_504;`;
}
