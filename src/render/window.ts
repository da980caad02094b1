/** A window of values that is spread over the greys, PS3.3 C.11.2.1.2 and .3. */
export interface Window {
  readonly center: number
  readonly width: number
  readonly shape: WindowShape
}

export type WindowShape = 'linear' | 'linear-exact' | 'sigmoid'

const shapes: readonly string[] = ['linear', 'linear-exact', 'sigmoid'] satisfies WindowShape[]

/** A VOI LUT Function or its name in a query; linear is what everything else is. */
export const shapeOf = (text: string): WindowShape => {
  const name = text.toLowerCase().replace('_', '-')
  return shapes.includes(name) ? (name as WindowShape) : 'linear'
}

/** `window` of a request as it was checked there: center, width and function (PS3.18 8.3.5.1.4). */
export function parseWindow(text: string): Window {
  const [center = '', width = '', shape = ''] = text.split(',')
  return { center: Number(center), width: Number(width), shape: shapeOf(shape) }
}

/** From a value to a grey of 0 to 255, not rounded. */
export function greyOf({ center, width, shape }: Window): (value: number) => number {
  if (shape === 'sigmoid') return (value) => 255 / (1 + Math.exp((-4 * (value - center)) / width))
  if (shape === 'linear-exact') return ramp(center, width)
  return ramp(center - 0.5, width - 1)
}

/** A window without width, as the linear function makes of a width of one, is a threshold. */
function ramp(middle: number, width: number): (value: number) => number {
  if (width <= 0) return (value) => (value <= middle ? 0 : 255)
  return (value) => 255 * Math.min(Math.max((value - middle) / width + 0.5, 0), 1)
}
