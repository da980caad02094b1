import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Attribute, Dataset } from '../../src/dicom/dataset.ts'
import { linkTag } from '../../src/dicom/private-dictionary.ts'
import { linkAliases, linkAttributes, linkSourceFields, linkTags } from '../../src/link/attributes.ts'
import { parseChange } from '../../src/link/change.ts'

const creators = ['DICOMWEB LINK 1.0', 'MITRA LINKED ATTRIBUTES 1.0', 'AGFA PACS Archive Mirroring 1.0', 'ELSE']
const words = [
  'APPROVED',
  'CREATED',
  'VERIFIED',
  'ONLINE',
  'CACHE',
  '20260131',
  '0001',
  '9999',
  '99991231',
  '1015',
  '+0100',
]
const text = fc.oneof(
  fc.constantFrom(...words),
  fc.string({ unit: 'binary' }),
  fc.constant('-1200'),
  fc.constant('99991231-1200'),
)
const value = fc.oneof(text, fc.jsonValue(), fc.double(), fc.constant(null))
const attribute: fc.Arbitrary<Attribute> = fc.record(
  { vr: fc.constantFrom('CS', 'SQ', 'UN', 'DT', 'PN'), Value: fc.array(value, { maxLength: 3 }) },
  { requiredKeys: ['vr'] },
)
const tags = [...linkSourceFields, ...linkTags, '00310010', '00310011', '00770011', '00771101', '00311001', '00311120']
const isCreator = (key: string) => /^00(31|77)00/.test(key)
const row = fc
  .uniqueArray(fc.constantFrom(...tags), { maxLength: 20 })
  .chain((keys) =>
    fc.record(
      Object.fromEntries(
        keys.map((key) => [
          key,
          isCreator(key) ? fc.constantFrom(...creators).map((it) => ({ vr: 'LO', Value: [it] })) : attribute,
        ]),
      ),
    ),
  )
const clusters = ['north', 'south', 'west']

describe('link attributes', () => {
  it('are told from whatever archives write, and are always what they are declared to be', () => {
    fc.assert(
      fc.property(fc.array(row as fc.Arbitrary<Dataset>, { maxLength: 3 }), (rows) => {
        const copies = rows.map((it, index) => ({ cluster: clusters[index] ?? '', role: 'linked', row: it }))
        const input = { mapped: { specialty: [], bodyPart: [] }, home: 'north', visiting: false, unhonoured: [] }
        const told = linkAttributes({ ...input, merged: rows[0] ?? {}, copies })
        for (const [key, { vr, Value }] of Object.entries(told)) {
          expect(linkTags.has(key) || linkAliases.has(key)).toBe(true)
          if (Value) expect([vr, Value.length > 0]).toEqual([vr, true])
          if (vr === 'DA') expect(String(Value?.[0] ?? '20260101')).toMatch(/^\d{8}$/)
          if (vr === 'TM') expect(String(Value?.[0] ?? '10')).toMatch(/^\d{2}(\d{2}(\d{2}(\.\d{1,6})?)?)?$/)
          if (vr !== 'SQ') expect(Value?.every((it) => typeof it === 'string') ?? true).toBe(true)
        }
        expect(told[linkTag.sources]?.Value ?? []).toHaveLength(rows.length)
      }),
      { numRuns: 2000 },
    )
  })

  it('are the same when they are told again by a proxy that relays them', () => {
    fc.assert(
      fc.property(fc.array(row as fc.Arbitrary<Dataset>, { minLength: 1, maxLength: 2 }), (rows) => {
        const input = { mapped: { specialty: ['A'], bodyPart: [] }, home: 'none', visiting: false, unhonoured: [] }
        const copies = rows.map((it, index) => ({ cluster: clusters[index] ?? '', role: 'linked', row: it }))
        const told = linkAttributes({ ...input, merged: {}, copies })
        const relayed = { cluster: 'x', role: 'linked', row: told }
        const again = linkAttributes({ ...input, merged: told, copies: [relayed] })
        for (const key of [
          linkTag.reportStatus,
          linkTag.location,
          linkTag.specialty,
          linkTag.verified,
          linkTag.comments,
        ]) {
          expect(again[key]).toEqual(told[key])
        }
      }),
      { numRuns: 2000 },
    )
  })
})

describe('a change', () => {
  it('of any JSON is understood or refused', () => {
    const members = ['reportStatus', 'verified', 'verifiedAt', 'comments', 'force', 'other']
    const body = fc.oneof(fc.jsonValue(), fc.dictionary(fc.constantFrom(...members), fc.jsonValue()))
    fc.assert(
      fc.property(body, (it) => {
        try {
          expect(Object.keys(parseChange(it, 0)).every((name) => members.includes(name))).toBe(true)
        } catch (error) {
          expect(error).toMatchObject({ code: 'bad-request' })
        }
      }),
      { numRuns: 2000 },
    )
  })
})
