import type { Context } from 'hono'
import { badRequest, LinkError } from '../core/errors.ts'
import { type MediaType, parseAccept } from '../dicom/media-type.ts'
import type { Env } from './context.ts'

/** What a request without `transfer-syntax` gets, PS3.18 8.7.3: Explicit VR Little Endian. */
export const defaultTransferSyntax = '1.2.840.10008.1.2.1'

/** Alternatives asked for one after the other at most. */
const maxAlternatives = 8

/**
 * What the client takes, best first: the query parameter `accept` (PS3.18 8.3.3.1), else the header, else anything.
 */
export function acceptedTypes(c: Context<Env>): MediaType[] {
  const text = acceptParameter(c.req.url) ?? c.req.header('accept')
  if (text === undefined || text.trim() === '') return [{ type: '*/*', parameters: new Map() }]
  return parseAccept(text)
}

/** Read from the raw query, where a `+` of `application/dicom+json` is a plus and no space. */
function acceptParameter(url: string): string | undefined {
  const [, value] = /[?&]accept=([^&#]*)/i.exec(url) ?? []
  if (value === undefined) return undefined
  try {
    return decodeURIComponent(value)
  } catch (error) {
    throw badRequest('accept: the value is not percent-encoded as it should be', error)
  }
}

const notAcceptable = (offered: string) =>
  new LinkError('not-acceptable', `nothing of what Accept names can be given; this resource offers ${offered}`)

/** DICOM JSON for an answer that is one dataset; named as the client names it. */
export function negotiateJson(accepted: readonly MediaType[]): string {
  const contentType = accepted.map(jsonType).find((type) => type !== undefined)
  if (contentType === undefined) throw notAcceptable('application/dicom+json')
  return contentType
}

function jsonType({ type }: MediaType): string | undefined {
  if (type === 'application/json' || type === 'application/dicom+json') return type
  return type === '*/*' || type === 'application/*' ? 'application/dicom+json' : undefined
}

/** How to give any number of datasets: as one JSON array, or each as an XML document of its own in multipart/related. */
export type DatasetsForm = { readonly kind: 'json'; readonly contentType: string } | { readonly kind: 'xml' }

/** What the client likes best of DICOM JSON and DICOM XML, PS3.18 8.7.3.2 and 8.7.5. */
export function negotiateDatasets(accepted: readonly MediaType[]): DatasetsForm {
  for (const range of accepted) {
    const contentType = jsonType(range)
    if (contentType !== undefined) return { kind: 'json', contentType }
    if (isMultipart(range.type) && takes(partType(range), 'application/dicom+xml')) return { kind: 'xml' }
  }
  throw notAcceptable('application/dicom+json and multipart/related; type="application/dicom+xml"')
}

/** How to give stored instances: as which transfer syntax, in parts or as the one instance itself. */
export interface InstanceChoice {
  readonly single: boolean
  readonly transferSyntax: string
  /** The client named no transfer syntax: what cannot be given in the default one may come as it is stored. */
  readonly orAsStored?: boolean
}

/**
 * The alternatives for `application/dicom`, best first. A client that takes anything, or any transfer syntax among
 * others, gets instances as they are stored: nothing can go wrong in transcoding them. One that names no transfer
 * syntax gets the default one wherever it can be had; files say of themselves in which one they are.
 */
export function negotiateInstances(accepted: readonly MediaType[], oneInstance: boolean): InstanceChoice[] {
  const choices = accepted.flatMap((range): InstanceChoice[] => {
    const transferSyntax = range.parameters.get('transfer-syntax')
    const ask =
      transferSyntax === undefined ? { transferSyntax: defaultTransferSyntax, orAsStored: true } : { transferSyntax }
    switch (range.type) {
      case '*/*':
      case 'multipart/*':
        return [{ single: false, transferSyntax: transferSyntax ?? '*' }]
      case 'multipart/related':
        return takes(partType(range), 'application/dicom') ? [{ ...ask, single: false }] : []
      case 'application/dicom':
      case 'application/*':
        return oneInstance ? [{ ...ask, single: true }] : []
      default:
        return []
    }
  })
  if (choices.length === 0) throw notAcceptable(offeredInstances(oneInstance))
  const stored = choices.filter((choice) => choice.transferSyntax === '*')
  return distinct([...stored, ...choices].map(checkTransferSyntax))
}

const offeredInstances = (oneInstance: boolean) =>
  `multipart/related; type="application/dicom"${oneInstance ? ' and application/dicom' : ''}`

/** How to give frames or bulk data. */
export interface PixelChoice extends Omit<InstanceChoice, 'orAsStored'> {
  readonly mediaType: string
}

/** The alternatives for frames, best first; a single part only for exactly one frame. */
export function negotiateFrames(accepted: readonly MediaType[], oneFrame: boolean): PixelChoice[] {
  const choices = accepted.flatMap((range): PixelChoice[] => {
    const multipart = isMultipart(range.type) || range.type === '*/*'
    const wanted = multipart ? partType(range) : range.type
    if (!isPixelType(wanted) || (!multipart && !oneFrame)) return []
    const anything = wanted === '*/*' || wanted === 'application/*'
    const mediaType = anything ? 'application/octet-stream' : wanted
    const byDefault = wanted === 'application/octet-stream' ? defaultTransferSyntax : '*'
    return [{ single: !multipart, mediaType, transferSyntax: range.parameters.get('transfer-syntax') ?? byDefault }]
  })
  if (choices.length === 0) {
    const alone = oneFrame ? ', or one of them alone' : ''
    throw notAcceptable(`multipart/related with type application/octet-stream or image/…${alone}`)
  }
  return distinct(choices.map(checkTransferSyntax))
}

const isPixelType = (type: string) => /^(\*\/\*|application\/(\*|octet-stream)|(image|video)\/[\w.+*-]+)$/.test(type)

/**
 * Whether and how bulk data of `contentType` can be given: in parts, or alone when it is one. Bytes are bytes: who
 * takes `application/octet-stream` takes everything.
 */
export function negotiateBulkdata(
  accepted: readonly MediaType[],
  contentType: string,
  total: number,
): { readonly single: boolean } {
  for (const range of accepted) {
    const single = !isMultipart(range.type) && (total === 1 || range.type !== '*/*')
    if (single && total > 1) continue
    const wanted = single ? range.type : partType(range)
    if (takes(wanted, contentType) || takes(wanted, 'application/octet-stream')) return { single }
  }
  throw notAcceptable(`${contentType}, ${total === 1 ? 'alone or ' : ''}in multipart/related`)
}

const pictures = ['image/jpeg', 'image/png', 'image/gif', 'image/jp2', 'image/jph', 'image/jls']
const documents = ['application/pdf', 'text/plain']
const films = ['video/mp4', 'video/mpeg', 'video/h264', 'video/h265']

/** What a range stands for: the usual first, and for `anything` whatever suits the object (PDF, video). */
const expansions: Readonly<Record<string, readonly string[]>> = {
  '*/*': ['image/jpeg', '*/*'],
  'image/*': ['image/jpeg', 'image/png'],
  'video/*': ['video/mp4'],
  'application/*': ['application/pdf'],
  ...Object.fromEntries([...pictures, ...documents, ...films].map((type) => [type, [type]])),
}

/** Media types of a picture to ask for, best first, PS3.18 table 8.7.4-1. A thumbnail is always an image. */
export function negotiateRendered(accepted: readonly MediaType[], kind: 'rendered' | 'thumbnail'): string[] {
  const wanted = accepted
    .flatMap((range) => expansions[isMultipart(range.type) ? partType(range) : range.type] ?? [])
    .filter((type) => kind === 'rendered' || type.startsWith('image/'))
  if (wanted.length > 0) return [...new Set(wanted)].slice(0, maxAlternatives)
  throw notAcceptable(kind === 'thumbnail' ? 'image/jpeg and image/png' : 'image/jpeg, image/png, video and PDF')
}

const isMultipart = (type: string): boolean => type === 'multipart/related' || type === 'multipart/*'

const partType = ({ parameters }: MediaType): string => (parameters.get('type') ?? '*/*').toLowerCase()

/** Whether a media range covers a media type. */
function takes(range: string, type: string): boolean {
  return range === '*/*' || range === type || (range.endsWith('/*') && type.startsWith(range.slice(0, -1)))
}

function checkTransferSyntax<Choice extends Pick<InstanceChoice, 'transferSyntax'>>(choice: Choice): Choice {
  if (/^(\*|[\d.]{1,64})$/.test(choice.transferSyntax)) return choice
  const shown = JSON.stringify(choice.transferSyntax.slice(0, 80))
  throw badRequest(`transfer-syntax: ${shown} is no transfer syntax; expected a UID or "*"`)
}

function distinct<Choice extends Pick<InstanceChoice, 'transferSyntax'>>(choices: readonly Choice[]): Choice[] {
  return [...new Map(choices.map((choice) => [JSON.stringify(choice), choice])).values()].slice(0, maxAlternatives)
}

/** Asks for one alternative after the other while the answer is that the clusters cannot give it. */
export async function firstAcceptable<Choice, Answer>(
  choices: readonly Choice[],
  ask: (choice: Choice) => Promise<Answer>,
): Promise<{ readonly choice: Choice; readonly answer: Answer }> {
  let refusal: unknown
  for (const choice of choices) {
    try {
      return { choice, answer: await ask(choice) }
    } catch (error) {
      if (!(error instanceof LinkError) || error.code !== 'not-acceptable') throw error
      refusal ??= error
    }
  }
  throw refusal
}
