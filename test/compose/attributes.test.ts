import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { attributesServiceOf } from '../../src/compose/attributes.ts'
import type { Caller } from '../../src/core/audience.ts'
import { LinkError } from '../../src/core/errors.ts'
import { claimConverge } from '../../src/db/converge-jobs.ts'
import { tag } from '../../src/dicom/tags.ts'
import { parseUid } from '../../src/dicom/uid.ts'
import type { QueryAnswer, QueryRequest } from '../../src/query/service.ts'
import { openTestDatabase } from '../support/database.ts'

const study = parseUid('1.2.3', 'test')
const caller: Caller = { name: 'key:ris', audience: 'external' }
const { signal } = new AbortController()

const report = { sources: [], rounds: [], resumed: false, remaining: { atLeast: 0, exact: true }, durationMs: 0 }
const answerOf = (found: boolean, warnings: string[] = []): QueryAnswer => ({
  rows: found ? [{ [tag.StudyInstanceUID]: { vr: 'UI', Value: [study] } }] : [],
  warnings,
  report,
})

describe('what a site is told about studies', () => {
  let opened: Awaited<ReturnType<typeof openTestDatabase>>
  beforeAll(async () => {
    opened = await openTestDatabase()
  })
  afterAll(() => opened.close())

  function setup(answer: () => QueryAnswer) {
    const asked: QueryRequest[] = []
    const search = async (request: QueryRequest) => {
      asked.push(request)
      return answer()
    }
    const onChanged = vi.fn()
    const parts = { site: 'here', db: opened.db, query: { search }, targets: ['south', 'east'], onChanged }
    return { service: attributesServiceOf(parts), asked, onChanged }
  }

  it('is kept, and the other clusters are told', async () => {
    const { service, asked, onChanged } = setup(() => answerOf(true))
    const { record } = await service.patch(study, { verified: 'VERIFIED' }, { caller, ifMatch: [0] }, signal)
    expect(record).toMatchObject({ study, verified: 'VERIFIED', version: 1 })
    expect(await service.get(study, caller, signal)).toEqual(record)
    expect(await service.history(study, caller, signal)).toMatchObject([
      { field: 'verified', who: 'key:ris' },
      { field: 'verifiedAt', to: record.verifiedAt?.toISOString() },
    ])
    expect(onChanged).toHaveBeenCalledOnce()
    const options = { owner: 'test', clusters: ['east', 'south'], limit: 10, leaseMs: 1000 }
    const jobs = await claimConverge(opened.db, options)
    expect(jobs.map((job) => [job.study, job.cluster]).toSorted()).toEqual(options.clusters.map((it) => [study, it]))
    const [key] = asked[0]?.query.constraints ?? []
    expect([asked[0]?.caller, key?.path, key?.value]).toEqual([caller, [tag.StudyInstanceUID], study])
  })

  it.each([
    ['not found', 'when all clusters say so', [], 'not-found'],
    ['unknown', 'when one is missing', ['Results are incomplete: cluster south timed-out'], 'unavailable'],
  ])('is %s %s', async (_, __, warnings, code) => {
    const { service } = setup(() => answerOf(false, warnings))
    await expect(service.get(study, caller, signal)).rejects.toMatchObject({ code })
  })

  it('is answered when the study was found, whatever is missing', async () => {
    const { service } = setup(() => answerOf(true, ['Results are incomplete: cluster south timed-out']))
    expect((await service.get(study, caller, signal)).study).toBe(study)
  })

  it('is not answered when no cluster answers', async () => {
    const { service } = setup(() => {
      throw new LinkError('timed-out', 'no cluster answered the query')
    })
    await expect(service.get(study, caller, signal)).rejects.toMatchObject({ code: 'timed-out' })
  })
})
