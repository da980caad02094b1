import { type Dataset, firstNumber, firstString } from './dataset.ts'
import { frameMediaType } from './pixel-data.ts'
import { tag } from './tags.ts'

/** Video Endoscopic, Microscopic and Photographic Image Storage. */
const videoClasses: ReadonlySet<string> = new Set([
  '1.2.840.10008.5.1.4.1.1.77.1.1.1',
  '1.2.840.10008.5.1.4.1.1.77.1.2.1',
  '1.2.840.10008.5.1.4.1.1.77.1.4.1',
])

const isVideo = (dataset: Dataset): boolean =>
  videoClasses.has(firstString(dataset, tag.SOPClassUID) ?? '') ||
  frameMediaType(firstString(dataset, tag.AvailableTransferSyntaxUID) ?? '').startsWith('video/')

/** Whether an instance is an image by its metadata, whether or not they speak of its pixel data. */
export const isImage = (dataset: Dataset): boolean =>
  [tag.Rows, tag.Columns, tag.BitsAllocated].every((it) => (firstNumber(dataset, it) ?? 0) > 0) &&
  dataset[tag.PixelDataProviderURL] === undefined

/** More frames than any instance has; a bound on memory. */
const maxFrames = 100_000

/** How many frames an instance has by its metadata, 0 when it is no image; a video is one. */
export function frameCount(dataset: Dataset): number {
  if (!isImage(dataset)) return 0
  const frames = isVideo(dataset) ? 1 : (firstNumber(dataset, tag.NumberOfFrames) ?? 1)
  return Math.min(Math.max(1, Math.trunc(frames)), maxFrames)
}

/** The numbers of so many frames. */
export const framesUpTo = (count: number): number[] => Array.from({ length: count }, (_, index) => index + 1)
