import { attributes, bytesOfFrame, common, imagePixel, type Series } from './studies-dataset.ts'
import type { DemoImage } from './studies-image.ts'
import { noise } from './studies-shapes.ts'

const ultrasoundMultiFrame = '1.2.840.10008.5.1.4.1.1.3.1'
const layout = { rows: 240, columns: 320, bits: 8, photometric: 'RGB' } as const
const frames = 24
const frameTimeMs = 40
/** Centimetres a pixel is high and wide. */
const pixelCm = 0.07

/** One heartbeat seen through an ultrasound sector: four chambers, and the inflow in colour. */
export function cine(series: Series): DemoImage {
  const dataset = {
    ...common(series, ultrasoundMultiFrame, 1),
    ...imagePixel(layout),
    ...attributes({
      ImageType: ['ORIGINAL', 'PRIMARY'],
      NumberOfFrames: frames,
      FrameTime: frameTimeMs,
      FrameIncrementPointer: '00181063',
      CineRate: 1_000 / frameTimeMs,
      UltrasoundColorDataPresent: 1,
      LossyImageCompression: '00',
      SequenceOfUltrasoundRegions: [region],
    }),
  }
  return { dataset, frames, frameBytes: bytesOfFrame(layout), draw }
}

/** US Region Calibration, PS3.3 C.8.5.5: lengths can be measured in the whole picture. */
const region = attributes({
  RegionSpatialFormat: 1,
  RegionDataType: 1,
  RegionFlags: 0,
  RegionLocationMinX0: 0,
  RegionLocationMinY0: 0,
  RegionLocationMaxX1: layout.columns - 1,
  RegionLocationMaxY1: layout.rows - 1,
  PhysicalUnitsXDirection: 3,
  PhysicalUnitsYDirection: 3,
  PhysicalDeltaX: pixelCm,
  PhysicalDeltaY: pixelCm,
})

/** Chambers around the middle of the heart: place and size in pixels, and when in the beat they are small. */
const chambers = [
  { x: 24, y: -32, rx: 22, ry: 38, phase: 0 },
  { x: -24, y: -28, rx: 18, ry: 34, phase: 0 },
  { x: 22, y: 42, rx: 22, ry: 24, phase: Math.PI },
  { x: -22, y: 42, rx: 21, ry: 23, phase: Math.PI },
]

function draw(frame: number): Buffer {
  const { rows, columns } = layout
  const bytes = Buffer.alloc(rows * columns * 3)
  const beat = (2 * Math.PI * frame) / frames
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const [red, green, blue] = pixel(column - columns / 2, row - 8, beat, frame)
      bytes.set([red, green, blue], (row * columns + column) * 3)
    }
  }
  return bytes
}

type Colour = readonly [red: number, green: number, blue: number]
const black: Colour = [0, 0, 0]

function pixel(x: number, y: number, beat: number, frame: number): Colour {
  const depth = Math.hypot(x, y)
  const angle = Math.atan2(x, y)
  if (depth < 12 || depth > 222 || Math.abs(angle) > 0.66) return black
  const grey = echo(x, y - 118, beat) * speckle(depth, angle, frame) * (1 - depth / 420)
  const flow = inflow(x - 23, y - 122, beat)
  return [level(grey + flow * 150), level(grey + flow * 20), level(grey + Math.max(0, -flow) * 190)]
}

const level = (value: number): number => Math.max(0, Math.min(255, Math.round(value)))

/** Brightness of the tissue: dark blood, bright walls, grey muscle. */
function echo(x: number, y: number, beat: number): number {
  const nearest = Math.min(
    ...chambers.map((chamber) => {
      const size = 1 - 0.16 * (1 + Math.cos(beat + chamber.phase)) * 0.5
      return Math.hypot((x - chamber.x) / (chamber.rx * size), (y - chamber.y) / (chamber.ry * size))
    }),
  )
  if (nearest < 0.92) return 14
  if (nearest < 1.12) return 205
  return Math.hypot(x / 74, y / 96) < 1 ? 120 : 70
}

/** Grain along the beams, coarser the deeper; it flickers a little from frame to frame. */
function speckle(depth: number, angle: number, frame: number): number {
  const beam = Math.round(angle * 75)
  return 0.85 + 0.5 * noise(beam, Math.round(depth / 2), 0) + 0.15 * noise(beam, Math.round(depth), frame + 1)
}

/** Blood through the left valve: towards the probe in red while the chamber fills, away in blue while it empties. */
function inflow(x: number, y: number, beat: number): number {
  const inside = 1 - Math.hypot(x / 11, y / 30)
  return inside > 0 ? Math.sin(beat) * Math.min(1, inside * 2) : 0
}
