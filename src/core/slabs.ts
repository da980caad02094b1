import type { Socket } from 'node:net'

/** Of one read: four times what Node takes, so that what a read costs beside copying is a quarter. */
const slabBytes = 256 * 1024
/** Kept for the next read, for all connections together. */
const maxFree = 64

/** What of a slab is in the hands of readers. */
interface Loan {
  bytes: number
  /** Its connection has read on: no more of it will be lent. */
  isClosed: boolean
}

/**
 * Memory that connections read into, used over and over. Node takes new memory for every read, and collecting it as
 * garbage costs several times what the read itself does.
 *
 * Whoever gets a chunk may keep it for as long as they like. Who is sure to be the last to look at one gives it back:
 * when all of a slab was given back, another read overwrites it. What nobody gives back is garbage as any buffer is.
 */
export class Slabs {
  readonly #free: Buffer[] = []
  readonly #loans = new WeakMap<ArrayBufferLike, Loan>()

  /** For `net.connect` and `tls.connect`. */
  readonly onread = {
    buffer: (): Buffer => this.#free.pop() ?? Buffer.allocUnsafeSlow(slabBytes),
    callback: this.#pusher(),
  }

  /** To be told of all chunks of one answer as they come. */
  reading(): Reading {
    return new Reading(this.#loans, (slab) => this.#keep(slab))
  }

  /** Gives back a chunk, or a part of one, that nobody will look at again. Other memory than slabs is ignored. */
  release(chunk: Uint8Array): void {
    const { buffer } = chunk
    const loan = this.#loans.get(buffer)
    if (!loan) return
    loan.bytes -= chunk.byteLength
    if (loan.isClosed && loan.bytes === 0) this.#keep(buffer)
  }

  #keep(slab: ArrayBufferLike): void {
    this.#loans.delete(slab)
    if (this.#free.length < maxFree) this.#free.push(Buffer.from(slab))
  }

  /** A slab would be too much to hold for the little that came: that is copied, and the slab read into again. */
  #pusher() {
    const free = this.#free
    return function (this: Socket, bytes: number, slab: Uint8Array): boolean {
      const isSmall = bytes < slabBytes / 2
      if (isSmall) free.push(slab as Buffer)
      const read = slab.subarray(0, bytes)
      return this.push(isSmall ? copyOf(read) : read)
    }
  }
}

/** The chunks of one answer, of which those of one slab come after each other. */
class Reading {
  readonly #loans: WeakMap<ArrayBufferLike, Loan>
  readonly #keep: (slab: ArrayBufferLike) => void
  #slab: ArrayBufferLike | undefined

  constructor(loans: WeakMap<ArrayBufferLike, Loan>, keep: (slab: ArrayBufferLike) => void) {
    this.#loans = loans
    this.#keep = keep
  }

  lent({ buffer, byteLength }: Uint8Array): void {
    if (buffer.byteLength !== slabBytes) return
    if (buffer !== this.#slab) this.#next(buffer)
    const loan = this.#loans.get(buffer)
    if (loan) loan.bytes += byteLength
  }

  /** When all of the answer has come. */
  ended(): void {
    this.#next(undefined)
  }

  #next(slab: ArrayBufferLike | undefined): void {
    const last = this.#slab
    this.#slab = slab
    if (slab) this.#loans.set(slab, { bytes: 0, isClosed: false })
    const loan = last && this.#loans.get(last)
    if (!loan) return
    loan.isClosed = true
    if (loan.bytes === 0) this.#keep(last)
  }
}

/** With memory of its own: Node lets small buffers share some. */
function copyOf(bytes: Uint8Array): Buffer {
  const copy = Buffer.allocUnsafeSlow(bytes.byteLength)
  copy.set(bytes)
  return copy
}

/** Of this process: clusters are read into them, and who answers clients gives them back. */
export const slabs = new Slabs()
