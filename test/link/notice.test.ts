import { describe, expect, it } from 'vitest'
import { parseUid } from '../../src/dicom/uid.ts'
import type { StudyUpdateNotice } from '../../src/link/notice.ts'
import { parseNotice } from '../../src/link/notice-parse.ts'
import { emptySnapshot } from '../../src/link/snapshot.ts'

const now = Date.UTC(2026, 0, 31, 10, 15)
const at = '2026-01-31T10:15:00.000Z'
const digest = { alg: 'sha-256', scope: 'dataset', value: 'ab'.repeat(32) }
const instance = { sopInstanceUID: '1.2.3.5', sopClassUID: '1.2.840.10008.5.1.4.1.1.2', digest }
const series = { seriesInstanceUID: '1.2.3.4', modality: 'CT', instances: [instance, { sopInstanceUID: '1.2.3.6' }] }
const comment = { site: 'north', number: 1, text: 'DOE^JANE', author: 'key:ris', at }

const correction = {
  ...{ keyword: 'PatientName', value: 'DOE^JANE', source: 'RIS' },
  ...{ author: 'key:ris', site: 'north', at },
}

const valid = {
  noticeId: '0b7a1c9e-5d1f-4a53-9a0e-7c3f3b1d2e4f',
  origin: 'north',
  hops: ['north', 'west'],
  maxHops: 4,
  issuedAt: at,
  trigger: 'OBJECT',
  studyInstanceUID: '1.2.3',
  version: { north: 17, south: 4 },
  attributes: {
    homeSite: { site: 'north', at },
    reportStatus: [{ site: 'north', at, value: 'APPROVED' }],
    studyStatus: [{ site: 'north', at, value: 'ARRIVED' }],
    verified: [{ site: 'south', at, value: 'VERIFIED', verifiedAt: at }],
    comments: [comment],
    corrections: [correction],
  },
  series: [series],
}

const bytes = (notice: unknown) => new TextEncoder().encode(JSON.stringify(notice))
const parse = (notice: unknown) => parseNotice(bytes(notice), now)
const withAttributes = (some: object) => ({ ...valid, attributes: { ...valid.attributes, ...some } })
const withSeries = (...some: unknown[]) => ({ ...valid, series: some })
const withInstance = (some: unknown) => withSeries({ ...series, instances: [instance, some] })
const listOf = (length: number, item: (n: number) => unknown) => Array.from({ length }, (_, n) => item(n))

describe('a notice as it is sent', () => {
  it('is understood', () => {
    const time = new Date(now)
    const [one, other] = series.instances
    const notice: StudyUpdateNotice = parse(valid)
    expect(notice).toEqual({
      ...{ noticeId: valid.noticeId, origin: 'north', hops: ['north', 'west'], maxHops: 4, issuedAt: time },
      ...{ trigger: 'OBJECT', study: '1.2.3', version: { north: 17, south: 4 } },
      attributes: {
        homeSite: { site: 'north', at: time },
        reportStatus: [{ site: 'north', at: time, value: 'APPROVED' }],
        studyStatus: [{ site: 'north', at: time, value: 'ARRIVED' }],
        verified: [{ site: 'south', at: time, value: 'VERIFIED', verifiedAt: time }],
        comments: [{ ...comment, at: time }],
        corrections: [{ ...correction, at: time }],
      },
      series: [{ ...series, instances: [{ ...one, digest: digest.value }, other] }],
    })
  })

  it('may leave out what there is not, and say more than is known', () => {
    const { attributes, series: none } = parse({ ...valid, attributes: { later: 1 }, series: [], later: [] })
    expect([attributes, none]).toEqual([emptySnapshot, []])
    expect(parse(withSeries({ seriesInstanceUID: '1.2', instances: [] })).series).toEqual([
      { seriesInstanceUID: '1.2', instances: [] },
    ])
    expect(parse({ ...valid, version: {} }).version).toEqual({})
  })

  it('may correct an attribute that is not known here, which is passed over', () => {
    const later = { ...correction, keyword: 'PatientWeight', value: ['70'] }
    const corrections = [later, correction, { ...correction, site: 'south' }, later]
    expect(parse(withAttributes({ corrections })).attributes.corrections).toHaveLength(2)
  })

  it.each<[string, unknown]>([
    ['body', null],
    ['body', []],
    ['noticeId', { ...valid, noticeId: undefined }],
    ['noticeId', { ...valid, noticeId: '1' }],
    ['origin', { ...valid, origin: 'North' }],
    ['origin', { ...valid, origin: 'x'.repeat(33) }],
    ['hops', { ...valid, hops: 'north' }],
    ['hops', { ...valid, hops: [] }],
    ['hops', { ...valid, hops: ['west', 'north'] }],
    ['hops[1]', { ...valid, hops: ['north', 'a:b'] }],
    ['hops', { ...valid, hops: listOf(65, () => 'north') }],
    ['maxHops', { ...valid, maxHops: 0 }],
    ['maxHops', { ...valid, maxHops: 17 }],
    ['maxHops', { ...valid, maxHops: 1.5 }],
    ['issuedAt', { ...valid, issuedAt: '2026-01-31T10:15:00' }],
    ['issuedAt', { ...valid, issuedAt: '2026-01-31T10:20:01Z' }],
    ['trigger', { ...valid, trigger: 'DELETE' }],
    ['studyInstanceUID', { ...valid, studyInstanceUID: '1..2' }],
    ['studyInstanceUID', { ...valid, studyInstanceUID: 3 }],
    ['version', { ...valid, version: [] }],
    ['version', { ...valid, version: JSON.parse('{"__proto__": 1}') }],
    ['version', { ...valid, version: Object.fromEntries(listOf(257, (n) => [`s${n}`, 1]) as [string, number][]) }],
    ['version.north', { ...valid, version: { north: 2 ** 53 } }],
    ['version.north', { ...valid, version: { north: '1' } }],
    ['version.north', { ...valid, version: { north: 0 } }],
    ['attributes', { ...valid, attributes: undefined }],
    ['attributes.homeSite', withAttributes({ homeSite: 'north' })],
    ['attributes.homeSite.site', withAttributes({ homeSite: { at } })],
    ['attributes.homeSite.at', withAttributes({ homeSite: { site: 'north', at: '2027-01-31T10:15:00Z' } })],
    ['attributes.reportStatus', withAttributes({ reportStatus: { site: 'north', at, value: 'NEW' } })],
    ['attributes.reportStatus[0].value', withAttributes({ reportStatus: [{ site: 'north', at, value: 'UNKNOWN' }] })],
    ['attributes.reportStatus', withAttributes({ reportStatus: listOf(2, () => ({ site: 'a', at, value: 'NEW' })) })],
    ['attributes.reportStatus', withAttributes({ reportStatus: listOf(257, () => null) })],
    ['attributes.studyStatus[0].value', withAttributes({ studyStatus: [{ site: 'north', at, value: 'Read' }] })],
    ['attributes.studyStatus[0].value', withAttributes({ studyStatus: [{ site: 'north', at, value: ' READ' }] })],
    [
      'attributes.studyStatus[0].value',
      withAttributes({ studyStatus: [{ site: 'north', at, value: 'X'.repeat(17) }] }),
    ],
    ['attributes.studyStatus[0].value', withAttributes({ studyStatus: [{ site: 'north', at }] })],
    ['attributes.studyStatus', withAttributes({ studyStatus: listOf(2, () => ({ site: 'a', at, value: 'READ' })) })],
    ['attributes.verified[0].value', withAttributes({ verified: [{ site: 'north', at, value: true }] })],
    [
      'attributes.verified[0].verifiedAt',
      withAttributes({ verified: [{ site: 'north', at, value: 'FAILED', verifiedAt: at }] }),
    ],
    [
      'attributes.verified[0].verifiedAt',
      withAttributes({ verified: [{ site: 'north', at, value: 'VERIFIED', verifiedAt: '2027-01-31T10:15:00Z' }] }),
    ],
    ['attributes.comments', withAttributes({ comments: listOf(10_001, () => comment) })],
    ['attributes.comments[0]', withAttributes({ comments: ['DOE^JANE'] })],
    ['attributes.comments[0].number', withAttributes({ comments: [{ ...comment, number: 2 ** 31 }] })],
    ['attributes.comments[0].text', withAttributes({ comments: [{ ...comment, text: '' }] })],
    ['attributes.comments[0].text', withAttributes({ comments: [{ ...comment, text: ['DOE^JANE'] }] })],
    ['attributes.comments[0].text', withAttributes({ comments: [{ ...comment, text: 'DOE^JANE\0' }] })],
    ['attributes.comments[0].text', withAttributes({ comments: [{ ...comment, text: 'JANE'.repeat(2561) }] })],
    ['attributes.comments[0].author', withAttributes({ comments: [{ ...comment, author: 'JANE'.repeat(200) }] })],
    ['attributes.corrections', withAttributes({ corrections: listOf(10_001, () => correction) })],
    ['attributes.corrections', withAttributes({ corrections: [correction, { ...correction, value: 'ROE' }] })],
    ['attributes.corrections[0].keyword', withAttributes({ corrections: [{ ...correction, keyword: ['JANE'] }] })],
    ['attributes.corrections[0].value', withAttributes({ corrections: [{ ...correction, value: 'DOE^JANE\0' }] })],
    [
      'attributes.corrections[0].source',
      withAttributes({ corrections: [{ ...correction, source: 'JANE'.repeat(20) }] }),
    ],
    ['attributes.corrections[0].author', withAttributes({ corrections: [{ ...correction, author: '' }] })],
    ['attributes.corrections[0].at', withAttributes({ corrections: [{ ...correction, at: '2027-01-31T10:15:00Z' }] })],
    ['series', { ...valid, series: {} }],
    ['series', withSeries(...listOf(10_001, () => 1))],
    ['series[0]', withSeries(null)],
    ['series[0].seriesInstanceUID', withSeries({ instances: [] })],
    ['series[1].seriesInstanceUID', withSeries(series, series)],
    ['series[0].modality', withSeries({ ...series, modality: 'x'.repeat(65) })],
    ['series[0].instances', withSeries({ seriesInstanceUID: '1.2' })],
    ['series[0].instances[1]', withInstance([])],
    ['series[0].instances[1].sopInstanceUID', withInstance({ sopInstanceUID: '../x' })],
    ['series[0].instances[1].sopInstanceUID', withInstance(instance)],
    ['series[1].instances[0].sopInstanceUID', withSeries(series, { seriesInstanceUID: '1.2', instances: [instance] })],
    ['series[0].instances[1].sopClassUID', withInstance({ sopInstanceUID: '1.2', sopClassUID: null })],
    ['series[0].instances[1].digest', withInstance({ sopInstanceUID: '1.2', digest: digest.value })],
    ['series[0].instances[1].digest.alg', withInstance({ sopInstanceUID: '1.2', digest: { ...digest, alg: 'md5' } })],
    ['series[0].instances[1].digest.scope', withInstance({ sopInstanceUID: '1.2', digest: { ...digest, scope: 'x' } })],
    [
      'series[0].instances[1].digest.value',
      withInstance({ sopInstanceUID: '1.2', digest: { ...digest, value: 'ab' } }),
    ],
  ])('with a wrong %s is refused', (member, notice) => {
    const refused = expect.objectContaining({
      code: 'bad-request',
      message: expect.stringMatching(new RegExp(`^${RegExp.escape(member)}: `)),
    })
    expect(() => parse(notice)).toThrow(refused)
    expect(() => parse(notice)).not.toThrow(/JANE/)
  })

  it.each([
    ['no JSON', new TextEncoder().encode('{"comment": "DOE^JANE"')],
    ['no UTF-8', Buffer.from('{"noticeId": "\xff"}', 'latin1')],
    ['nothing', new Uint8Array()],
  ])('that is %s is refused', (_, body) => {
    expect(() => parseNotice(body, now)).toThrow('body: is no JSON in UTF-8')
  })

  it('is not shown whole when it is wrong, however deep or long it is', () => {
    const deep = `{"origin": ${'['.repeat(100_000)}${']'.repeat(100_000)}}`
    expect(() => parseNotice(new TextEncoder().encode(deep), now)).toThrow('origin: a list is no id')
    expect(() => parse({ ...valid, trigger: 'x'.repeat(1_000_000) })).toThrow(/^trigger: .{0,200}$/)
  })

  it('may list 100,000 instances, and no more', () => {
    const uidOf = (n: number) => parseUid(`1.2.3.${n}`, 'test')
    const instances = listOf(100_000, (n) => ({ ...instance, sopInstanceUID: uidOf(n) }))
    const large = withSeries({ ...series, instances })
    expect(parse(large).series[0]?.instances).toHaveLength(100_000)
    const more = { seriesInstanceUID: '1.2', instances: [{ sopInstanceUID: '1.2' }] }
    expect(() => parse({ ...large, series: [...large.series, more] })).toThrow(/^series\[1\].instances: .* 100000/)
  })
})
