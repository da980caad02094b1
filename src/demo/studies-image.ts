import type { Dataset } from '../dicom/dataset.ts'
import type { BulkValue } from '../dicom/write.ts'

/** One generated instance whose pixels are drawn when they are read, and not before. */
export interface DemoImage {
  /** Everything but Pixel Data. */
  readonly dataset: Dataset
  readonly frames: number
  readonly frameBytes: number
  /** One frame, counted from 0. */
  draw(frame: number): Buffer
}

/** Its Pixel Data, a frame at a time. */
export function pixelsOf({ frames, frameBytes, draw }: DemoImage): BulkValue {
  async function* body() {
    for (let frame = 0; frame < frames; frame++) yield draw(frame)
  }
  return { length: frames * frameBytes, body: body() }
}
