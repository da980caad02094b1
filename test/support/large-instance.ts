import { createHash } from 'node:crypto'
import { type MadeInstance, madeInstance } from './made-instance.ts'

/** An instance too large to be held: the file is generated as it is read. */
export interface LargeInstance extends Omit<MadeInstance, 'bytes'> {
  readonly length: number
  /** SHA-256 of the whole file. */
  readonly digest: string
  read(): AsyncGenerator<Uint8Array>
}

const side = 1024
const frameSize = side * side

/** An uncompressed multi-frame of as many megabytes as it has frames, every frame of another grey. */
export function largeInstance(frames: number): LargeInstance {
  const small = madeInstance({ frames, rows: 2, columns: 2 })
  const head = Buffer.from(small.bytes).subarray(0, small.bytes.length - 4 * frames)
  for (const element of [rowsHeader, columnsHeader]) head.writeUInt16LE(side, head.indexOf(element) + element.length)
  head.writeUInt32LE(frames * frameSize, head.length - 4)
  async function* read(): AsyncGenerator<Uint8Array> {
    yield head
    for (let frame = 0; frame < frames; frame++) yield frameOf(frame)
  }
  return { ...small, length: head.length + frames * frameSize, digest: digest(head, frames), read }
}

const frameOf = (frame: number) => Buffer.alloc(frameSize, frame % 256)

const rowsHeader = Buffer.from([0x28, 0, 0x10, 0, 0x55, 0x53, 2, 0])
const columnsHeader = Buffer.from([0x28, 0, 0x11, 0, 0x55, 0x53, 2, 0])

function digest(head: Uint8Array, frames: number): string {
  const hash = createHash('sha256').update(head)
  for (let frame = 0; frame < frames; frame++) hash.update(frameOf(frame))
  return hash.digest('hex')
}
