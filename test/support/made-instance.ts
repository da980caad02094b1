/**
 * Small instances made byte by byte, so that what the product writes and reads is never tested against itself:
 * Part 10 files in Explicit VR Little Endian with eight-bit grey frames.
 */
export interface MadeInstance {
  readonly study: string
  readonly series: string
  readonly instance: string
  readonly bytes: Uint8Array
}

export interface MadeInstanceOptions {
  readonly study?: string
  readonly series?: string
  readonly instance?: string
  readonly modality?: string
  readonly patientId?: string
  readonly patientName?: string
  readonly studyDate?: string
  readonly accessionNumber?: string
  readonly studyDescription?: string
  readonly instanceNumber?: number
  readonly frames?: number
  readonly rows?: number
  readonly columns?: number
  /** Grey value of every pixel of the first frame; each next frame is one lighter. */
  readonly grey?: number
  /** Specific Character Set; texts are written in UTF-8 by default. */
  readonly characterSet?: string
}

const secondaryCapture = '1.2.840.10008.5.1.4.1.1.7'
const multiFrameGreySecondaryCapture = '1.2.840.10008.5.1.4.1.1.7.2'
const explicitLittleEndian = '1.2.840.10008.1.2.1'

let counter = 0

/** A UID nobody else in this process has. */
export const madeUid = (): string => `2.25.${process.pid}.${Date.now()}.${++counter}`

/** Makes one instance; whatever is left out gets a value of its own. */
export function madeInstance(options: MadeInstanceOptions = {}): MadeInstance {
  const { study = madeUid(), series = madeUid(), instance = madeUid() } = options
  const { frames = 1, rows = 4, columns = 4, grey = 10 } = options
  const sopClass = frames > 1 ? multiFrameGreySecondaryCapture : secondaryCapture
  const dataset = [
    text('00080005', 'CS', options.characterSet ?? 'ISO_IR 192'),
    uid('00080016', sopClass),
    uid('00080018', instance),
    text('00080020', 'DA', options.studyDate ?? '20240131'),
    text('00080030', 'TM', '101112'),
    text('00080050', 'SH', options.accessionNumber ?? ''),
    text('00080060', 'CS', options.modality ?? 'OT'),
    text('00080090', 'PN', ''),
    text('00081030', 'LO', options.studyDescription ?? 'Made for a test'),
    text('00100010', 'PN', options.patientName ?? 'Made^Instance'),
    text('00100020', 'LO', options.patientId ?? 'MADE'),
    text('00100030', 'DA', ''),
    text('00100040', 'CS', ''),
    uid('0020000D', study),
    uid('0020000E', series),
    text('00200010', 'SH', ''),
    text('00200011', 'IS', '1'),
    text('00200013', 'IS', String(options.instanceNumber ?? 1)),
    short('00280002', 1),
    text('00280004', 'CS', 'MONOCHROME2'),
    ...(frames > 1 ? [text('00280008', 'IS', String(frames))] : []),
    short('00280010', rows),
    short('00280011', columns),
    short('00280100', 8),
    short('00280101', 8),
    short('00280102', 7),
    short('00280103', 0),
    element('7FE00010', 'OB', pixels(frames, rows * columns, grey)),
  ]
  return { study, series, instance, bytes: Buffer.concat([...head(sopClass, instance), ...dataset]) }
}

function head(sopClass: string, instance: string): Buffer[] {
  const meta = Buffer.concat([
    element('00020001', 'OB', Buffer.from([0, 1])),
    uid('00020002', sopClass),
    uid('00020003', instance),
    uid('00020010', explicitLittleEndian),
    uid('00020012', '2.25.1'),
  ])
  const length = Buffer.alloc(4)
  length.writeUInt32LE(meta.length)
  return [Buffer.alloc(128), Buffer.from('DICM'), element('00020000', 'UL', length), meta]
}

function pixels(frames: number, size: number, grey: number): Buffer {
  return Buffer.concat(Array.from({ length: frames }, (_, frame) => Buffer.alloc(size, (grey + frame) % 256)))
}

function element(tag: string, vr: string, value: Uint8Array, padding = 0): Buffer {
  const padded = value.length % 2 ? Buffer.concat([value, Buffer.from([padding])]) : value
  const long = vr === 'OB'
  const start = Buffer.alloc(long ? 12 : 8)
  start.writeUInt16LE(Number.parseInt(tag.slice(0, 4), 16), 0)
  start.writeUInt16LE(Number.parseInt(tag.slice(4), 16), 2)
  start.write(vr, 4, 'latin1')
  if (long) start.writeUInt32LE(padded.length, 8)
  else start.writeUInt16LE(padded.length, 6)
  return Buffer.concat([start, padded])
}

const text = (tag: string, vr: string, value: string): Buffer => element(tag, vr, Buffer.from(value, 'utf8'), 0x20)

const uid = (tag: string, value: string): Buffer => element(tag, 'UI', Buffer.from(value, 'latin1'))

function short(tag: string, value: number): Buffer {
  const bytes = Buffer.alloc(2)
  bytes.writeUInt16LE(value)
  return element(tag, 'US', bytes)
}
