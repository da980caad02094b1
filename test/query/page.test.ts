import { describe, expect, it } from 'vitest'
import type { Dataset } from '../../src/dicom/dataset.ts'
import { tag } from '../../src/dicom/tags.ts'
import type { Level, MergedRow } from '../../src/query/merge.ts'
import { sortRows } from '../../src/query/page.ts'

const merged = (uid: string, attributes: Record<string, unknown>): MergedRow => ({
  uid,
  copies: [],
  dataset: Object.fromEntries(
    Object.entries(attributes).map(([key, value]) => [key, { vr: 'LO', Value: [value] }]),
  ) as Dataset,
})

const order = (level: Level, rows: MergedRow[]) => sortRows(level, rows).map(({ uid }) => uid)

describe('the order of an answer', () => {
  it('is newest first, undated last, then by UID', () => {
    const study = (uid: string, date?: string, time?: string) =>
      merged(uid, {
        [tag.StudyInstanceUID]: uid,
        ...(date && { [tag.StudyDate]: date }),
        ...(time && { [tag.StudyTime]: time }),
      })
    const rows = [
      study('undated'),
      study('b', '20240101'),
      study('a', '20240101'),
      study('late', '20240101', '0900'),
      study('new', '20250101'),
    ]
    expect(order('study', rows)).toEqual(['new', 'late', 'a', 'b', 'undated'])
  })

  it('of series and instances is by number, not by text, those without a number last', () => {
    const instance = (uid: string, number?: string) =>
      merged(uid, {
        [tag.SeriesNumber]: '1',
        [tag.SOPInstanceUID]: uid,
        ...(number && { [tag.InstanceNumber]: number }),
      })
    expect(order('instance', [instance('ten', '10'), instance('none'), instance('two', '2')])).toEqual([
      'two',
      'ten',
      'none',
    ])
  })
})
