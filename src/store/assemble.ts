import { createReadStream, createWriteStream } from 'node:fs'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { badRequest } from '../core/errors.ts'
import { type Dataset, firstString } from '../dicom/dataset.ts'
import { readJsonArray } from '../dicom/json-array.ts'
import { parseMediaType } from '../dicom/media-type.ts'
import type { Part, Parts } from '../dicom/multipart.ts'
import { tag } from '../dicom/tags.ts'
import { isUid, type Uid } from '../dicom/uid.ts'
import { type BulkValue, writePart10 } from '../dicom/write.ts'

export interface AssembleOptions {
  /** Bulk data waits here until the instance that names it is written; it never is in memory. */
  readonly spoolDir: string
  /** Of the metadata of the whole request. */
  readonly maxJsonBytes: number
}

interface Spooled {
  readonly path: string
  readonly length: number
  readonly transferSyntaxUID: Uid | undefined
}

/** Instances in one request at most; each is held as metadata until its bulk data has come. */
const maxInstances = 100_000

const explicitLittleEndian = '1.2.840.10008.1.2.1' as Uid

/**
 * Instances out of metadata and bulk data that come apart (PS3.18 10.5.1.2 with annex F): first the metadata, then
 * one part for each BulkDataURI in it, named by Content-Location. An instance that cannot be written breaks off its
 * own part with `bad-request`; the others are not touched.
 */
export async function* assemble(parts: Parts, options: AssembleOptions): Parts {
  await mkdir(options.spoolDir, { recursive: true })
  const folder = await mkdtemp(join(options.spoolDir, 'bulk-'))
  try {
    const { datasets, bulk } = await receiveAll(parts, folder, options.maxJsonBytes)
    for (const dataset of datasets) yield* part(instance(dataset, bulk))
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

async function receiveAll(parts: Parts, folder: string, maxJsonBytes: number) {
  const datasets: Dataset[] = []
  const bulk = new Map<string, Spooled>()
  let budget = maxJsonBytes
  for await (const part of parts) {
    if (isMetadata(part)) budget -= await readMetadata(part, budget, datasets)
    else if (part.location === undefined) throw badRequest('a part of bulk data has no Content-Location')
    else if (bulk.has(part.location)) throw badRequest('two parts of bulk data have the same Content-Location')
    else bulk.set(part.location, await spool(part, join(folder, String(bulk.size))))
  }
  return { datasets, bulk }
}

const isMetadata = ({ contentType }: Part) => parseMediaType(contentType)?.type === 'application/dicom+json'

/** Adds the datasets of a part and returns its size in bytes. */
async function readMetadata(part: Part, maxBytes: number, datasets: Dataset[]): Promise<number> {
  let size = 0
  async function* counted() {
    for await (const chunk of part.body) {
      size += chunk.byteLength
      yield chunk
    }
  }
  for await (const item of readJsonArray(counted(), { maxItemBytes: maxBytes, maxBytes })) {
    if (typeof item !== 'object' || item === null) throw badRequest('the metadata is no array of DICOM JSON objects')
    if (datasets.push(item as Dataset) > maxInstances)
      throw badRequest(`more than ${maxInstances} instances in one request`)
  }
  return size
}

async function spool(part: Part, path: string): Promise<Spooled> {
  const file = createWriteStream(path, { mode: 0o600 })
  await pipeline(part.body, file)
  const syntax = parseMediaType(part.contentType)?.parameters.get('transfer-syntax')
  return { path, length: file.bytesWritten, transferSyntaxUID: isUid(syntax) ? syntax : undefined }
}

/** Whoever asks for the next part or for none is done with this one: what it has open is closed, read or passed over. */
async function* part(body: AsyncGenerator<Uint8Array>): AsyncGenerator<Part> {
  try {
    yield { contentType: 'application/dicom', body }
  } finally {
    await body.return(undefined)
  }
}

/** Lazily, so that what is wrong with one dataset concerns its own part alone. */
async function* instance(dataset: Dataset, bulk: ReadonlyMap<string, Spooled>): AsyncGenerator<Uint8Array> {
  const pixels = bulk.get(dataset[tag.PixelData]?.BulkDataURI ?? '')
  const told = firstString(dataset, tag.AvailableTransferSyntaxUID)
  const transferSyntaxUID = pixels?.transferSyntaxUID ?? (isUid(told) ? told : explicitLittleEndian)
  yield* writePart10(dataset, { transferSyntaxUID, bulk: (uri) => located(bulk.get(uri)) })
}

const located = (spooled: Spooled | undefined): BulkValue | undefined =>
  spooled && { length: spooled.length, body: contentOf(spooled) }

/** Opens the file when its first byte is asked for: an instance may have thousands of values, and may be refused. */
async function* contentOf({ path }: Spooled): AsyncGenerator<Uint8Array> {
  yield* createReadStream(path)
}
