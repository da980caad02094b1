import type { Body, Ellipsoid, Point } from './studies-shapes.ts'

const solid = (value: number, at: Point, radii: Point): Ellipsoid => ({ value, at, radii })

/** Longer than any volume: what runs through all slices. */
const through = 10_000

/** Vessels in a lung, as beads along rays that leave its root in all directions, thinner the farther. */
function vessels(side: 1 | -1): Ellipsoid[] {
  const beads: Ellipsoid[] = []
  for (let branch = 0; branch < 44; branch++) {
    const turn = branch * 2.4
    const rise = ((branch % 11) - 5) / 5
    const flat = Math.sqrt(1 - rise * rise)
    for (let reach = 6; reach < 92; reach += 2.5) {
      const sway = 3 * Math.sin(reach / 9 + branch)
      const at: Point = [
        side * (36 + reach * flat * Math.abs(Math.cos(turn)) * 0.9 + sway),
        8 + reach * flat * Math.sin(turn) * 0.8 + sway,
        reach * rise * 1.1,
      ]
      const inLung = Math.hypot((Math.abs(at[0]) - 78) / 56, (at[1] + 2) / 80, at[2] / 146) < 1
      const radius = 4.4 - reach * 0.035
      if (inLung) beads.push(solid(-60, at, [radius, radius, radius]))
    }
  }
  return beads
}

/** Ribs, cut by each slice at other places as they run down around the chest. */
function ribs(): Ellipsoid[] {
  const beads: Ellipsoid[] = []
  for (let rib = 0; rib < 9; rib++) {
    for (let turn = 0.35; turn < 2.7; turn += 0.055) {
      for (const side of [1, -1]) {
        const at: Point = [side * 143 * Math.sin(turn), 93 * Math.cos(turn), 120 - rib * 30 - turn * 28]
        beads.push(solid(420, at, [6, 6, 5]))
      }
    }
  }
  return beads
}

/** Hounsfield units of a chest with contrast medium, a nodule in the right upper lobe. */
export const chest: Body = [
  solid(-95, [0, 0, 0], [172, 122, through]),
  solid(48, [0, 0, 0], [156, 107, through]),
  ...ribs(),
  solid(-860, [78, -2, 0], [58, 84, 150]),
  solid(-860, [-78, -2, 0], [60, 84, 150]),
  ...vessels(1),
  ...vessels(-1),
  solid(40, [0, -30, 20], [34, 50, through]),
  solid(60, [22, -28, -45], [62, 52, 62]),
  solid(210, [38, -24, -48], [28, 30, 38]),
  solid(150, [-12, -40, -45], [24, 24, 34]),
  solid(230, [-6, -18, 45], [15, 15, 60]),
  solid(230, [20, 48, 0], [13, 13, through]),
  solid(-950, [0, 8, 70], [9, 9, 80]),
  solid(420, [0, 78, 0], [22, 18, through]),
  solid(190, [0, 78, 0], [17, 13, through]),
  solid(30, [0, 102, 0], [9, 8, through]),
  solid(380, [0, 118, 0], [4, 11, through]),
  solid(300, [0, -98, 0], [17, 6, through]),
  solid(115, [-70, -5, -135], [74, 86, 58]),
  solid(55, [80, 10, -150], [52, 66, 52]),
  solid(35, [-86, -22, 52], [9, 8.5, 9]),
]

/** What each tissue of a head shows: Hounsfield units or signal. */
export interface HeadTissues {
  readonly scalp: number
  readonly bone: number
  readonly fluid: number
  readonly grey: number
  readonly white: number
  readonly lesion: number
}

/** A head: scalp, skull, fluid, a folded cortex, ventricles, basal ganglia and one lesion. */
export function head(tissue: HeadTissues): Body {
  return [
    solid(tissue.scalp, [0, 0, 0], [80, 100, 96]),
    solid(tissue.bone, [0, 0, 0], [74, 94, 90]),
    solid(tissue.fluid, [0, 0, 0], [68, 88, 84]),
    solid(tissue.grey, [0, 0, 0], [65, 85, 81]),
    ...[-1, 1].map((side) => solid(tissue.white, [side * 27, 0, 4], [27, 68, 62])),
    ...folds(tissue),
    solid(tissue.fluid, [0, 0, 40], [1.8, 84, 60]),
    solid(tissue.white, [0, -2, 16], [22, 26, 9]),
    ...[-1, 1].flatMap((side) => ventricle(tissue, side)),
    solid(tissue.fluid, [0, 8, -4], [3, 14, 12]),
    solid(tissue.grey, [0, 55, -48], [44, 26, 24]),
    solid(tissue.white, [0, 24, -50], [15, 15, 34]),
    solid(tissue.lesion, [34, -30, 22], [9, 12, 9]),
  ]
}

/** Grey matter dips into the white, and fluid into the grey. */
function folds(tissue: HeadTissues): Ellipsoid[] {
  const beads: Ellipsoid[] = []
  for (let fold = 0; fold < 150; fold++) {
    const turn = fold * 2.399963
    const height = 1 - (2 * (fold + 0.5)) / 150
    const around = Math.sqrt(1 - height * height)
    const direction: Point = [around * Math.cos(turn), around * Math.sin(turn), height]
    const on = (reach: number): Point => [
      direction[0] * 64 * reach,
      direction[1] * 84 * reach,
      direction[2] * 80 * reach,
    ]
    beads.push(solid(tissue.grey, on(0.82), [6.5, 6.5, 6.5]), solid(tissue.fluid, on(0.97), [3, 3, 4.5]))
  }
  return beads
}

const ventricle = (tissue: HeadTissues, side: number): Ellipsoid[] => [
  solid(tissue.fluid, [side * 10, -16, 10], [6, 22, 8]),
  solid(tissue.fluid, [side * 18, 20, 8], [7, 20, 9]),
  solid(tissue.grey, [side * 13, -10, 0], [7, 14, 9]),
  solid(tissue.grey, [side * 24, 2, 0], [6, 18, 11]),
  solid(tissue.grey, [side * 11, 12, 0], [8, 12, 9]),
]
