import { buffer } from 'node:stream/consumers'
import type { Context } from 'hono'
import type { Dataset } from '../dicom/dataset.ts'
import { prefersGzip } from './accept-encoding.ts'
import { gzipped, leastCompressedBytes } from './compress.ts'
import type { Env } from './context.ts'
import { bodyOf } from './datasets.ts'
import type { DatasetsForm } from './negotiate.ts'

/**
 * Answers a search with its rows, PS3.18 10.6.3: JSON is an empty list when there are none; multipart/related cannot
 * be empty, so of XML it is 204 then. Compressed when the client likes that.
 */
export async function sendRows(c: Context<Env>, rows: readonly Dataset[], form: DatasetsForm): Promise<Response> {
  c.header('Vary', 'Accept, Accept-Encoding', { append: true })
  if (form.kind === 'xml' && rows.length === 0) return c.body(null, 204)
  const { contentType, body } = bodyOf(rows, form)
  // All rows are here: written in one go they cost less than as a stream.
  const plain = form.kind === 'json' ? Buffer.from(JSON.stringify(rows)) : await buffer(body)
  const isCompressed = plain.byteLength > leastCompressedBytes && prefersGzip(c.req.header('accept-encoding'))
  c.header('Content-Type', contentType)
  if (!isCompressed) return c.body(plain, 200)
  c.header('Content-Encoding', 'gzip')
  // Without its body an answer does not say how long that would be: to know it, it had to be compressed.
  if (c.req.method === 'HEAD') return c.body(null, 200)
  return c.body(await gzipped(plain), 200)
}
