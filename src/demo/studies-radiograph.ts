import { chest } from './studies-anatomy.ts'
import { attributes, bytesOfFrame, common, imagePixel, type Series } from './studies-dataset.ts'
import type { DemoImage } from './studies-image.ts'
import { chord, type Ellipsoid, noise } from './studies-shapes.ts'

const computedRadiography = '1.2.840.10008.5.1.4.1.1.1'
const layout = { rows: 512, columns: 512, bits: 16, photometric: 'MONOCHROME2' } as const
const spacing = 0.7

/** A chest seen from the front: the same body as the CT volume, its attenuation summed along the beam. */
export function radiograph(series: Series): DemoImage {
  const dataset = {
    ...common(series, computedRadiography, 1),
    ...imagePixel(layout),
    ...attributes({
      ImageType: ['ORIGINAL', 'PRIMARY'],
      ViewPosition: 'PA',
      PatientOrientation: ['L', 'F'],
      ImagerPixelSpacing: [spacing, spacing],
      KVP: 125,
      WindowCenter: 2_048,
      WindowWidth: 3_600,
    }),
  }
  return { dataset, frames: 1, frameBytes: bytesOfFrame(layout), draw }
}

/** What lies inside another shape replaces it: it counts by how much more or less than that it attenuates. */
const contrast = ({ value, radii }: Ellipsoid): number => {
  if (value < -500) return -0.62
  if (radii[0] > 150) return value < 0 ? 0.08 : 0.6
  if (radii[0] > 45) return 0.45
  if (value > 250) return 0.3
  return radii[0] < 5 ? 0.35 : 0.15
}
const shapes = chest.map((shape) => ({ shape, weight: contrast(shape) }))

function draw(): Buffer {
  const { rows, columns } = layout
  const bytes = Buffer.alloc(rows * columns * 2)
  for (let row = 0; row < rows; row++) {
    const z = 150 - row * spacing
    const section = shapes.filter(({ shape }) => Math.abs(z - shape.at[2]) < shape.radii[2])
    for (let column = 0; column < columns; column++) {
      const x = (column - columns / 2) * spacing
      const density = section.reduce((sum, { shape, weight }) => sum + weight * chord(shape, x, z), 0)
      const value = 3_900 * (1 - Math.exp(-Math.max(0, density) / 95)) + 60 + noise(column, row, 1) * 40
      bytes.writeUInt16LE(Math.max(0, Math.min(4_095, Math.round(value))), (row * columns + column) * 2)
    }
  }
  return bytes
}
