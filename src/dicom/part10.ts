import { type Element, notDicom, tagText, undefinedLength } from './part10-element.ts'
import { inflating } from './part10-inflate.ts'
import { type FileMeta, readFileMeta } from './part10-meta.ts'
import { Recording } from './part10-stream.ts'
import { elementAt, endOfValue, shortText } from './part10-walk.ts'
import { PrefixWindow, type Window } from './part10-window.ts'
import { isUid, type Uid } from './uid.ts'

/** What routing an instance needs to know of it, read from its first bytes (PS3.10 section 7). */
export interface InstanceHeader {
  readonly studyInstanceUID: Uid
  readonly seriesInstanceUID: Uid
  readonly sopInstanceUID: Uid
  readonly sopClassUID: Uid
  readonly transferSyntaxUID: Uid
  /** Where the dataset begins, in bytes: after preamble and file meta information. The digest starts here. */
  readonly datasetOffset: number
}

/** Bytes within which an instance on its way has to have told its UIDs, unless there is reason to read further. */
export const usualHeaderBytes = 1024 * 1024

export interface SniffOptions {
  /** The most that is read of a stream, and inflated from a deflated one, to find what the header needs. */
  readonly maxHeaderBytes: number
}

export interface SniffedInstance {
  readonly header: InstanceHeader
  /** The whole file from its first byte. Read it once; leaving it early cancels the source. */
  readonly body: AsyncIterable<Uint8Array>
}

const sopClassTag = 0x00080016
const sopInstanceTag = 0x00080018
const studyTag = 0x0020000d
const seriesTag = 0x0020000e

/**
 * Reads the beginning of a Part 10 file until it is known what it is, and hands the whole stream on. Takes all
 * encodings of PS3.5 annex A, deflated ones too, and files without preamble or file meta information; where dataset
 * and meta information differ, the dataset wins. Throws, having cancelled the stream, `bad-request` for what is no
 * DICOM instance and `too-large` when the stream goes on past `maxHeaderBytes` without telling.
 */
export async function sniffInstance(body: AsyncIterable<Uint8Array>, options: SniffOptions): Promise<SniffedInstance> {
  const recording = new Recording(body, options.maxHeaderBytes)
  try {
    const header = await readHeader(recording, options.maxHeaderBytes)
    return { header, body: recording.replay() }
  } catch (error) {
    await recording.cancel()
    throw error
  }
}

async function readHeader(recording: Recording, limit: number): Promise<InstanceHeader> {
  const window = new PrefixWindow(() => recording.pull(), limit)
  const meta = await readFileMeta(window)
  if (!meta.deflated) return headerOf(meta, await identifiers(window, meta.datasetOffset, meta))
  const inflated = inflating(recording.from(meta.datasetOffset))
  try {
    return headerOf(meta, await identifiers(new PrefixWindow(() => pullFrom(inflated), limit), 0, meta))
  } finally {
    await inflated.return()
  }
}

async function pullFrom(chunks: AsyncIterator<Uint8Array>): Promise<Uint8Array | undefined> {
  const next = await chunks.next()
  return next.done === true ? undefined : next.value
}

/** The four identifiers of the dataset; elements come in the order of their tags (PS3.5 7.1), the series' UID last. */
async function identifiers(window: Window, begin: number, meta: FileMeta): Promise<ReadonlyMap<number, string>> {
  const found = new Map<number, string>()
  let offset = begin
  for (;;) {
    const next = elementAt(window, offset, Number.POSITIVE_INFINITY, meta.encoding)
    const element = next instanceof Promise ? await next : next
    if (element === undefined || element.tag > seriesTag) return found
    if (isWanted(element)) found.set(element.tag, await shortText(window, element))
    if (element.tag === seriesTag) return found
    offset = await endOfValue(window, element, Number.POSITIVE_INFINITY, meta.encoding)
  }
}

const isWanted = ({ tag, length }: Element): boolean =>
  length !== undefinedLength && (tag === sopClassTag || tag === sopInstanceTag || tag === studyTag || tag === seriesTag)

function headerOf(meta: FileMeta, found: ReadonlyMap<number, string>): InstanceHeader {
  const uid = (tag: number, name: string, otherwise = ''): Uid => {
    const text = found.get(tag) || otherwise
    if (isUid(text)) return text
    throw notDicom(`its ${name} ${tagText(tag)} is ${text === '' ? 'missing' : 'no UID'}`)
  }
  const sopInstanceUID = uid(sopInstanceTag, 'SOP Instance UID', meta.mediaStorageSOPInstanceUID)
  const sopClassUID = uid(sopClassTag, 'SOP Class UID', meta.mediaStorageSOPClassUID)
  const studyInstanceUID = uid(studyTag, 'Study Instance UID')
  const seriesInstanceUID = uid(seriesTag, 'Series Instance UID')
  const { transferSyntaxUID, datasetOffset } = meta
  if (!isUid(transferSyntaxUID)) throw notDicom('its Transfer Syntax UID (0002,0010) is no UID')
  return { studyInstanceUID, seriesInstanceUID, sopInstanceUID, sopClassUID, transferSyntaxUID, datasetOffset }
}
