/** What runs in a thread: takes one request after the other, answers each with one reply. */
import { parentPort, workerData } from 'node:worker_threads'
import { LinkError, toError } from '../core/errors.ts'
import { damaged } from './refusals.ts'
import { render } from './render.ts'
import type { RenderLimits, RenderRequest } from './request.ts'
import type { Reply } from './thread.ts'

const limits: RenderLimits = workerData

async function replyTo(request: RenderRequest): Promise<Reply> {
  try {
    const { contentType, bytes } = await render(request, limits)
    return { contentType, bytes: new Uint8Array(bytes) }
  } catch (thrown) {
    const { code, message, cause } = thrown instanceof LinkError ? thrown : damaged('its data makes no sense', thrown)
    // An error of a class of its own does not cross the border between threads as what it is.
    return { code, message, cause: cause === undefined ? undefined : toError(cause).message }
  }
}

parentPort?.on('message', async (request: RenderRequest) => {
  const reply = await replyTo(request)
  parentPort?.postMessage(reply, 'bytes' in reply ? [reply.bytes.buffer] : [])
})
