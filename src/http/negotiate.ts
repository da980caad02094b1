import type { Context } from 'hono'
import { badRequest, LinkError } from '../core/errors.ts'
import { type MediaRange, type MediaType, parseAccept } from '../dicom/media-type.ts'
import { firstGiven } from '../retrieve/failure.ts'
import type { Env } from './context.ts'

/** What a request without `transfer-syntax` gets, PS3.18 8.7.3: Explicit VR Little Endian. */
export const defaultTransferSyntax = '1.2.840.10008.1.2.1'

/** Alternatives asked for one after the other at most. */
const maxAlternatives = 8

/**
 * What the client takes, best first: the query parameter `accept` (PS3.18 8.3.3.1), else the header, else anything.
 */
export function acceptedTypes(c: Context<Env>): MediaRange[] {
  const parameter = acceptParameter(c.req.url)
  const text = parameter ?? c.req.header('accept') ?? ''
  return parseAccept(text.trim() === '' ? '*/*' : text, parameter === undefined ? 'Accept' : 'accept')
}

/** Read from the raw query, where a `+` of `application/dicom+json` is a plus and no space. */
function acceptParameter(url: string): string | undefined {
  const [given, again] = url.matchAll(/[?&]accept=([^&#]*)/gi)
  const value = given?.[1]
  if (value === undefined) return undefined
  if (again) throw badRequest('accept: given more than once')
  try {
    return decodeURIComponent(value)
  } catch (error) {
    throw badRequest('accept: the value is not percent-encoded as it should be', error)
  }
}

const notAcceptable = (offered: string) =>
  new LinkError('not-acceptable', `nothing of what Accept names can be given; this resource offers ${offered}`)

/** What an answer may be: of a media type, alone or in parts. */
interface Form {
  readonly multipart: boolean
  readonly type: string
  readonly transferSyntax?: string
}

/** Whether a range stands for a form, and the same header does not refuse it. */
const standsFor = (range: MediaRange, form: Form): boolean =>
  covers(range, form) && !range.except.some((refused) => covers(refused, form) && isOfSyntax(refused, form))

function covers(range: MediaType, { multipart, type }: Form): boolean {
  if (range.type === '*/*') return true
  return isMultipart(range.type) === multipart && takes(multipart ? partType(range) : range.type, type)
}

const isOfSyntax = ({ parameters }: MediaType, { transferSyntax }: Form): boolean =>
  [undefined, '*', transferSyntax].includes(parameters.get('transfer-syntax'))

const isMultipart = (type: string): boolean => type === 'multipart/related' || type === 'multipart/*'

const partType = ({ parameters }: MediaType): string => (parameters.get('type') ?? '*/*').toLowerCase()

/** Whether a media range covers a media type. */
function takes(range: string, type: string): boolean {
  return range === '*/*' || range === type || (range.endsWith('/*') && type.startsWith(range.slice(0, -1)))
}

const jsonTypes = ['application/dicom+json', 'application/json'] as const

/** DICOM JSON for an answer that is one dataset; named as the client names it. */
export function negotiateJson(accepted: readonly MediaRange[]): string {
  const contentType = accepted.map(jsonType).find((type) => type !== undefined)
  if (contentType === undefined) throw notAcceptable(jsonTypes[0])
  return contentType
}

const jsonType = (range: MediaRange): string | undefined =>
  jsonTypes.find((type) => standsFor(range, { multipart: false, type }))

/** How to give any number of datasets: as one JSON array, or each as an XML document of its own in multipart/related. */
export type DatasetsForm = { readonly kind: 'json'; readonly contentType: string } | { readonly kind: 'xml' }

/** What the client likes best of DICOM JSON and DICOM XML, PS3.18 8.7.3.2 and 8.7.5. */
export function negotiateDatasets(accepted: readonly MediaRange[]): DatasetsForm {
  for (const range of accepted) {
    const contentType = jsonType(range)
    if (contentType !== undefined) return { kind: 'json', contentType }
    if (standsFor(range, { multipart: true, type: 'application/dicom+xml' })) return { kind: 'xml' }
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
export function negotiateInstances(accepted: readonly MediaRange[], oneInstance: boolean): InstanceChoice[] {
  const choices = accepted.flatMap((range): InstanceChoice[] => {
    const anything = range.type === '*/*' || range.type === 'multipart/*'
    const named = range.parameters.get('transfer-syntax') ?? (anything ? '*' : undefined)
    const transferSyntax = named ?? defaultTransferSyntax
    const form = formOf(range, { type: 'application/dicom', transferSyntax }, oneInstance)
    return form ? [{ single: !form.multipart, transferSyntax, ...(named === undefined && { orAsStored: true }) }] : []
  })
  if (choices.length === 0) throw notAcceptable(offeredInstances(oneInstance))
  const stored = choices.filter((choice) => choice.transferSyntax === '*')
  return distinct([...stored, ...choices].map(checkTransferSyntax))
}

export const offeredInstances = (oneInstance: boolean): string =>
  `multipart/related; type="application/dicom"${oneInstance ? ' and application/dicom' : ''}, ${asStored}`

const asStored = 'with transfer-syntax=* as it is stored'

/** The first that a range stands for of parts and, where one object is asked for, that one alone. */
function formOf(range: MediaRange, form: Omit<Form, 'multipart'>, oneObject: boolean): Form | undefined {
  const forms = [true, ...(oneObject ? [false] : [])].map((multipart) => ({ ...form, multipart }))
  return forms.find((it) => standsFor(range, it))
}

/** How to give frames. */
export interface PixelChoice extends Omit<InstanceChoice, 'orAsStored'> {
  readonly mediaType: string
}

/**
 * The alternatives for frames, best first; a single part only for exactly one frame. Bytes of which no transfer syntax
 * is named come, when nothing else can be had, as they are stored (PS3.18 8.7.3.3).
 */
export function negotiateFrames(accepted: readonly MediaRange[], oneFrame: boolean): PixelChoice[] {
  const choices = accepted.flatMap((range) => pixelChoice(range, oneFrame))
  if (choices.length === 0) throw notAcceptable(offeredFrames(oneFrame))
  const unnamed = accepted.filter(({ parameters }) => !parameters.has('transfer-syntax'))
  const stored = unnamed.flatMap((range) => pixelChoice(range, oneFrame, '*'))
  return distinct([...choices, ...stored].map(checkTransferSyntax))
}

function pixelChoice(range: MediaRange, oneFrame: boolean, byDefault?: string): PixelChoice[] {
  const wanted = isMultipart(range.type) ? partType(range) : range.type
  if (!isPixelType(wanted)) return []
  const anything = wanted === '*/*' || wanted === 'application/*'
  const type = anything ? 'application/octet-stream' : wanted
  const usual = byDefault ?? (wanted === 'application/octet-stream' ? defaultTransferSyntax : '*')
  const transferSyntax = range.parameters.get('transfer-syntax') ?? usual
  const form = formOf(range, { type, transferSyntax }, oneFrame)
  return form ? [{ single: !form.multipart, mediaType: type, transferSyntax }] : []
}

export const offeredFrames = (oneFrame: boolean): string => {
  const alone = oneFrame ? ', or one of them alone' : ''
  return `multipart/related with type application/octet-stream or image/…${alone}, ${asStored}`
}

const isPixelType = (type: string) => /^(\*\/\*|application\/(\*|octet-stream)|(image|video)\/[\w.+*-]+)$/.test(type)

/**
 * Whether and how bulk data of `contentType` can be given: in parts, or alone when it is one. Bytes are bytes: who
 * takes `application/octet-stream` takes everything.
 */
export function negotiateBulkdata(
  accepted: readonly MediaRange[],
  contentType: string,
  total: number,
): { readonly single: boolean } {
  const types = [contentType, 'application/octet-stream']
  for (const range of accepted) {
    const single = [...(total === 1 ? [true] : []), false].find((it) =>
      types.some((type) => standsFor(range, { multipart: !it, type })),
    )
    if (single !== undefined) return { single }
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

const usualTypes = ['image/jpeg', 'image/png', 'video/mp4', 'application/pdf']

/** Media types of a picture to ask for, best first, PS3.18 table 8.7.4-1. A thumbnail is always an image. */
export function negotiateRendered(accepted: readonly MediaRange[], kind: 'rendered' | 'thumbnail'): string[] {
  const wanted = accepted.flatMap(renderedTypes).filter((type) => kind === 'rendered' || type.startsWith('image/'))
  if (wanted.length > 0) return [...new Set(wanted)].slice(0, maxAlternatives)
  throw notAcceptable(kind === 'thumbnail' ? 'image/jpeg and image/png' : 'image/jpeg, image/png, video and PDF')
}

function renderedTypes(range: MediaRange): readonly string[] {
  const multipart = isMultipart(range.type)
  const wanted = multipart ? partType(range) : range.type
  // An archive that is asked for anything could choose what the client refuses.
  const types = wanted === '*/*' && range.except.length > 0 ? usualTypes : (expansions[wanted] ?? [])
  return types.filter((type) => standsFor(range, { multipart, type }))
}

function checkTransferSyntax<Choice extends Pick<InstanceChoice, 'transferSyntax'>>(choice: Choice): Choice {
  if (/^(\*|[\d.]{1,64})$/.test(choice.transferSyntax)) return choice
  const shown = JSON.stringify(choice.transferSyntax.slice(0, 80))
  throw badRequest(`transfer-syntax: ${shown} is no transfer syntax; expected a UID or "*"`)
}

function distinct<Choice extends Pick<InstanceChoice, 'transferSyntax'>>(choices: readonly Choice[]): Choice[] {
  return [...new Map(choices.map((choice) => [JSON.stringify(choice), choice])).values()].slice(0, maxAlternatives)
}

/** The first of the client's choices that the clusters can give; throws what {@link offering} says when there is none. */
export const firstAcceptable = <Choice, Answer>(
  choices: readonly Choice[],
  offered: string,
  ask: (choice: Choice) => Promise<Answer>,
): Promise<{ readonly choice: Choice; readonly answer: Answer }> =>
  offering(offered, () => firstGiven(choices, async (choice) => ({ choice, answer: await ask(choice) })))

/** Work whose `not-acceptable` tells what the resource offers. */
export async function offering<Answer>(offered: string, work: () => Promise<Answer>): Promise<Answer> {
  try {
    return await work()
  } catch (cause) {
    if (!(cause instanceof LinkError) || cause.code !== 'not-acceptable') throw cause
    throw new LinkError('not-acceptable', `${cause.message}; this resource offers ${offered}`, { cause })
  }
}
