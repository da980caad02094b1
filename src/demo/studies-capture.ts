import { attributes, bytesOfFrame, common, imagePixel, type Series } from './studies-dataset.ts'
import type { DemoImage } from './studies-image.ts'

const secondaryCapture = '1.2.840.10008.5.1.4.1.1.7'
const layout = { rows: 360, columns: 480, bits: 8, photometric: 'RGB' } as const

/** A screen of lines of text over a diagram of bars, as dose reports look. */
export function capture(series: Series, title: string, lines: readonly string[], bars: readonly number[]): DemoImage {
  const dataset = {
    ...common(series, secondaryCapture, 1),
    ...imagePixel(layout),
    ...attributes({ ConversionType: 'WSD', ImageType: ['DERIVED', 'SECONDARY'], BurnedInAnnotation: 'NO' }),
  }
  const draw = () => {
    const screen = new Screen()
    screen.text(title, 20, 18, 4, [120, 190, 255])
    for (const [index, line] of lines.entries()) screen.text(line, 20, 62 + index * 22, 2, [225, 225, 225])
    screen.bars(bars, 20, 340, [255, 180, 70])
    return screen.bytes
  }
  return { dataset, frames: 1, frameBytes: bytesOfFrame(layout), draw }
}

type Colour = readonly [red: number, green: number, blue: number]

class Screen {
  readonly bytes = Buffer.alloc(layout.rows * layout.columns * 3, Buffer.from([18, 22, 34]))

  /** Capitals and digits in a grid of three by five, each dot `scale` pixels wide. */
  text(text: string, x: number, y: number, scale: number, colour: Colour): void {
    for (const [index, character] of [...text].entries()) {
      const rows = glyphs[character] ?? '00000'
      for (const [row, bits] of [...rows].entries()) {
        for (const column of [0, 1, 2]) {
          if ((Number(bits) >> (2 - column)) & 1) {
            this.#box(x + (index * 4 + column) * scale, y + row * scale, scale, scale, colour)
          }
        }
      }
    }
  }

  /** A diagram that stands on `bottom`; the values are heights in pixels. */
  bars(heights: readonly number[], x: number, bottom: number, colour: Colour): void {
    const width = Math.floor((layout.columns - 2 * x) / heights.length)
    for (const [index, height] of heights.entries()) {
      this.#box(x + index * width, bottom - height, width - 3, height, colour)
    }
    this.#box(x, bottom + 2, layout.columns - 2 * x, 1, [200, 200, 200])
  }

  #box(x: number, y: number, width: number, height: number, colour: Colour): void {
    for (let row = Math.max(0, y); row < Math.min(layout.rows, y + height); row++) {
      for (let column = Math.max(0, x); column < Math.min(layout.columns, x + width); column++) {
        this.bytes.set(colour, (row * layout.columns + column) * 3)
      }
    }
  }
}

/** Five rows from the top, each an octal digit of three dots. */
const glyphs: Readonly<Record<string, string>> = {
  A: '25755',
  B: '65656',
  C: '34443',
  D: '65556',
  E: '74647',
  F: '74644',
  G: '34553',
  H: '55755',
  I: '72227',
  J: '11152',
  K: '55655',
  L: '44447',
  M: '57755',
  N: '65555',
  O: '25552',
  P: '65644',
  Q: '25573',
  R: '65655',
  S: '34216',
  T: '72222',
  U: '55557',
  V: '55552',
  W: '55775',
  X: '55255',
  Y: '55222',
  Z: '71247',
  0: '75557',
  1: '26227',
  2: '61247',
  3: '61216',
  4: '55711',
  5: '74616',
  6: '34757',
  7: '71122',
  8: '75757',
  9: '75716',
  '.': '00002',
  ':': '02020',
  '-': '00700',
  '/': '11244',
}
