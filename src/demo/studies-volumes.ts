import { chest, type HeadTissues, head } from './studies-anatomy.ts'
import { series } from './studies-catalogue.ts'
import { attributes } from './studies-dataset.ts'
import type { Volume } from './studies-volume.ts'

const ct = (kernel: string, kvp: number, mas: number) =>
  attributes({ KVP: kvp, Exposure: mas, ConvolutionKernel: kernel, GantryDetectorTilt: 0 })

const mr = (sequence: string, repetitionTime: number, echoTime: number) =>
  attributes({
    ScanningSequence: sequence,
    SequenceVariant: 'SK',
    ScanOptions: '',
    MRAcquisitionType: '2D',
    RepetitionTime: repetitionTime,
    EchoTime: echoTime,
    EchoTrainLength: 1,
    MagneticFieldStrength: 3,
  })

const thorax = { kind: 'CT', body: chest, grid: { size: 256, spacing: 1.4 } } as const
const brain = { grid: { size: 256, spacing: 0.9 } } as const

/** Signal of the tissues with either weighting, and their Hounsfield units. */
const t1: HeadTissues = { scalp: 1_150, bone: 60, fluid: 170, grey: 520, white: 760, lesion: 380 }
const t2: HeadTissues = { scalp: 620, bone: 50, fluid: 1_350, grey: 640, white: 430, lesion: 1_080 }
const hounsfield: HeadTissues = { scalp: 15, bone: 950, fluid: 6, grey: 39, white: 29, lesion: 68 }

export const chestVolume: Volume = {
  ...thorax,
  series: series.chest,
  from: -110,
  slices: 40,
  step: 5.5,
  noise: 14,
  window: { center: 50, width: 400 },
  acquisition: ct('SOFT', 120, 110),
}

export const lungVolume: Volume = {
  ...thorax,
  series: series.lung,
  from: 20,
  slices: 24,
  step: 2,
  noise: 40,
  window: { center: -550, width: 1_500 },
  acquisition: ct('SHARP', 120, 90),
}

export const headVolume: Volume = {
  ...brain,
  kind: 'CT',
  body: head(hounsfield),
  series: series.head,
  from: -66,
  slices: 24,
  step: 6,
  noise: 5,
  window: { center: 38, width: 90 },
  acquisition: ct('BRAIN', 120, 280),
}

export const t1Volume: Volume = {
  ...brain,
  kind: 'MR',
  body: head(t1),
  series: series.t1,
  from: -66,
  slices: 24,
  step: 6,
  noise: 45,
  window: { center: 550, width: 1_100 },
  acquisition: mr('SE', 500, 12),
}

const t2Weighted = {
  ...brain,
  kind: 'MR',
  from: -66,
  noise: 45,
  window: { center: 700, width: 1_500 },
  acquisition: mr('SE', 4_200, 98),
} as const

export const t2Volume: Volume = { ...t2Weighted, body: head(t2), series: series.t2, slices: 24, step: 6 }

/** Two years before, in thicker slices: the lesion was fainter. */
export const earlierT2Volume: Volume = {
  ...t2Weighted,
  body: head({ ...t2, lesion: 760 }),
  series: series.earlierT2,
  slices: 18,
  step: 8,
}
