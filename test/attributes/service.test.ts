import { describe, expect, it } from 'vitest'
import { type AttributesDependencies, createAttributesService, type Existence } from '../../src/attributes/service.ts'
import type { Caller } from '../../src/core/audience.ts'
import type { ChangeResult } from '../../src/db/link-store.ts'
import { parseUid } from '../../src/dicom/uid.ts'
import type { LinkRecord } from '../../src/link/record.ts'
import { FakeClock } from '../support/fake-clock.ts'

const study = parseUid('1.2.3', 'test')
const caller: Caller = { name: 'key:viewer', audience: 'internal' }
const { signal } = new AbortController()
const record: LinkRecord = { study, reportStatus: 'DICTATED', comments: [], corrections: [], version: 4 }
const changed: ChangeResult = { status: 'changed', record, fields: ['reportStatus'], forced: false }

/** The service over a store that answers `result`, with a note of all that happened in between. */
function setup({ exists = 'yes', result = changed, ...others }: SetupOptions = {}) {
  const happened: unknown[] = []
  const service = createAttributesService({
    exists: async (...question) => {
      happened.push(['exists', ...question])
      return exists
    },
    records: async () => new Map([[study, record]]),
    change: async (...change) => {
      happened.push(['change', ...change])
      return result
    },
    history: async (_, limit) => [
      { version: 1, at: new Date(0), who: `${limit}`, field: 'verified', from: null, to: 'FAILED', forced: false },
    ],
    onChanged: () => void happened.push('told'),
    clock: new FakeClock(),
    ...others,
  })
  return { service, happened }
}

type SetupOptions = Partial<Omit<AttributesDependencies, 'exists'>> & { exists?: Existence; result?: ChangeResult }

const patch = { reportStatus: 'DICTATED' }

describe('link attributes of a study', () => {
  it('are what was told', async () => {
    expect(await setup().service.get(study, caller, signal)).toEqual(record)
  })

  it('that nobody told are those of version 0', async () => {
    const { service } = setup({ records: async () => new Map() })
    expect(await service.get(study, caller, signal)).toEqual({ study, comments: [], corrections: [], version: 0 })
  })

  it('have a history of a hundred changes', async () => {
    expect(await setup().service.history(study, caller, signal)).toMatchObject([{ who: '100' }])
  })

  it('are changed in the name of the caller, and then the other clusters are told', async () => {
    const { service, happened } = setup()
    const answer = await service.patch(study, patch, { caller, ifMatch: [3, 4] }, signal)
    expect(answer).toEqual({ record, changed: ['reportStatus'], forced: false })
    expect(happened).toEqual([
      ['exists', study, caller, signal],
      ['change', study, patch, { author: 'key:viewer', ifVersion: [3, 4] }],
      'told',
    ])
  })

  it('that stay as they are are told to nobody', async () => {
    const { service, happened } = setup({ result: { status: 'unchanged', record } })
    expect(await service.patch(study, patch, { caller }, signal)).toEqual({ record, changed: [], forced: false })
    expect(happened).not.toContain('told')
  })

  it('of another version than the caller saw stay, and the caller is told the version', async () => {
    const { service, happened } = setup({ result: { status: 'version-mismatch', record } })
    await expect(service.patch(study, patch, { caller, ifMatch: [3] }, signal)).rejects.toMatchObject({
      code: 'precondition-failed',
      message: expect.stringContaining('version 4'),
    })
    expect(happened).not.toContainEqual(['told', study])
  })

  it('are not looked for when the change is no change', async () => {
    const { service, happened } = setup()
    await expect(service.patch(study, { status: 'x' }, { caller }, signal)).rejects.toMatchObject({
      code: 'bad-request',
    })
    expect(happened).toEqual([])
  })

  it('are not said to have been verified in the future', async () => {
    const change = { verified: 'VERIFIED', verifiedAt: '2026-01-01T00:05:01Z' }
    const refused = setup().service.patch(study, change, { caller }, signal)
    await expect(refused).rejects.toMatchObject({ code: 'bad-request' })
    const { service } = setup()
    await service.patch(study, { ...change, verifiedAt: '2026-01-01T00:05:00Z' }, { caller }, signal)
  })

  it.each([
    ['no', 'not-found'],
    ['unknown', 'unavailable'],
  ] as const)('of a study of which it is %s that there is one are %s', async (exists, code) => {
    const { service, happened } = setup({ exists })
    const failed = { code, message: expect.stringContaining(study) }
    await expect(service.get(study, caller, signal)).rejects.toMatchObject(failed)
    await expect(service.history(study, caller, signal)).rejects.toMatchObject(failed)
    await expect(service.patch(study, patch, { caller }, signal)).rejects.toMatchObject(failed)
    expect(happened.map((it) => (it as unknown[])[0])).toEqual(['exists', 'exists', 'exists'])
  })
})
