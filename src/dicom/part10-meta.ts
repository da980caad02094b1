import {
  type Encoding,
  explicitBig,
  explicitLittle,
  implicitLittle,
  isVr,
  notDicom,
  truncatedAt,
} from './part10-element.ts'
import { elementAt, endOfValue, shortText } from './part10-walk.ts'
import type { Window } from './part10-window.ts'

/** What a file says of itself ahead of its dataset, PS3.10 section 7.1. */
export interface FileMeta {
  /** As the file says it; what the bytes show where it says nothing. Not yet checked to be a UID. */
  readonly transferSyntaxUID: string
  readonly mediaStorageSOPClassUID: string
  readonly mediaStorageSOPInstanceUID: string
  /** Bytes before the dataset. */
  readonly datasetOffset: number
  /** Of the dataset; when deflated, of what comes out of it. */
  readonly encoding: Encoding
  readonly deflated: boolean
}

const implicitLittleEndian = '1.2.840.10008.1.2'
const explicitLittleEndian = '1.2.840.10008.1.2.1'
const deflatedLittleEndian = '1.2.840.10008.1.2.1.99'
const explicitBigEndian = '1.2.840.10008.1.2.2'
/** JPIP Referenced Deflate, the other one whose dataset is deflated (PS3.5 A.5 and A.8). */
const deflated: ReadonlySet<string> = new Set([
  deflatedLittleEndian,
  '1.2.840.10008.1.2.4.95',
  '1.2.840.10008.1.2.4.205',
])
/** Implicit VR; the second is an old private one that differs in the byte order of its pixel data only. */
const implicit: ReadonlySet<string> = new Set([implicitLittleEndian, '1.2.840.113619.5.2'])

const preambleBytes = 132
/** The longest text read from the meta group: a UID has 64 characters at most. */
const metaTags = { sopClass: 0x00020002, sopInstance: 0x00020003, transferSyntax: 0x00020010 }

/**
 * Reads preamble and file meta information. Files without either occur: those written as a bare dataset are read
 * when their first element is one of group 0008, as it is in every composite instance. Throws `bad-request`.
 */
export async function readFileMeta(window: Window): Promise<FileMeta> {
  await window.load(0, preambleBytes + 12)
  if (window.bytes.length === 0) throw notDicom('it is empty')
  const begin = window.bytes.toString('latin1', 128, preambleBytes) === 'DICM' ? preambleBytes : 0
  const hasMeta = window.bytes.length >= begin + 8 && window.bytes.readUInt16LE(begin) === 2
  if (begin === 0 && !hasMeta && !beginsLikeDataset(window.bytes)) {
    throw notDicom(
      'it has neither preamble nor file meta information, and does not begin with an element of group 0008',
    )
  }
  const { offset, texts } = hasMeta ? await readMetaGroup(window, begin) : { offset: begin, texts: noTexts }
  return describe(window, offset, texts)
}

const beginsLikeDataset = (bytes: Buffer): boolean =>
  bytes.length >= 8 && (bytes.readUInt16LE(0) === 8 || bytes.readUInt16BE(0) === 8)

const noTexts: ReadonlyMap<number, string> = new Map()

/** Walks the group rather than trust (0002,0000): its value is often wrong. */
async function readMetaGroup(window: Window, begin: number) {
  const encoding = encodingShown(window.bytes, begin) ?? explicitLittle
  const texts = new Map<number, string>()
  let offset = begin
  for (;;) {
    const next = elementAt(window, offset, Number.POSITIVE_INFINITY, encoding)
    const element = next instanceof Promise ? await next : next
    if (element === undefined || element.tag >>> 16 !== 2) return { offset, texts }
    if (Object.values(metaTags).includes(element.tag)) texts.set(element.tag, await shortText(window, element))
    offset = await endOfValue(window, element, Number.POSITIVE_INFINITY, encoding)
  }
}

async function describe(window: Window, offset: number, texts: ReadonlyMap<number, string>): Promise<FileMeta> {
  const named = texts.get(metaTags.transferSyntax) ?? ''
  if (!window.has(offset, 8)) await window.load(offset, 8)
  const shown = encodingShown(window.bytes, offset - window.start)
  if (named === '' && shown === undefined) throw truncatedAt(metaTags.transferSyntax)
  return {
    transferSyntaxUID: named === '' ? nameOf(shown ?? implicitLittle) : named,
    mediaStorageSOPClassUID: texts.get(metaTags.sopClass) ?? '',
    mediaStorageSOPInstanceUID: texts.get(metaTags.sopInstance) ?? '',
    datasetOffset: offset,
    ...encodingOf(named, shown),
  }
}

const nameOf = (encoding: Encoding): string => {
  if (!encoding.explicit) return implicitLittleEndian
  return encoding.littleEndian ? explicitLittleEndian : explicitBigEndian
}

/** Some writers name one little endian syntax and write the other: the bytes win. */
function encodingOf(named: string, shown: Encoding | undefined): { encoding: Encoding; deflated: boolean } {
  if (deflated.has(named)) return { encoding: explicitLittle, deflated: true }
  if (named === explicitBigEndian) return { encoding: explicitBig, deflated: false }
  const fallback = implicit.has(named) ? implicitLittle : explicitLittle
  return { encoding: shown ?? fallback, deflated: false }
}

/** The encoding that the first element of a dataset shows; `undefined` when it is too short to tell. */
function encodingShown(bytes: Buffer, at: number): Encoding | undefined {
  if (at + 8 > bytes.length) return undefined
  if (!isVr(bytes.toString('latin1', at + 4, at + 6))) return implicitLittle
  // Group 0008 is 00 08 in big endian; no dataset begins with the little endian group 0800 or above that would be.
  const bigEndian = bytes[at] === 0 && bytes[at + 1] !== 0
  return bigEndian ? explicitBig : explicitLittle
}
