/** Space in millimetres as PS3.3 C.7.6.2 has it: x to the patient's left, y to the back, z to the head. */
export type Point = readonly [x: number, y: number, z: number]

/** A solid with axes along x, y and z. */
export interface Ellipsoid {
  readonly at: Point
  readonly radii: Point
  /** What a voxel inside of it has: Hounsfield units, or signal. */
  readonly value: number
}

/** What is solid anywhere: later ones lie over earlier ones. */
export type Body = readonly Ellipsoid[]

/** A square grid of pixels around the origin. */
export interface Grid {
  readonly size: number
  /** Distance of pixels in millimetres. */
  readonly spacing: number
}

/** The coordinate of a row or column. */
export const coordinate = ({ size, spacing }: Grid, index: number): number => (index - (size - 1) / 2) * spacing

/** Paints the section of a body at height `z` over a slice; edges are as soft as a pixel. */
export function paint(slice: Float32Array, grid: Grid, body: Body, z: number): void {
  for (const { at, radii, value } of body) {
    const flat = 1 - ((z - at[2]) / radii[2]) ** 2
    if (flat <= 0) continue
    const [rx, ry] = [radii[0] * Math.sqrt(flat), radii[1] * Math.sqrt(flat)]
    const edge = grid.spacing / Math.min(rx, ry)
    for (let row = first(grid, at[1] - ry); row < Math.min(grid.size, first(grid, at[1] + ry) + 2); row++) {
      const dy = (coordinate(grid, row) - at[1]) / ry
      for (let column = first(grid, at[0] - rx); column < Math.min(grid.size, first(grid, at[0] + rx) + 2); column++) {
        const dx = (coordinate(grid, column) - at[0]) / rx
        const cover = Math.min(1, Math.max(0, (1 - Math.hypot(dx, dy)) / edge + 0.5))
        const pixel = row * grid.size + column
        slice[pixel] = (slice[pixel] ?? 0) * (1 - cover) + value * cover
      }
    }
  }
}

const first = ({ size, spacing }: Grid, position: number): number =>
  Math.min(size, Math.max(0, Math.floor(position / spacing + (size - 1) / 2)))

/** How far the ray along y at `x`, `z` runs inside an ellipsoid, in millimetres. */
export function chord({ at, radii }: Ellipsoid, x: number, z: number): number {
  const left = 1 - ((x - at[0]) / radii[0]) ** 2 - ((z - at[2]) / radii[2]) ** 2
  return left > 0 ? 2 * radii[1] * Math.sqrt(left) : 0
}

/** Noise between -1 and 1, small values likelier, and always the same at the same place. */
export function noise(x: number, y: number, z: number): number {
  const one = scramble(x, y, z)
  const two = scramble(y, z + 7_919, x)
  return (one + two) / 0xffffffff - 1
}

function scramble(x: number, y: number, z: number): number {
  let hash = Math.imul(x + 0x9e37, 0x85ebca6b) ^ Math.imul(y + 0x79b9, 0xc2b2ae35) ^ Math.imul(z + 0x7f4a, 0x27d4eb2f)
  hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d)
  hash = Math.imul(hash ^ (hash >>> 12), 0x297a2d39)
  return (hash ^ (hash >>> 15)) >>> 0
}
