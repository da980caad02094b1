import { existsSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePort } from '../../support/orthanc.ts'
import { run } from '../../support/processes.ts'

const folders = ['/usr/sbin', '/usr/local/sbin', ...(process.env.PATH ?? '').split(':')]
const binary = folders.map((folder) => join(folder, 'nginx')).find((file) => existsSync(file))

export const nginxAvailable = binary !== undefined

export const nginxMissing =
  'left out, nginx is not installed here; apt-get install -y --no-install-recommends nginx, ' +
  'then systemctl disable --now nginx: only the program is wanted'

export interface NginxOptions {
  /** `http://127.0.0.1:port` of what it stands before. */
  readonly origin: string
  /** Beside what Debian ships: what sites set that care for large answers. */
  readonly tuned?: boolean
  /** Whether it keeps answers, in memory. */
  readonly caches?: boolean
}

export interface Nginx extends AsyncDisposable {
  /** `http://127.0.0.1:port` */
  readonly url: string
  /** Of the process whose children do the work. */
  readonly pid: number
}

/** Starts one with the configuration Debian ships, on a free port; ready when this resolves. */
export async function startNginx(options: NginxOptions): Promise<Nginx> {
  if (binary === undefined) throw new Error(nginxMissing)
  const folder = await mkdtemp(join(options.caches ? '/dev/shm' : tmpdir(), 'link-nginx-'))
  const port = await freePort()
  await writeFile(join(folder, 'nginx.conf'), configuration(options, folder, port))
  // The last to be named: its workers outlive a process that was killed, not one that was told to end.
  const toTheEnd = ['--pdeathsig', 'TERM', binary, '-c', join(folder, 'nginx.conf'), '-e', join(folder, 'error.log')]
  const running = run('/usr/bin/setpriv', toTheEnd)
  const end = async () => {
    await running.kill('SIGTERM')
    await rm(folder, { recursive: true, force: true })
  }
  const over = running.ended.then(() => {
    throw new Error(`nginx ended:\n${running.stderr()}`)
  })
  await Promise.race([accepts(port), over])
  over.catch(() => undefined)
  return { url: `http://127.0.0.1:${port}`, pid: running.pid, [Symbol.asyncDispose]: end }
}

async function accepts(port: number): Promise<void> {
  for (let open = false; !open; await sleep(20)) {
    const socket = connect({ host: '127.0.0.1', port })
    open = await new Promise<boolean>((resolve) => {
      socket.once('connect', () => resolve(true))
      socket.once('error', () => resolve(false))
    })
    socket.destroy()
  }
}

/** Debian's nginx.conf without what is not for HTTP, with its files in a folder of its own. */
const configuration = (options: NginxOptions, folder: string, port: number): string => `
${process.getuid?.() === 0 ? 'user root;' : ''}
worker_processes auto;
daemon off;
pid ${folder}/nginx.pid;
error_log ${folder}/error.log;
events {
  worker_connections 768;
}
http {
  sendfile on;
  tcp_nopush on;
  types_hash_max_size 2048;
  default_type application/octet-stream;
  access_log ${folder}/access.log;
  gzip on;
${temporary.map((name) => `  ${name}_temp_path ${folder}/${name};`).join('\n')}
  upstream origin {
    server ${new URL(options.origin).host};
    keepalive 64;
  }
${options.caches ? `  proxy_cache_path ${folder}/cache keys_zone=answers:10m max_size=1g;` : ''}
  server {
    listen 127.0.0.1:${port};
    location / {
      proxy_pass ${options.tuned ? 'http://origin' : options.origin};
${options.tuned ? tuning : ''}
${options.caches ? '      proxy_cache answers;\n      proxy_cache_valid 200 1h;' : ''}
    }
  }
}
`

const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']

/** Buffers that hold more, connections that stay open, nothing on disk. */
const tuning = `      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffer_size 64k;
      proxy_buffers 16 64k;
      proxy_busy_buffers_size 256k;
      proxy_max_temp_file_size 0;`
