import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { mergeSnapshots, standing, standingCorrections } from '../../src/link/merge.ts'
import { emptySnapshot, type LinkSnapshot } from '../../src/link/snapshot.ts'
import { snapshots } from '../support/link-snapshots.ts'

/** What a reader is told. */
const counts = ({ homeSite, reportStatus, studyStatus, verified, comments, corrections }: LinkSnapshot) => ({
  home: homeSite?.site,
  report: standing(reportStatus, homeSite),
  status: standing(studyStatus, homeSite),
  verification: standing(verified, homeSite),
  comments,
  corrections: standingCorrections(corrections, homeSite),
})

describe('what sites told of a study, put together', () => {
  it('is the same in whatever order', () => {
    fc.assert(
      fc.property(snapshots, snapshots, (a, b) => {
        expect(mergeSnapshots(b, a)).toEqual(mergeSnapshots(a, b))
      }),
    )
  })

  it('is the same whichever two are put together first', () => {
    fc.assert(
      fc.property(snapshots, snapshots, snapshots, (a, b, c) => {
        expect(mergeSnapshots(mergeSnapshots(a, b), c)).toEqual(mergeSnapshots(a, mergeSnapshots(b, c)))
      }),
    )
  })

  it('is the same however often it is told', () => {
    fc.assert(
      fc.property(snapshots, snapshots, (a, b) => {
        const both = mergeSnapshots(a, b)
        expect(mergeSnapshots(a, a)).toEqual(a)
        expect(mergeSnapshots(both, a)).toEqual(both)
        expect(mergeSnapshots(a, emptySnapshot)).toEqual(a)
      }),
    )
  })

  it('loses no comment', () => {
    fc.assert(
      fc.property(snapshots, snapshots, (a, b) => {
        const { comments } = mergeSnapshots(a, b)
        expect(comments).toEqual(expect.arrayContaining([...a.comments, ...b.comments]))
        expect(comments.length).toBeLessThanOrEqual(a.comments.length + b.comments.length)
      }),
    )
  })

  it('says one thing of each attribute that anybody corrected, as somebody said it', () => {
    fc.assert(
      fc.property(snapshots, snapshots, (a, b) => {
        const { corrections, homeSite } = mergeSnapshots(a, b)
        const said = [...a.corrections, ...b.corrections]
        const count = standingCorrections(corrections, homeSite)
        expect(count.map(({ keyword }) => keyword)).toEqual([...new Set(said.map(({ keyword }) => keyword))].sort())
        expect(said).toEqual(expect.arrayContaining(count))
      }),
    )
  })

  it('comes to the same at three sites, however their notices travel', () => {
    const delivery = fc.tuple(fc.nat(2), fc.nat(2))
    fc.assert(
      fc.property(fc.tuple(snapshots, snapshots, snapshots), fc.array(delivery, { maxLength: 12 }), (begun, early) => {
        const at = [...begun]
        const send = ([from, to]: readonly [number, number]) => {
          at[to] = mergeSnapshots(at[to] ?? emptySnapshot, at[from] ?? emptySnapshot)
        }
        early.forEach(send)
        // In the end everybody is heard by everybody.
        for (const pair of [
          [0, 1],
          [1, 2],
          [2, 0],
          [0, 1],
        ] as const)
          send(pair)
        expect(at[1]).toEqual(at[0])
        expect(at[2]).toEqual(at[0])
        expect(counts(at[0] ?? emptySnapshot)).toEqual(counts(begun.reduce(mergeSnapshots)))
      }),
    )
  })
})
