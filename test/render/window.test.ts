import { describe, expect, test } from 'vitest'
import { greyOf, parseWindow, shapeOf } from '../../src/render/window.ts'

describe('a window spreads values over the greys, PS3.3 C.11.2.1.2', () => {
  test.each([
    ['linear', '2048,4096,linear', [-1, 0, 2047.5, 4095, 5000], [0, 0, 127.5, 255, 255]],
    ['linear, one wide: a threshold', '0,1,linear', [-1, -0.5, 0, 1], [0, 0, 255, 255]],
    ['linear-exact', '2048,4096,linear-exact', [-1, 0, 1024, 2048, 4096, 5000], [0, 0, 63.75, 127.5, 255, 255]],
    ['linear-exact, narrower than one', '0,0.5,linear-exact', [-0.25, 0, 0.125, 0.25], [0, 127.5, 191.25, 255]],
    ['linear, of fractions', '3,5,linear', [0.5, 1.5, 2.5, 4.5], [0, 63.75, 127.5, 255]],
    ['sigmoid', '100,50,sigmoid', [100, 100 + 12.5 * Math.log(3), -10_000, 10_000], [127.5, 191.25, 0, 255]],
  ] as const)('%s', (_, text, values, greys) => {
    const grey = greyOf(parseWindow(text))
    expect(values.map((value) => Math.round(grey(value) * 1000) / 1000)).toEqual(greys)
  })

  test('its function is named as in datasets and as in requests; any other is linear', () => {
    expect(['LINEAR_EXACT', 'linear-exact', 'SIGMOID', 'LINEAR', '', 'CUBIC'].map(shapeOf)).toEqual([
      'linear-exact',
      'linear-exact',
      'sigmoid',
      'linear',
      'linear',
      'linear',
    ])
  })
})
