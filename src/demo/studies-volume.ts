import type { Dataset } from '../dicom/dataset.ts'
import {
  attributes,
  bytesOfFrame,
  common,
  demoUid,
  imagePixel,
  type PixelLayout,
  type Series,
} from './studies-dataset.ts'
import type { DemoImage } from './studies-image.ts'
import { type Body, coordinate, type Grid, noise, paint } from './studies-shapes.ts'

/** A stack of parallel axial slices of one series. */
export interface Volume {
  readonly series: Series
  readonly kind: 'CT' | 'MR'
  readonly body: Body
  readonly grid: Grid
  /** Height of each slice in millimetres, from the feet up; their distance. */
  readonly from: number
  readonly slices: number
  readonly step: number
  readonly noise: number
  readonly window: { readonly center: number; readonly width: number }
  /** What tells this acquisition from others of the modality. */
  readonly acquisition: Dataset
}

const sopClasses = { CT: '1.2.840.10008.5.1.4.1.1.2', MR: '1.2.840.10008.5.1.4.1.1.4' }
/** CT values are stored with this added, as scanners do. */
const rescaleIntercept = -1024
const air = { CT: -1000, MR: 0 }

export function* volumeImages(volume: Volume): Generator<DemoImage> {
  for (let index = 0; index < volume.slices; index++) yield slice(volume, index)
}

function slice(volume: Volume, index: number): DemoImage {
  const { size } = volume.grid
  const layout: PixelLayout = {
    rows: size,
    columns: size,
    bits: 16,
    photometric: 'MONOCHROME2',
    signed: volume.kind === 'CT',
  }
  const dataset = {
    ...common(volume.series, sopClasses[volume.kind], index + 1),
    ...imagePixel(layout),
    ...geometry(volume, index),
    ...(volume.kind === 'CT' ? rescale : {}),
    ...attributes({ WindowCenter: volume.window.center, WindowWidth: volume.window.width }),
    ...volume.acquisition,
  }
  return { dataset, frames: 1, frameBytes: bytesOfFrame(layout), draw: () => draw(volume, index) }
}

const rescale = attributes({ RescaleIntercept: rescaleIntercept, RescaleSlope: 1, RescaleType: 'HU' })

/** Image Plane and Frame of Reference, PS3.3 C.7.6.2 and C.7.4.1: series of one study lie in one space. */
function geometry({ series, grid, from, step }: Volume, index: number): Dataset {
  const corner = coordinate(grid, 0)
  const height = from + index * step
  return attributes({
    ImageType: ['ORIGINAL', 'PRIMARY', 'AXIAL'],
    ImagePositionPatient: [corner, corner, height],
    ImageOrientationPatient: [1, 0, 0, 0, 1, 0],
    PixelSpacing: [grid.spacing, grid.spacing],
    SliceThickness: step,
    SpacingBetweenSlices: step,
    SliceLocation: height,
    FrameOfReferenceUID: demoUid(`${series.study.key} frame of reference`),
    PositionReferenceIndicator: '',
    PatientPosition: 'HFS',
  })
}

function draw(volume: Volume, index: number): Buffer {
  const { grid, kind } = volume
  const { size } = grid
  const slice = new Float32Array(size * size).fill(air[kind])
  paint(slice, grid, volume.body, volume.from + index * volume.step)
  const bytes = Buffer.alloc(size * size * 2)
  const base = kind === 'CT' ? rescaleIntercept : 0
  for (let pixel = 0; pixel < slice.length; pixel++) {
    const grain = noise(pixel % size, Math.floor(pixel / size), index + volume.series.number * 1_000) * volume.noise
    const value = Math.round((slice[pixel] ?? 0) + grain - base)
    bytes.writeInt16LE(Math.max(0, Math.min(32_767, value)), pixel * 2)
  }
  return bytes
}
