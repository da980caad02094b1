import { once } from 'node:events'
import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http'
import { createServer as createTlsServer, type ServerOptions } from 'node:https'
import type { AddressInfo, Server, Socket } from 'node:net'

export type Answer = (request: IncomingMessage, response: ServerResponse) => void | Promise<void>

/** What an archive was asked. */
export interface Seen {
  readonly method: string
  /** Path and query as they stood in the request line. */
  readonly url: string
  readonly headers: IncomingMessage['headers']
  /** Resolves when the connection or the answer has ended: `complete` when the whole answer was sent. */
  readonly ended: Promise<{ readonly complete: boolean }>
}

/** A DICOMweb origin that answers what a test tells it to, rightly or wrongly. */
export interface FakeArchive extends AsyncDisposable {
  /** Root of its DICOMweb services. */
  readonly dicomweb: string
  readonly seen: readonly Seen[]
  /** Connections open now, the most there were at once, and all there ever were. */
  readonly connections: { readonly open: number; readonly most: number; readonly ever: number }
  /** Answers requests whose path and query contain or match `route`; the latest that fits is taken. */
  on(route: string | RegExp, answer: Answer): FakeArchive
  /** Resolves with the request after those that were waited for before. */
  next(): Promise<Seen>
  close(): Promise<void>
}

/** Starts one on a free port; with `tls` it speaks https. What no route fits is answered 404. */
export async function startFakeArchive(tls?: ServerOptions): Promise<FakeArchive> {
  const routes: { route: string | RegExp; answer: Answer }[] = []
  const seen: Seen[] = []
  const sockets = new Set<Socket>()
  const waiting: ((request: Seen) => void)[] = []
  let handedOut = 0
  let most = 0
  let ever = 0

  const listener: RequestListener = (request, response) => {
    const note = noteOf(request, response)
    seen.push(note)
    const waiter = waiting.shift()
    if (waiter) {
      handedOut++
      waiter(note)
    }
    const found = routes.findLast(({ route }) => fits(route, note.url))
    const answer = found?.answer ?? status(404)
    Promise.resolve(answer(request, response)).catch((error: unknown) => response.destroy(error as Error))
  }
  const server: Server = tls ? createTlsServer(tls, listener) : createServer(listener)
  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    ever++
    most = Math.max(most, sockets.size)
    socket.on('close', () => sockets.delete(socket))
    socket.on('error', () => undefined)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const close = async () => {
    for (const socket of sockets) socket.destroy()
    if (!server.listening) return
    server.close()
    await once(server, 'close')
  }

  const archive: FakeArchive = {
    dicomweb: `${tls ? 'https://localhost' : 'http://127.0.0.1'}:${port}/dicom-web`,
    seen,
    get connections() {
      return { open: sockets.size, most, ever }
    },
    on(route, answer) {
      routes.push({ route, answer })
      return archive
    },
    next: () => {
      const note = seen[handedOut]
      if (!note) return new Promise((resolve) => waiting.push(resolve))
      handedOut++
      return Promise.resolve(note)
    },
    close,
    [Symbol.asyncDispose]: close,
  }
  return archive
}

const fits = (route: string | RegExp, url: string): boolean =>
  typeof route === 'string' ? url.includes(route) : route.test(url)

function noteOf(request: IncomingMessage, response: ServerResponse): Seen {
  const ended = new Promise<{ complete: boolean }>((resolve) => {
    response.on('close', () => resolve({ complete: response.writableFinished }))
  })
  return { method: request.method ?? '', url: request.url ?? '', headers: request.headers, ended }
}

/** Rows or datasets as DICOM JSON. */
export const json =
  (body: unknown, headers: Record<string, string> = {}): Answer =>
  (request, response) => {
    request.resume()
    response.writeHead(200, { 'Content-Type': 'application/dicom+json', ...headers }).end(JSON.stringify(body))
  }

/** A bare status, or one with a body. */
export const status =
  (code: number, body = '', headers: Record<string, string> = {}): Answer =>
  (request, response) => {
    request.resume()
    response.writeHead(code, headers).end(body)
  }

/** Bytes of any type. */
export const bytes =
  (contentType: string, body: string | Uint8Array, headers: Record<string, string> = {}): Answer =>
  (_request, response) => {
    response.writeHead(200, { 'Content-Type': contentType, ...headers }).end(body)
  }

/** Takes the request and never says a word. */
export const silence: Answer = () => undefined

/** Begins an answer and never goes on. */
export const beginning =
  (contentType: string, body: string): Answer =>
  (_request, response) => {
    response.writeHead(200, { 'Content-Type': contentType })
    response.write(body)
  }

/** Announces more bytes than it sends, then closes the connection. */
export const cutShort =
  (contentType: string, body: string, announced: number): Answer =>
  (_request, response) => {
    response.writeHead(200, { 'Content-Type': contentType, 'Content-Length': announced })
    response.write(body, () => response.destroy())
  }

/** Closes the connection without an answer. */
export const hangUp: Answer = (request) => {
  request.destroy()
}

/** The text of a multipart message; `whole: false` leaves the closing boundary out. */
export function multipart(contents: readonly string[], options: { type?: string; whole?: boolean } = {}): string {
  const { type = 'application/dicom', whole = true } = options
  const parts = contents.map((content) => `--b\r\nContent-Type: ${type}\r\n\r\n${content}\r\n`)
  return `${parts.join('')}${whole ? '--b--\r\n' : ''}`
}

export const multipartType = 'multipart/related; type="application/dicom"; boundary=b'
