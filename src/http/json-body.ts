import type { Context } from 'hono'
import { badRequest, LinkError } from '../core/errors.ts'
import { parseMediaType } from '../dicom/media-type.ts'
import type { Env } from './context.ts'
import { openUpload, type UploadLimits } from './upload.ts'

export interface BodyOptions extends UploadLimits {
  /** One of which the body has to be. */
  readonly mediaTypes: readonly string[]
}

/** All of a body. Throws `unsupported-media-type` before it reads any, and `too-large`. */
export async function readBody(c: Context<Env>, options: BodyOptions): Promise<Uint8Array> {
  const type = parseMediaType(c.req.header('content-type') ?? '')?.type
  if (type === undefined || !options.mediaTypes.includes(type)) {
    throw new LinkError('unsupported-media-type', `Content-Type: expected ${options.mediaTypes.join(' or ')}`)
  }
  const chunks: Uint8Array[] = []
  for await (const chunk of openUpload(c.env, options).body) chunks.push(chunk)
  return Buffer.concat(chunks)
}

/** What a body says in JSON; throws as {@link readBody} does, and `bad-request`. */
export async function readJson(c: Context<Env>, options: BodyOptions): Promise<unknown> {
  const body = await readBody(c, options)
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body))
  } catch {
    // Without its cause: the parser quotes the text.
    throw badRequest('body: expected JSON in UTF-8')
  }
}
