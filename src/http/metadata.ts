import { Readable } from 'node:stream'
import type { Context } from 'hono'
import type { Dataset } from '../dicom/dataset.ts'
import type { InHand } from '../retrieve/in-hand.ts'
import type { RetrieveAnswer } from '../retrieve/service.ts'
import { prefersGzip } from './accept-encoding.ts'
import { stream, warn } from './answer.ts'
import { gzippedBody, leastCompressedBytes } from './compress.ts'
import { answerIfKnown } from './conditional.ts'
import type { Env } from './context.ts'
import { bodyOf, xmlType } from './datasets.ts'
import { type BodyInHand, boundaryOf, sendInHand } from './in-hand.ts'
import type { DatasetsForm } from './negotiate.ts'

export interface MetadataAnswer {
  readonly site: string
  readonly answer: RetrieveAnswer<AsyncIterable<Dataset>>
  readonly form: DatasetsForm
}

/**
 * Metadata, compressed when the client likes that. 200 with the warning even when a cluster is silent, as of a search:
 * viewers take a 206 of JSON for a failure, and with one cluster down not one study would open.
 */
export async function sendMetadata(c: Context<Env>, { site, answer, form }: MetadataAnswer): Promise<Response> {
  c.header('Vary', 'Accept, Accept-Encoding', { append: true })
  warn(c, site, answer.warnings)
  const { inHand } = answer
  const isLarge = inHand === undefined || inHand.length > leastCompressedBytes
  const isCompressed = isLarge && prefersGzip(c.req.header('accept-encoding'))
  const tag = inHand && tagOf(inHand, form, isCompressed)
  if (tag && form.kind === 'json' && !isCompressed) {
    return sendInHand(c, { ...arrayOf(inHand), contentType: form.contentType, tag, source: inHand })
  }
  const known = tag && answerIfKnown(c, tag, datasetType(form))
  if (known) return known
  const { contentType, body } = bodyFor(answer, form)
  if (!isCompressed) return stream(c, { status: 200, contentType, body })
  c.header('Content-Encoding', 'gzip')
  return stream(c, { status: 200, contentType, body: gzippedBody(body) })
}

function bodyFor({ body, inHand }: MetadataAnswer['answer'], form: DatasetsForm) {
  if (!inHand) return bodyOf(body, form)
  if (form.kind === 'xml') return bodyOf(body, form, boundaryOf(inHand.digest))
  return { contentType: form.contentType, body: Readable.from(arrayOf(inHand).chunks) }
}

/** Pieces, which are datasets as JSON, as one array of them. */
function arrayOf({ pieces, length }: InHand): Pick<BodyInHand, 'chunks' | 'length'> {
  const chunks = pieces.flatMap((piece, index) => [index === 0 ? begin : comma, ...piece.chunks])
  return { chunks: [...chunks, end], length: length + pieces.length + 1 }
}

const [begin, comma, end] = [Buffer.from('['), Buffer.from(','), Buffer.from(']')]

const datasetType = (form: DatasetsForm): string => (form.kind === 'json' ? form.contentType : xmlType)

/** Compressed bytes may differ from one version of the compressor to the next: their tag is a weak one. */
function tagOf({ digest }: InHand, form: DatasetsForm, isCompressed: boolean): string {
  const name = form.kind === 'xml' ? 'xml' : form.contentType.replace('application/', '')
  return isCompressed ? `W/"${digest}-${name}-gzip"` : `"${digest}-${name}"`
}
