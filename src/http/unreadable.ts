import type { Socket } from 'node:net'
import { LinkError } from '../core/errors.ts'
import { describeProblem, ProblemError } from './problem.ts'

export type Unreadable = NodeJS.ErrnoException & { readonly rawPacket?: Buffer }

/** How long a client gets to read why, before its connection is closed whatever it still sends. */
const lingerMs = 1000

/**
 * The parser gave up: there is no request, but the client may still read why. Not in the middle of another answer,
 * whose client would take the text for a part of it: `midAnswer` is cut instead.
 */
export function refuseUnreadable(error: Unreadable, socket: Socket, midAnswer: boolean): void {
  if (!socket.writable || error.code === 'ECONNRESET') {
    socket.destroy()
    return
  }
  if (midAnswer) {
    socket.resetAndDestroy()
    return
  }
  const { problem, headers } = describeProblem(unreadable(error), 'none')
  const body = JSON.stringify(problem)
  const head = [`HTTP/1.1 ${problem.status} ${problem.title}`, ...Object.entries(headers).map((it) => it.join(': '))]
  head.push(`Content-Length: ${Buffer.byteLength(body)}`, 'Connection: close')
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`)
  const timer = setTimeout(() => socket.destroy(), lingerMs)
  socket.once('close', () => clearTimeout(timer))
}

function unreadable({ code, rawPacket }: Unreadable): LinkError {
  switch (code) {
    case 'HPE_HEADER_OVERFLOW':
      // Without a line end in sight it was the address that did not end.
      return rawPacket?.includes('\r\n') === false
        ? new ProblemError('too-large', 'the address is too long', { status: 414 })
        : new ProblemError('too-large', 'the headers of the request are too large', { status: 431 })
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return new ProblemError('bad-request', 'the request did not arrive in time', { status: 408 })
    default:
      return new LinkError('bad-request', 'this is no HTTP/1.1 request')
  }
}
