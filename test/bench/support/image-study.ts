import { madeInstance } from '../../support/made-instance.ts'
import { studyOf } from './studies.ts'

/**
 * Studies with pixels, by number: whoever speaks of one, origin or judge of an answer, means the same bytes. Part 10
 * files, uncompressed, every instance with pixels of its own.
 */
export interface ImageStudyOptions {
  readonly number: number
  readonly instances: number
  /** Of the pixels of each. */
  readonly instanceBytes: number
  readonly series?: number
}

export interface ImageInstance {
  readonly uid: string
  readonly series: string
  /** The file: what comes before its pixels, and these, a view of bytes that all studies share. */
  readonly head: Buffer
  readonly pixels: Buffer
}

export interface ImageStudy {
  readonly uid: string
  readonly modality: string
  readonly patientId: string
  readonly date: string
  readonly series: readonly string[]
  readonly instances: readonly ImageInstance[]
}

const columns = 500

export function imageStudy({ number, instances, instanceBytes, series = 4 }: ImageStudyOptions): ImageStudy {
  const { uid, modality, patientId, date } = studyOf(number)
  const uids = Array.from({ length: series }, (_, index) => `${uid}.${index + 1}`)
  const each = Math.ceil(instances / series)
  const made = Array.from({ length: instances }, (_, index): ImageInstance => {
    const own = uids[Math.floor(index / each)] ?? ''
    const instance = `${own}.${100_001 + index}`
    return { uid: instance, series: own, ...fileOf({ uid, modality, patientId, date }, own, instance, instanceBytes) }
  })
  return { uid, modality, patientId, date, series: uids, instances: made }
}

type Header = Pick<ImageStudy, 'uid' | 'modality' | 'patientId' | 'date'>

function fileOf(study: Header, series: string, instance: string, bytes: number) {
  const rows = Math.floor(bytes / columns)
  const { uid, modality, patientId, date: studyDate } = study
  const small = madeInstance({
    study: uid,
    series,
    instance,
    modality,
    patientId,
    studyDate,
    rows: 2,
    columns: 2,
  }).bytes
  const head = Buffer.from(small.subarray(0, small.length - 4))
  head.writeUInt16LE(rows, head.indexOf(rowsHeader) + rowsHeader.length)
  head.writeUInt16LE(columns, head.indexOf(columnsHeader) + columnsHeader.length)
  head.writeUInt32LE(rows * columns, head.length - 4)
  return { head, pixels: pixelsOf(Number(instance.slice(instance.lastIndexOf('.') + 1)), rows * columns) }
}

const rowsHeader = Buffer.from([0x28, 0, 0x10, 0, 0x55, 0x53, 2, 0])
const columnsHeader = Buffer.from([0x28, 0, 0x11, 0, 0x55, 0x53, 2, 0])

/** Pixels begin at one of so many places. */
const places = 32 * 1024
const maxPixels = 2 * 1024 ** 2
const noise = makeNoise(maxPixels + places)

/** Bytes that look like nothing, and not like those of the next number. */
export const pixelsOf = (number: number, length: number): Buffer => {
  const from = (number * 7919) % places
  return noise.subarray(from, from + length)
}

/** xorshift32. */
function makeNoise(length: number): Buffer {
  const words = new Uint32Array(Math.ceil(length / 4))
  let state = 2463534242
  for (let at = 0; at < words.length; at++) {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    words[at] = state
  }
  return Buffer.from(words.buffer, 0, length)
}
