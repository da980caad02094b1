import type { Limits } from '../config/schema.ts'
import { ClusterError } from '../core/outcome.ts'
import { attributeAt, type Dataset, firstString } from '../dicom/dataset.ts'
import { frameCount, framesUpTo } from '../dicom/image-attributes.ts'
import type { Parts } from '../dicom/multipart.ts'
import { tag } from '../dicom/tags.ts'
import type {
  BulkdataRequest,
  ElementOrigin,
  FramesRequest,
  ObjectRequest,
  RenderedRequest,
  RetrieveRequest,
  Target,
} from './cluster.ts'
import type { Call, DicomwebClient } from './dicomweb-client.ts'
import { isInForm, onePart, type PixelForm, partsOfForm } from './dicomweb-forms.ts'
import { wrongType } from './dicomweb-json.ts'
import { inlineBytes, isBulkdataPath, metadata, pathOf } from './dicomweb-metadata.ts'
import { concatenated, isMultipart, readParts } from './dicomweb-parts.ts'
import { exactly, runs } from './dicomweb-runs.ts'

/** Judges the type of an answer that is not multipart. */
type Fits = (contentType: string) => boolean
type Disguises = NonNullable<Call['disguises']>
/** Until when an answer is waited for. */
type Wait = Pick<Call, 'signal' | 'patient'>

/** Orthanc says 400 to a representation it cannot give; others say 405 of a service they lack. */
const badAccept: Disguises = { 400: 'unsupported', 405: 'unsupported' }
/** An archive that cannot transcode what it holds says 500. */
const badTransferSyntax: Disguises = { ...badAccept, 500: 'unsupported' }

/** WADO-RS, PS3.18 10.4, in the words that archives understand. */
export class DicomwebRetriever {
  readonly #client: DicomwebClient
  readonly #limits: Limits

  constructor(client: DicomwebClient, limits: Limits) {
    this.#client = client
    this.#limits = limits
  }

  retrieve(request: RetrieveRequest, signal: AbortSignal): Promise<Parts> {
    const wait: Wait = { signal, ...(request.patient && { patient: true }) }
    switch (request.kind) {
      case 'instances':
        return this.#instances(request, wait)
      case 'frames':
        return this.#frames(request, wait)
      case 'bulkdata':
        return this.#bulkdata(request, wait)
      case 'rendered':
      case 'thumbnail':
        return this.#rendered(request, wait)
    }
  }

  #instances({ target, transferSyntax }: ObjectRequest, wait: Wait): Promise<Parts> {
    const accept = multipartOf('application/dicom', transferSyntax)
    const disguises = transferSyntax === '*' ? badAccept : badTransferSyntax
    const isOne = target.instance !== undefined
    return this.#parts({ path: pathOf(target), accept, disguises, ...wait }, isDicom, { isOne })
  }

  #frames(request: FramesRequest, wait: Wait): Promise<Parts> {
    return this.#inRuns(request.frames, (run) => {
      const path = `${pathOf(request.target)}/frames/${run.join(',')}`
      return this.#framesInForm(request, { path, ...wait }, fitsAlone(run, isPixels))
    })
  }

  /** Run by run, each of which is to bring what it names. */
  async #inRuns(frames: readonly number[], ask: (run: readonly number[]) => Promise<Parts>): Promise<Parts> {
    const maxBytes = this.#limits.maxBufferedPartBytes
    const [first, ...others] = runs(frames).map((run) => async () => {
      return exactly(run.length, await ask(run), { client: this.#client, maxBytes })
    })
    if (!first) throw this.#client.error('rejected', 'no frame was asked for')
    const parts = await first()
    return others.length === 0 ? parts : concatenated(parts, others)
  }

  #framesInForm(form: PixelForm, call: Pick<Call, 'path'> & Wait, fits: Fits): Promise<Parts> {
    const { mediaType, transferSyntax } = form
    const ask = (accept: string, disguises: Disguises) => this.#parts({ ...call, accept, disguises }, fits)
    const asStored = multipartOf(bytesAsStored.mediaType, bytesAsStored.transferSyntax)
    // All know bytes as they are stored: what is bad about such a request is the number of a frame.
    if (isBytes(mediaType) && transferSyntax === '*') return ask(asStored, {})
    return this.#firstAccepted([
      () => ask(multipartOf(mediaType, transferSyntax), badTransferSyntax),
      async () => partsOfForm(this.#client, await ask(asStored, badAccept), (part) => isInForm(part, form)),
      // Orthanc knows `*` of bytes only.
      ...(transferSyntax === '*' ? [() => ask(multipartOf(mediaType), badTransferSyntax)] : []),
    ])
  }

  #bulkdata({ path, origin }: BulkdataRequest, wait: Wait): Promise<Parts> {
    if (origin && origin.cluster !== this.#client.cluster) return this.#element(origin, wait)
    return this.#bulkdataAt(path, wait)
  }

  /** Bulk data of another cluster's address, from where our own metadata has the same element. */
  async #element({ target, element }: ElementOrigin, wait: Wait): Promise<Parts> {
    const dataset = await this.#datasetOf(target, wait)
    const attribute = attributeAt(dataset, element)
    if (attribute?.BulkDataURI !== undefined) return this.#bulkdataAt(attribute.BulkDataURI, wait)
    const bytes = attribute && inlineBytes(element, attribute)
    if (bytes) return onePart(bytes)
    // Some leave the pixel data of compressed images out of their metadata.
    const frames = element === tag.PixelData ? framesUpTo(frameCount(dataset)) : []
    if (frames.length > 0) return this.#frames({ kind: 'frames', target, frames, ...bytesAsStored }, wait)
    throw this.#client.error('not-found', `has no element ${element} in the instance`)
  }

  async #datasetOf(target: Required<Target>, { signal, ...patience }: Wait): Promise<Dataset> {
    for await (const dataset of metadata(this.#client, this.#limits, target, signal, patience)) {
      if (firstString(dataset, tag.SOPInstanceUID) === target.instance) return dataset
    }
    throw this.#client.error('not-found', 'has no metadata of the instance')
  }

  /** Some archives know only one of both forms; those that know lists take the first. */
  async #bulkdataAt(path: string, wait: Wait): Promise<Parts> {
    if (!isBulkdataPath(path)) throw this.#client.error('not-found', 'has no bulk data at such a path')
    const accepts = [`${multipartOf('application/octet-stream')}, */*`, multipartOf('application/octet-stream'), '*/*']
    return this.#firstAccepted(
      accepts.map((accept) => () => this.#parts({ path: `/${path}`, accept, ...wait }, isNoPage)),
    )
  }

  #rendered(request: RenderedRequest, wait: Wait): Promise<Parts> {
    const fits = request.mediaTypes.some(takesPages) ? () => true : isPicture
    const ask = (path: string, fits: Fits) =>
      this.#firstAccepted(request.mediaTypes.map((accept) => () => this.#parts({ path, accept, ...wait }, fits)))
    if (request.kind === 'thumbnail' || !request.frames) return ask(pathOfRendered(request), fits)
    return this.#inRuns(request.frames, (frames) =>
      ask(pathOfRendered({ ...request, frames }), fitsAlone(frames, fits)),
    )
  }

  /** Archives that take exactly one media type at a time are asked for one after the other. */
  async #firstAccepted(asks: readonly (() => Promise<Parts>)[]): Promise<Parts> {
    let refusal: ClusterError | undefined
    for (const ask of asks) {
      try {
        return await ask()
      } catch (error) {
        if (!(error instanceof ClusterError) || error.reason !== 'unsupported') throw error
        refusal = error
      }
    }
    throw refusal ?? this.#client.error('unsupported', 'no media type was asked for')
  }

  /** `isOne`: of one object, most of which are small. */
  async #parts(call: Omit<Call, 'method'>, fits: Fits, { isOne = true } = {}): Promise<Parts> {
    const exchange = await this.#client.request({ disguises: badAccept, ...call, method: 'GET' })
    const { status, contentType } = exchange
    if (status !== 204 && (isMultipart(contentType) || fits(contentType))) {
      const atOnce = isOne && { atOnceBytes: this.#limits.maxBufferedPartBytes }
      return readParts(this.#client, exchange, { limits: this.#limits, signal: call.signal, ...atOnce })
    }
    exchange.discard()
    if (status === 204) throw this.#client.error('not-found', 'answers that there is nothing')
    throw this.#client.error('malformed', wrongType(contentType, 'what was asked for'), { status })
  }
}

const isDicom = (type: string): boolean => /^application\/dicom\b(?!\+)/i.test(type)
const isBytes = (type: string): boolean => /^application\/octet-stream/i.test(type)
const isPixels = (type: string): boolean => /^(application\/octet-stream|image\/|video\/)/i.test(type)
const isNoPage = (type: string): boolean => !/^(text\/html|application\/xhtml)/i.test(type)
const isPicture = (type: string): boolean => isNoPage(type) && !/json/i.test(type)
const takesPages = (accept: string): boolean => /^(\*\/\*|text\/)/i.test(accept)

/** One part cannot be several frames. */
const fitsAlone = (run: readonly number[], fits: Fits): Fits => (run.length > 1 ? () => false : fits)

const bytesAsStored: PixelForm = { mediaType: 'application/octet-stream', transferSyntax: '*' }

const multipartOf = (type: string, transferSyntax?: string): string =>
  `multipart/related; type="${type}"${transferSyntax === undefined ? '' : `; transfer-syntax=${transferSyntax}`}`

function pathOfRendered(request: RenderedRequest): string {
  const frames = request.frames?.length ? `/frames/${request.frames.join(',')}` : ''
  const query = Object.entries(request.parameters)
    .map(([name, value]) => `${encodeURIComponent(name)}=${encodeURIComponent(value).replaceAll('%2C', ',')}`)
    .join('&')
  return `${pathOf(request.target)}${frames}/${request.kind}${query === '' ? '' : `?${query}`}`
}
