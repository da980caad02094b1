import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { LinkError } from '../../src/core/errors.ts'
import { parseUid } from '../../src/dicom/uid.ts'
import { type StudyUpdateNotice, triggers, writeNotice } from '../../src/link/notice.ts'
import { parseNotice } from '../../src/link/notice-parse.ts'
import { maxChanges } from '../../src/link/version.ts'
import { snapshots } from '../support/link-snapshots.ts'

const now = Date.UTC(2026, 0, 31, 10, 15)
const site = fc.stringMatching(/^[a-z0-9][a-z0-9-]{0,31}$/)
const uid = fc.stringMatching(/^[1-9]{1,5}(\.[1-9]{1,9}){1,5}$/).map((text) => parseUid(text, 'test'))
const instance = fc.record(
  { sopInstanceUID: uid, sopClassUID: uid, digest: fc.stringMatching(/^[0-9a-f]{64}$/) },
  { requiredKeys: ['sopInstanceUID'] },
)
const unique = fc.uniqueArray(instance, { selector: ({ sopInstanceUID }) => sopInstanceUID, maxLength: 6 })

/** Instances are dealt out to as many series as there are UIDs for. */
const manifest = fc
  .tuple(fc.uniqueArray(uid, { minLength: 1, maxLength: 3 }), unique, fc.boolean())
  .map(([series, instances, hasModality]) =>
    series.map((seriesInstanceUID, index) => ({
      seriesInstanceUID,
      ...(hasModality && { modality: 'CT' }),
      instances: instances.filter((_, n) => n % series.length === index),
    })),
  )

const notice: fc.Arbitrary<StudyUpdateNotice> = fc
  .record({
    noticeId: fc.uuid(),
    origin: site,
    maxHops: fc.integer({ min: 1, max: 16 }),
    issuedAt: fc.date({ min: new Date(0), max: new Date(now), noInvalidDate: true }),
    trigger: fc.constantFrom(...triggers),
    study: uid,
    version: fc.dictionary(site, fc.integer({ min: 1, max: maxChanges }), { noNullPrototype: true }),
    attributes: snapshots,
    series: manifest,
    others: fc.array(site, { maxLength: 3 }),
  })
  .map(({ others, ...rest }) => ({ ...rest, hops: [rest.origin, ...others] }))

describe('notices', () => {
  it('are read as they were written', () => {
    fc.assert(
      fc.property(notice, (it) => {
        expect(parseNotice(writeNotice(it), now)).toEqual(it)
      }),
    )
  })

  it('of any content are read or refused, never anything else', () => {
    const members = ['noticeId', 'origin', 'hops', 'version', 'attributes', 'series', 'issuedAt'] as const
    fc.assert(
      fc.property(notice, fc.constantFrom(...members), fc.jsonValue(), (it, member, value) => {
        const written: Record<string, unknown> = JSON.parse(new TextDecoder().decode(writeNotice(it)))
        const body = new TextEncoder().encode(JSON.stringify({ ...written, [member]: value }))
        try {
          parseNotice(body, now)
        } catch (error) {
          expect(error).toBeInstanceOf(LinkError)
          expect(error).toMatchObject({ code: 'bad-request' })
        }
      }),
    )
  })
})
