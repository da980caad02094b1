import { readFileSync } from 'node:fs'
import type { ArchiveName } from './federation.ts'
import { type MadeInstance, madeInstance, madeUid } from './made-instance.ts'
import { sample } from './samples.ts'

/** Studies that three archives hold between them, overlapping in every way that matters. */
export const federatedStudies = () => {
  const split = splitStudy()
  const even = evenStudy()
  const overlapping = overlappingStudy()
  const single = singleStudies()
  const made: Record<ArchiveName, MadeInstance[]> = {
    north: [...split.ct, even.ct, ...overlapping.north, single.müller, single.upperCase, single.chest],
    south: [...split.mr, even.mr, ...overlapping.south, single.bob, single.lowerCase, single.undated],
    cardio: [...overlapping.cardio, single.cine, single.report],
  }
  return { split, even, overlapping, single, made }
}

const alice = { patientName: 'FEDERATE^ALICE', patientId: 'FED-1', accessionNumber: 'ACC-1' }

/** Two CT images at north, one MR image at south: both archives count one series. */
function splitStudy() {
  const study = madeUid()
  const shared = { ...alice, study, studyDate: '20240301', studyDescription: 'CT CHEST' }
  const series = madeUid()
  const ct = [1, 2].map((instanceNumber) => madeInstance({ ...shared, series, modality: 'CT', instanceNumber }))
  const mr = [madeInstance({ ...shared, modality: 'MR', rows: 8, columns: 8 })]
  return { study, ct, mr, all: [...ct, ...mr] }
}

/** One image of one series at north and at south each: their counts do not tell that they differ. */
function evenStudy() {
  const shared = { study: madeUid(), patientName: 'EVEN^EVA', patientId: 'EVE-1', studyDate: '20230303' }
  return {
    study: shared.study,
    ct: madeInstance({ ...shared, modality: 'CT' }),
    mr: madeInstance({ ...shared, modality: 'MR' }),
  }
}

/** Four images of one series: 1 and 2 at north, 2 to 4 at south, 4 at the third party; and a series of its own there. */
function overlappingStudy() {
  const study = madeUid()
  const shared = { patientName: 'FEDERATE^BOTH', patientId: 'FED-2', study, studyDate: '20240215', modality: 'CR' }
  const series = madeUid()
  const images = [1, 2, 3, 4].map((instanceNumber) =>
    madeInstance({ ...shared, series, instanceNumber, grey: 10 * instanceNumber }),
  )
  const [first, second, third, fourth] = images as [MadeInstance, MadeInstance, MadeInstance, MadeInstance]
  const extra = madeInstance({ ...shared, modality: 'US' })
  return {
    study,
    series,
    north: [first, second],
    south: [second, third, fourth],
    cardio: [fourth, extra],
    all: [...images, extra],
  }
}

const singleStudies = () => ({
  müller: madeInstance({ patientName: 'MÜLLER^JÖRG', patientId: 'MUE-1', studyDate: '20240110', modality: 'DX' }),
  upperCase: madeInstance({ patientId: 'CASE-X', patientName: 'CASE^UPPER', studyDate: '20230601' }),
  chest: madeInstance({ ...alice, studyDate: '20220615', modality: 'CT', studyDescription: 'CT CHEST' }),
  bob: madeInstance({ patientName: 'FEDERATE^BOB', patientId: 'FED-3', studyDate: '20221231', modality: 'MR' }),
  lowerCase: madeInstance({ patientId: 'case-x', patientName: 'CASE^LOWER', studyDate: '20230602' }),
  undated: madeInstance({ patientName: 'FEDERATE^UNDATED', patientId: 'FED-4', studyDate: '' }),
  cine: madeInstance({
    patientName: 'CARDIO^CARLA',
    patientId: 'CAR-1',
    studyDate: '20230505',
    modality: 'XA',
    frames: 5,
    rows: 16,
    columns: 16,
  }),
  report: madeInstance({ ...alice, patientId: 'CAR-9', studyDate: '20240229', modality: 'SC' }),
})

export const filesOf = (made: Readonly<Record<ArchiveName, readonly MadeInstance[]>>) => ({
  north: made.north.map(({ bytes }) => bytes),
  south: made.south.map(({ bytes }) => bytes),
  cardio: made.cardio.map(({ bytes }) => bytes),
})

/** The bytes of published samples that are there: none where the folder is missing. */
export const sampleBytes = (...names: readonly string[]): Buffer[] =>
  names.flatMap((name) => {
    const path = sample(`${name}.dcm`)
    return path === undefined ? [] : [readFileSync(path)]
  })
