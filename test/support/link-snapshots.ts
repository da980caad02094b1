import fc from 'fast-check'
import { mergeSnapshots, registerOf } from '../../src/link/merge.ts'
import { reportStatuses, studyStatuses, verifiedStatuses } from '../../src/link/record.ts'
import { emptySnapshot, type LinkSnapshot } from '../../src/link/snapshot.ts'

/** Few sites and moments, so that they meet. */
const sites = ['a', 'b', 'c'] as const
const moments = [0, 1, 2, 3].map((n) => new Date(Date.UTC(2026, 0, 31, 10, 15, 0, n)))

const said = { site: fc.constantFrom(...sites), at: fc.constantFrom(...moments) }
const words = <T>(word: fc.Arbitrary<T & { site: string }>) =>
  fc.uniqueArray(word, { selector: ({ site }) => site, maxLength: 3 })

const verification = fc.oneof(
  fc.record({ ...said, value: fc.constantFrom(...verifiedStatuses) }),
  fc.record({ ...said, value: fc.constant('VERIFIED' as const), verifiedAt: fc.constantFrom(...moments) }),
)
const comment = fc.record({
  ...said,
  number: fc.integer({ min: 1, max: 2 }),
  text: fc.constantFrom('yes', 'no', 'söcond\n\tline'),
  author: fc.constantFrom('key:ris', 'oidc:1'),
})

const correction = fc.record({
  ...said,
  keyword: fc.constantFrom('PatientName', 'AccessionNumber'),
  value: fc.constantFrom('A', 'B'),
  source: fc.constantFrom('RIS', 'HIS'),
  author: fc.constantFrom('key:ris', 'oidc:1'),
})

/** Snapshots as sites send them: any, also such that contradict each other. */
export const snapshots: fc.Arbitrary<LinkSnapshot> = fc
  .record(
    {
      homeSite: fc.record(said),
      reportStatus: words(fc.record({ ...said, value: fc.constantFrom(...reportStatuses) })),
      studyStatus: words(fc.record({ ...said, value: fc.constantFrom(...studyStatuses, 'DICTATED_TWICE') })),
      verified: words(verification),
      comments: fc.array(comment, { maxLength: 4 }),
      corrections: fc.uniqueArray(correction, { selector: registerOf, maxLength: 4 }),
    },
    { requiredKeys: ['reportStatus', 'studyStatus', 'verified', 'comments', 'corrections'] },
  )
  .map((told) => mergeSnapshots(emptySnapshot, told))
