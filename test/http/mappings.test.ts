import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { LinkError } from '../../src/core/errors.ts'
import { parseMappings } from '../../src/link/mappings.ts'
import { type Site, startSite, study } from './harness.ts'

const tables = parseMappings(
  `
  specialty:
    - { rule: 10, when: { StudyDescription: '%BRAIN%' }, gives: NEURO }
    - { rule: 20, when: { Modality: [MR, CT], ProcedureCode: '705%' }, gives: [NEURO, ENT] }
    - { rule: 900, when: {}, gives: GENERAL }
  bodyPart:
    - { rule: 10, when: { BodyPartExamined: HEAD, InstitutionName: '%North%' }, gives: HEAD }
  `,
  'tables.yaml',
)
const path = '/link/v1/mappings'

let site: Site
beforeEach(async () => {
  site = await startSite()
  site.services.tables = tables
})
afterEach(() => site.close())

const problemOf = async (response: Response) => (await response.json()) as { code: string; detail: string }

describe('the mapping tables', () => {
  it('are shown with their digest, and when they were read', async () => {
    const response = await site.fetch(path)
    expect(response.status).toBe(200)
    expect(response.headers.get('cache-control')).toBe('no-store')
    expect(await response.json()).toEqual({
      digest: tables.digest,
      loadedAt: '2026-01-31T10:15:00.000Z',
      specialty: [
        { rule: 10, when: { StudyDescription: ['%BRAIN%'] }, gives: ['NEURO'] },
        { rule: 20, when: { Modality: ['MR', 'CT'], ProcedureCode: ['705%'] }, gives: ['NEURO', 'ENT'] },
        { rule: 900, when: {}, gives: ['GENERAL'] },
      ],
      bodyPart: [{ rule: 10, when: { BodyPartExamined: ['HEAD'], InstitutionName: ['%North%'] }, gives: ['HEAD'] }],
    })
  })

  it('is not done for a page of another origin', async () => {
    const headers = { Origin: 'https://elsewhere.example' }
    expect((await site.fetch(`${path}/reload`, { method: 'POST', headers })).status).toBe(403)
  })

  it('are read again when told so', async () => {
    site.services.onReload = async () => {
      site.services.tables = parseMappings('bodyPart: []', 'tables.yaml')
      return site.services.tables
    }
    const response = await site.fetch(`${path}/reload`, { method: 'POST' })
    expect(response.status).toBe(200)
    expect(await response.json()).toEqual({
      digest: site.services.tables.digest,
      loadedAt: '2026-01-31T10:15:00.000Z',
      rules: { specialty: 0, bodyPart: 0 },
    })
  })

  it('stay when the file is bad, and what is wrong with it is told', async () => {
    site.services.onReload = async () => parseMappings('specialty: [{ rule: 1, when: {}, gives: "" }]', 'tables.yaml')
    const response = await site.fetch(`${path}/reload`, { method: 'POST' })
    expect(response.status).toBe(409)
    const { code, detail } = await problemOf(response)
    expect(code).toBe('conflict')
    expect(detail).toMatch(/the tables in force stay: .*tables\.yaml[\s\S]*specialty, rule 1: gives: "" is not allowed/)
  })

  it('tell nothing of an error that is a defect', async () => {
    site.services.onReload = async () => {
      throw new Error('secret')
    }
    const response = await site.fetch(`${path}/reload`, { method: 'POST' })
    expect(response.status).toBe(500)
    expect((await problemOf(response)).detail).not.toContain('secret')
  })
})

describe('a test of the mapping tables', () => {
  it('tells which rule fires for a described study, why, and which would have fired without it', async () => {
    const query = 'StudyDescription=MR+BRAIN&Modality=SR&Modality=MR&ProcedureCode=70551&BodyPartExamined=HEAD'
    const response = await site.fetch(`${path}/test?${query}&InstitutionName=Hospital%20North`)
    expect(response.status).toBe(200)
    expect(await response.json()).toEqual({
      digest: tables.digest,
      facts: {
        studyDescription: 'MR BRAIN',
        procedureCodes: ['70551'],
        modalities: ['SR', 'MR'],
        bodyParts: ['HEAD'],
        institutions: ['Hospital North'],
      },
      specialty: {
        values: ['NEURO'],
        rule: 10,
        why: 'rule 10: StudyDescription matches %BRAIN%',
        next: [
          { values: ['NEURO', 'ENT'], rule: 20, why: 'rule 20: ProcedureCode matches 705% and Modality matches MR' },
          { values: ['GENERAL'], rule: 900, why: 'rule 900: the default, it has no conditions' },
        ],
      },
      bodyPart: {
        values: ['HEAD'],
        rule: 10,
        why: 'rule 10: BodyPartExamined matches HEAD and InstitutionName matches %North%',
        next: [],
      },
    })
  })

  it('tells that no rule matches', async () => {
    const response = await site.fetch(`${path}/test?StudyDescription=`)
    expect(await response.json()).toMatchObject({ bodyPart: { values: [], why: 'no rule matches', next: [] } })
  })

  it('looks a study up for whoever asks, and passes on what is missing from it', async () => {
    const facts = { studyDescription: 'BRAIN', procedureCodes: [], modalities: [], bodyParts: [], institutions: [] }
    site.services.onFacts = async () => ({ facts, warnings: ['Results are incomplete: cluster south timed-out'] })
    const response = await site.fetch(`${path}/test?study=${study}`, { headers: { 'DICOMweb-Link-Scope': 'home' } })
    expect(await response.json()).toMatchObject({ facts, specialty: { rule: 10 } })
    expect(response.headers.get('warning')).toBe('299 north: Results are incomplete: cluster south timed-out')
    const caller = { name: 'anonymous', audience: 'home' }
    expect(site.services.asked).toMatchObject([{ service: 'facts', request: { study, caller } }])
  })

  it('of a study that nobody has is not found', async () => {
    expect((await site.fetch(`${path}/test?study=${study}`)).status).toBe(404)
    site.services.onFacts = async () => {
      throw new LinkError('unavailable', 'south timed-out')
    }
    expect((await site.fetch(`${path}/test?study=${study}`)).status).toBe(503)
  })

  it.each([
    ['', 'study: missing'],
    ['study=x', 'study: "x" is no DICOM UID'],
    ['study=', 'study: "" is no DICOM UID'],
    [`study=${study}&study=${study}`, 'study: given more than once'],
    [`study=${study}&Modality=MR`, 'Modality: not together with study'],
    ['StudyDescription=a&StudyDescription=b', 'StudyDescription: given more than once'],
    ['studyDescription=a', 'studyDescription: unknown parameter'],
    ['Modality=a%0Ab', 'Modality: expected at most 1024 characters'],
    [`ProcedureCode=${'x'.repeat(1025)}`, 'ProcedureCode: expected at most 1024 characters'],
    [Array(65).fill('Modality=MR').join('&'), 'Modality: given more than 64 times'],
  ])('of %j is refused: %s', async (query, problem) => {
    const response = await site.fetch(`${path}/test?${query}`)
    expect(response.status).toBe(400)
    expect((await problemOf(response)).detail).toContain(problem)
    expect(site.services.asked).toEqual([])
  })
})

describe('the scopes', () => {
  const keys = { name: 'a', hash: 'sha256:8c6976e5b5410415bde908bd4dee15dfb167a9c873fc4bb8a81f6f2ab448a918' }
  const as = (scopes: string[]) => startSite({ auth: { apiKeys: [{ ...keys, scopes }] } })
  const status = async (scopes: string[], method: string, address: string) => {
    await using other = await as(scopes)
    return (await other.fetch(address, { method, headers: { 'X-API-Key': 'admin' } })).status
  }

  it.each([
    ['GET', path, ['query', 'retrieve', 'store'], 403],
    ['POST', `${path}/reload`, ['query', 'retrieve', 'store'], 403],
    ['GET', `${path}/test?Modality=MR`, ['retrieve', 'store', 'admin'], 403],
    ['GET', path, ['admin'], 200],
    ['POST', `${path}/reload`, ['admin'], 200],
    ['GET', `${path}/test?Modality=MR`, ['query'], 200],
    ['GET', `${path}/reload`, ['admin'], 405],
  ] as const)('%s %s with %j: %d', async (method, address, scopes, expected) => {
    expect(await status([...scopes], method, address)).toBe(expected)
  })
})
