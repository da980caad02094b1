import { type ImageInstance, type ImageStudy, pixelsOf } from './image-study.ts'
import type { Message } from './origin-outlet.ts'

/** What an origin answers, made once and kept. */
export class OriginContent {
  readonly #studies: ReadonlyMap<string, ImageStudy>
  readonly #frameBytes: number
  readonly #kept = new Map<string, Message>()

  constructor(studies: readonly ImageStudy[], frameBytes: number) {
    this.#studies = new Map(studies.map((study) => [study.uid, study]))
    this.#frameBytes = frameBytes
  }

  /** `path` as it stands in the request line. */
  answer(path: string): Message {
    const frames = /\/instances\/([\d.]+)\/frames\/([\d,]+)$/.exec(path)
    if (frames) return this.#frames(frames[1] ?? '', (frames[2] ?? '').split(',').map(Number))
    const kept = this.#kept.get(path)
    if (kept) return kept
    const made = this.#make(path)
    if (this.#kept.size < maxKept) this.#kept.set(path, made)
    return made
  }

  #frames(instance: string, numbers: readonly number[]): Message {
    const own = Number(instance.slice(instance.lastIndexOf('.') + 1))
    return multipart(
      'application/octet-stream',
      numbers.map((frame) => [pixelsOf(own * 31 + frame, this.#frameBytes)]),
    )
  }

  #make(path: string): Message {
    const { pathname, searchParams } = new URL(path, 'http://origin')
    const [, study, series, instance] = resource.exec(pathname) ?? []
    const held = study === undefined ? [...this.#studies.values()] : [this.#studies.get(study)].filter((it) => !!it)
    const asks = (level: string) => pathname.endsWith(`/${level}`)
    if (asks('studies')) return rows(held.map(studyRow), searchParams)
    if (asks('series')) return rows(held.flatMap(seriesRows), searchParams)
    const found = held.flatMap((it) => it.instances.map((own) => ({ study: it, own }))).filter(below(series, instance))
    if (asks('instances') || asks('metadata')) return rows(found.map(instanceRow), searchParams)
    if (found.length === 0 || study === undefined) return message('404 Not Found', 'text/plain', [])
    return multipart(
      'application/dicom',
      found.map(({ own }) => [own.head, own.pixels]),
    )
  }
}

/** Answers kept by address. */
const maxKept = 5000

const resource = /\/studies(?:\/([\d.]+)(?:\/series(?:\/([\d.]+)(?:\/instances(?:\/([\d.]+))?)?)?)?)?/

const below = (series: string | undefined, instance: string | undefined) => (it: { own: ImageInstance }) =>
  (series === undefined || it.own.series === series) && (instance === undefined || it.own.uid === instance)

const boundary = 'images-follow-here'

function multipart(type: string, parts: readonly (readonly Buffer[])[]): Message {
  const pieces = parts.flatMap(([first = Buffer.alloc(0), ...rest], index) => {
    const length = rest.reduce((sum, piece) => sum + piece.length, first.length)
    // As Orthanc writes it.
    const header = `Content-Type: ${type}\r\nContent-Length: ${length}\r\nMIME-Version: 1.0\r\n\r\n`
    const delimiter = Buffer.from(`${index === 0 ? '' : '\r\n'}--${boundary}\r\n${header}`)
    // Small pieces become one, so that there are fewer to write.
    return [...(rest.length > 0 ? [Buffer.concat([delimiter, first])] : [delimiter, first]), ...rest]
  })
  const end = Buffer.from(`\r\n--${boundary}--\r\n`)
  return message('200 OK', `multipart/related; type="${type}"; boundary=${boundary}`, [...pieces, end])
}

function message(status: string, contentType: string, pieces: readonly Buffer[]): Message {
  const length = pieces.reduce((sum, piece) => sum + piece.length, 0)
  const head = `HTTP/1.1 ${status}\r\nContent-Type: ${contentType}\r\nContent-Length: ${length}\r\n\r\n`
  return { pieces: [Buffer.from(head), ...pieces] }
}

type Row = Readonly<Record<string, { readonly vr: string; readonly Value: readonly (string | number)[] }>>

/** Rows under the UIDs and between the limits that a query names. */
function rows(all: readonly Row[], query: URLSearchParams): Message {
  const found = all.filter((row) =>
    uidKeys.every(([tag, keyword]) => isAmong(row, tag, query.get(tag) ?? query.get(keyword))),
  )
  const offset = Number(query.get('offset') ?? 0)
  const page = found.slice(offset, offset + Number(query.get('limit') ?? found.length))
  return message('200 OK', 'application/dicom+json', [Buffer.from(JSON.stringify(page))])
}

const uidKeys = [
  ['0020000D', 'StudyInstanceUID'],
  ['0020000E', 'SeriesInstanceUID'],
  ['00080018', 'SOPInstanceUID'],
] as const

const isAmong = (row: Row, tag: string, list: string | null) =>
  list === null || list.split(',').includes(String(row[tag]?.Value[0]))

const shared = ({ uid, patientId, date }: ImageStudy): Row => ({
  '00080005': { vr: 'CS', Value: ['ISO_IR 192'] },
  '00080020': { vr: 'DA', Value: [date] },
  '00100020': { vr: 'LO', Value: [patientId] },
  '0020000D': { vr: 'UI', Value: [uid] },
})

const studyRow = (study: ImageStudy): Row => ({
  ...shared(study),
  '00080061': { vr: 'CS', Value: [study.modality] },
  '00201206': { vr: 'IS', Value: [study.series.length] },
  '00201208': { vr: 'IS', Value: [study.instances.length] },
})

const seriesRows = (study: ImageStudy): Row[] =>
  study.series.map((uid, index) => ({
    ...shared(study),
    '00080060': { vr: 'CS', Value: [study.modality] },
    '0020000E': { vr: 'UI', Value: [uid] },
    '00200011': { vr: 'IS', Value: [index + 1] },
    '00201209': { vr: 'IS', Value: [study.instances.filter(({ series }) => series === uid).length] },
  }))

const instanceRow = ({ study, own }: { study: ImageStudy; own: ImageInstance }): Row => ({
  ...shared(study),
  '00080016': { vr: 'UI', Value: ['1.2.840.10008.5.1.4.1.1.7'] },
  '00080018': { vr: 'UI', Value: [own.uid] },
  '00080060': { vr: 'CS', Value: [study.modality] },
  '0020000E': { vr: 'UI', Value: [own.series] },
  '00200013': { vr: 'IS', Value: [1] },
})
