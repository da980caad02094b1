import type { FramesRequest, Target } from '../clusters/cluster.ts'
import { uidsIn } from '../clusters/target.ts'
import type { Dataset } from '../dicom/dataset.ts'
import { frameCount, isImage } from '../dicom/image-attributes.ts'
import type { Part, Parts } from '../dicom/multipart.ts'
import { tag } from '../dicom/tags.ts'
import { isUid } from '../dicom/uid.ts'

/** All frames of the instances below a target, PS3.18 10.4.1.1.6. */
export interface PixelDataRequest {
  readonly target: Target
  /** What the client takes, best first; each instance comes as the first of them that can be had. */
  readonly forms: readonly PixelForm[]
}

type PixelForm = Pick<FramesRequest, 'mediaType' | 'transferSyntax'>

const pixelTags = [tag.PixelData, tag.FloatPixelData, tag.DoubleFloatPixelData]

/**
 * Metadata of an image that say where its pixels are: at `uri` when they do not say it. Archives leave it out when the
 * pixels are compressed.
 */
export function withPixelData(dataset: Dataset, uri: string): Dataset {
  if (!isImage(dataset) || pixelTags.some((it) => hasValue(dataset[it]))) return dataset
  const pixelData = { vr: dataset[tag.PixelData]?.vr ?? 'OB', BulkDataURI: uri }
  const entries = Object.entries({ ...dataset, [tag.PixelData]: pixelData })
  // In the order that PS3.18 F.2.2 wants.
  return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)))
}

const hasValue = (attribute: Dataset[string] | undefined): boolean =>
  attribute !== undefined && ['BulkDataURI', 'InlineBinary', 'Value'].some((it) => it in attribute)

/** An instance with pixels and how many frames it has. */
export interface Image {
  readonly target: Required<Target>
  readonly frames: number
}

export async function imagesIn(datasets: AsyncIterable<Dataset>): Promise<Image[]> {
  const images: Image[] = []
  for await (const dataset of datasets) {
    const { study, series, instance } = uidsIn(dataset)
    const frames = frameCount(dataset)
    if (frames > 0 && isUid(study) && isUid(series) && isUid(instance)) {
      images.push({ target: { study, series, instance }, frames })
    }
  }
  return images
}

/** The frames of images after each other, each with its own address below `base`. */
export async function* framesOf(
  images: readonly Image[],
  base: string,
  ask: (image: Image) => Promise<Parts>,
): AsyncGenerator<Part> {
  const total = images.reduce((sum, { frames }) => sum + frames, 0)
  for (const image of images) {
    const { study, series, instance } = image.target
    const address = `${base}/studies/${study}/series/${series}/instances/${instance}/frames`
    let frame = 0
    for await (const part of await ask(image)) yield { ...part, total, location: `${address}/${++frame}` }
  }
}
