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
  const { upstreamPort, httpVersion = '1.1', ignoresHeader = false } = options;
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
  server {
    listen 127.0.0.1:${port};
    location / {
      proxy_pass http://127.0.0.1:${upstreamPort};
      proxy_http_version ${httpVersion};
      proxy_buffering on;
      proxy_read_timeout 20s;
      ${ignoresHeader ? 'proxy_ignore_headers X-Accel-Buffering;' : ''}
    }
  }
}
`;
}
