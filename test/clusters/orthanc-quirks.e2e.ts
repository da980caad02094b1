import { request } from 'node:http'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { PooledCluster } from '../../src/clusters/dicomweb.ts'
import { type Dataset, firstString } from '../../src/dicom/dataset.ts'
import { compileConstraints } from '../../src/dicom/match.ts'
import { parseQuery } from '../../src/dicom/query.ts'
import { tag } from '../../src/dicom/tags.ts'
import { AnsweredKeys, verifyRows } from '../../src/query/verify.ts'
import { type MadeInstanceOptions, madeInstance } from '../support/made-instance.ts'
import { type Orthanc, orthancAvailable, startOrthanc } from '../support/orthanc.ts'
import { clusterAt, forever } from './setup.ts'

/**
 * What Orthanc with its DICOMweb plugin makes of searches, as it is on the wire, and what comes of the same search
 * through a cluster and the check of its rows. A test that fails in its first half says that this Orthanc is better.
 */
describe.skipIf(!orthancAvailable)('a search in Orthanc', () => {
  let orthanc: Orthanc
  let cluster: PooledCluster
  const studies = {
    mueller: { patientName: 'Müller^Jürgen Peter', patientId: 'ABC1', studyDescription: 'CT CHEST', modality: 'CT' },
    doe: { patientName: 'Doe^John', patientId: 'abc1', studyDate: '20240202', modality: 'MR' },
    undated: { patientName: 'Doe^Jane', patientId: 'X 1', studyDate: '', modality: 'US' },
    yamada: { patientName: 'Yamada^Tarou=山田^太郎', patientId: 'Y', studyDate: '20200101', modality: 'US' },
  } satisfies Record<string, MadeInstanceOptions>
  // Orthanc gives them in an order of its own, which depends on the UIDs: these are not by chance in that of their dates.
  const uids = Object.fromEntries(Object.keys(studies).map((name, index) => [name, `1.2.3.${index + 1}`]))
  const nameOf = (row: Dataset): string => {
    const uid = firstString(row, tag.StudyInstanceUID)
    return Object.keys(uids).find((name) => uids[name] === uid) ?? `${uid}`
  }
  const everybody = Object.keys(studies).sort()

  beforeAll(async () => {
    orthanc = await startOrthanc()
    const made = Object.entries(studies).map(([name, options]) => ({ study: uids[name] ?? '', ...options }))
    await orthanc.load([...made, { ...made[0], modality: 'MR' }].map((options) => madeInstance(options).bytes))
    cluster = clusterAt(orthanc.dicomweb)
  })
  afterAll(async () => {
    await cluster?.close()
    await orthanc?.stop()
  })

  interface Answer {
    readonly status: number | undefined
    readonly type: string | undefined
    readonly rows: readonly Dataset[]
  }

  /** Sends an address as it is: what other clients of HTTP would encode is not. */
  const raw = (query: string, accept = 'application/dicom+json') =>
    new Promise<Answer>((resolve, reject) => {
      const path = Buffer.from(`/dicom-web/studies?${query}`).toString('latin1')
      const asked = request({ port: orthanc.port, path, headers: { Accept: accept } }, (answer) => {
        const chunks: Buffer[] = []
        answer.on('data', (chunk: Buffer) => chunks.push(chunk))
        answer.on('end', () => {
          const isOk = answer.statusCode === 200
          const rows = isOk ? (JSON.parse(Buffer.concat(chunks).toString()) as Dataset[]) : []
          resolve({ status: answer.statusCode, type: answer.headers['content-type'], rows })
        })
      })
      asked.on('error', reject).end()
    })
  const rawNames = async (query: string) => (await raw(query)).rows.map(nameOf).sort()

  /** What the product gives for the same query. */
  const search = async (query: string) => {
    const { constraints, includeFields } = parseQuery('study', query)
    const fields = [
      ...constraints.flatMap(({ path }) => path.slice(0, 1)),
      ...(includeFields === 'all' ? [] : includeFields),
    ]
    const { rows } = await cluster.search({ level: 'study', constraints, includeFields: fields, limit: 100 }, forever())
    const seen = new AnsweredKeys()
    const isAnswered = (some: readonly Dataset[], keys: readonly string[]) => seen.areAnswered('orthanc', some, keys)
    return verifyRows(rows, compileConstraints(constraints), isAnswered)
  }
  const found = async (query: string) => (await search(query)).rows.map(nameOf).sort()

  describe('whose text is percent-encoded', () => {
    it.each([
      ['a blank', 'StudyDescription=CT%20CHEST', ['mueller']],
      ['a caret', 'PatientName=Doe%5EJohn', ['doe']],
      ['a letter with an accent', 'PatientName=M%C3%BCller*', ['mueller']],
      ['kanji', 'PatientName=%E5%B1%B1%E7%94%B0*', ['yamada']],
      ['an asterisk', 'PatientName=Doe%2A', ['doe', 'undated']],
      ['a letter that needs none', 'PatientID=%41BC1', ['mueller']],
    ])('%s: finds nothing, and finds the study through the cluster', async (_, query, expected) => {
      expect(await rawNames(query)).toEqual([])
      expect(await found(query)).toEqual(expected)
    })

    it('not, although it should be: is refused, and is not sent so by the cluster', async () => {
      expect((await raw('PatientName=Müller*')).status).toBe(400)
      expect(await found('PatientName=Müller*')).toEqual(['mueller'])
    })
  })

  describe('with wildcards', () => {
    it('takes no question mark for a letter with an accent, and finds it through the cluster', async () => {
      expect(await rawNames('PatientName=M?ller*')).toEqual([])
      expect(await rawNames('PatientName=M??ller*')).toEqual([])
      expect(await found('PatientName=M?ller*')).toEqual(['mueller'])
    })

    it.each(['StudyDate=2024*', 'StudyInstanceUID=1.2*'])(
      '%s: is a 400, which the client gets before Orthanc does',
      async (query) => {
        expect((await raw(query)).status).toBe(400)
        expect(() => parseQuery('study', query)).toThrow('is not valid')
      },
    )
  })

  describe('by values', () => {
    it('goes by no case, and only the exact one is left over through the cluster', async () => {
      expect(await rawNames('PatientID=abc1')).toEqual(['doe', 'mueller'])
      expect(await found('PatientID=abc1')).toEqual(['doe'])
      expect(await found('ModalitiesInStudy=mr')).toEqual([])
    })

    it('takes a lower-case tag for a tag, and a lower-case keyword for nothing', async () => {
      expect(await rawNames(`0020000d=${uids.doe}`)).toEqual(['doe'])
      expect(await rawNames('patientid=Y')).toEqual(everybody)
      expect(await found(`0020000d=${uids.doe}`)).toEqual(['doe'])
    })

    it('takes no backslash for a list, and does so through the cluster', async () => {
      expect(await rawNames('ModalitiesInStudy=CT%5CMR')).toEqual([])
      expect(await found('ModalitiesInStudy=CT%5CMR')).toEqual(['doe', 'mueller'])
      expect(await found(`StudyInstanceUID=${uids.doe}%5C${uids.yamada}`)).toEqual(['doe', 'yamada'])
    })

    it('compares numbers as text, counts with nothing, and both are right through the cluster', async () => {
      expect(await rawNames('NumberOfStudyRelatedInstances=2')).toEqual([])
      expect(await found('NumberOfStudyRelatedInstances=02&includefield=NumberOfStudyRelatedInstances')).toEqual([
        'mueller',
      ])
    })

    it('takes what has no date for older than any, which it is not through the cluster', async () => {
      expect(await rawNames('StudyDate=-20201231')).toEqual(['undated', 'yamada'])
      expect(await found('StudyDate=-20201231')).toEqual(['yamada'])
    })

    it('takes two quotation marks for two quotation marks, and finds what has no value through the cluster', async () => {
      expect(await rawNames('StudyDate=%22%22&emptyvaluematching=true')).toEqual([])
      expect(await found('StudyDate=%22%22&emptyvaluematching=true')).toEqual(['undated'])
    })

    it('knows no fuzzy matching, and finds names by their beginnings through the cluster', async () => {
      expect(await rawNames('PatientName=muller&fuzzymatching=true')).toEqual([])
      expect(await found('PatientName=muller+xaver&fuzzymatching=true')).toEqual([])
      expect(await found('PatientName=Mueller&fuzzymatching=true')).toEqual(['mueller'])
      expect(await found('PatientName=Doe,+Jo&fuzzymatching=true')).toEqual(['doe'])
    })

    it('goes by the last one of a key given twice, which is a 400 here', async () => {
      expect(await rawNames('PatientID=Y&PatientID=X*')).toEqual(['undated'])
      expect(() => parseQuery('study', 'PatientID=Y&PatientID=X*')).toThrow('PatientID: given twice')
    })
  })

  describe('by keys that it does not know', () => {
    it.each(['RequestAttributesSequence.RequestedProcedureID=X', '00400275.00401001=X'])(
      '%s: gives everything, of which the cluster takes nothing for a match',
      async (query) => {
        expect(await rawNames(query)).toEqual(everybody)
        expect((await search(query)).unverifiable).toEqual(['00400275.00401001'])
      },
    )

    it('private ones: gives everything, of which the cluster takes nothing for a match', async () => {
      const query = '00090010=ACME&00091001=X'
      expect(await rawNames(query)).toEqual(everybody)
      expect((await search(query)).unverifiable).toEqual(['00090010', '00091001'])
    })

    it('no attributes: gives everything, as it should', async () => {
      expect(await rawNames('Nonsense=X')).toEqual(everybody)
      expect(await found('Nonsense=X')).toEqual(everybody)
    })

    it('of an attribute that it does not keep: gives nothing', async () => {
      expect(await rawNames('InstanceAvailability=ONLINE')).toEqual([])
      expect(parseQuery('study', 'InstanceAvailability=ONLINE').ignored).toEqual(['InstanceAvailability'])
    })
  })

  describe('with included fields', () => {
    const columns = async (query: string) => Object.keys((await raw(query)).rows[0] ?? {})

    it('in a list with an encoded comma: drops them all, and none through the cluster', async () => {
      const both = [tag.StudyDescription, tag.ReferringPhysicianName]
      expect(await columns(both.map((field) => `includefield=${field}`).join('&'))).toEqual(
        expect.arrayContaining(both),
      )
      expect(await columns(`includefield=${both.join('%2C')}`)).not.toContain(tag.StudyDescription)
      const { rows } = await search(`includefield=${both.join('%2C')}`)
      expect(Object.keys(rows[0] ?? {})).toEqual(expect.arrayContaining(both))
    })

    it('all: adds nothing, so that the cluster asks by name', async () => {
      expect(await columns('includefield=all')).toEqual(await columns(''))
      expect(await columns('includefield=all')).not.toContain(tag.StudyDescription)
      expect(Object.keys((await search('includefield=StudyDescription')).rows[0] ?? {})).toContain(tag.StudyDescription)
    })

    it('never tells Instance Availability', async () => {
      expect(await columns('includefield=00080056')).not.toContain(tag.InstanceAvailability)
    })
  })

  describe('in pages', () => {
    it('takes a limit of zero for none', async () => {
      expect(await rawNames('limit=0')).toEqual(everybody)
    })

    it('cuts nothing by itself and knows no order', async () => {
      const { rows } = await raw('')
      const dates = rows.map((row) => firstString(row, tag.StudyDate) ?? '')
      expect(rows.map(nameOf).sort()).toEqual(everybody)
      expect(dates).not.toEqual(dates.toSorted().reverse())
    })

    it('takes an offset without a limit, but not together with modalities', async () => {
      expect((await raw('offset=3')).rows).toHaveLength(1)
      expect((await raw('ModalitiesInStudy=US&offset=1')).rows).toHaveLength(2)
    })

    it('cuts by the limit before the offset together with modalities, so that the cluster asks for no page', async () => {
      expect((await raw('ModalitiesInStudy=US&limit=1&offset=0')).rows).toHaveLength(1)
      expect((await raw('ModalitiesInStudy=US&limit=1&offset=1')).rows).toEqual([])
      expect(await found('ModalitiesInStudy=US')).toEqual(['undated', 'yamada'])
    })
  })

  describe('as messages', () => {
    it.each(['multipart/related; type="application/dicom+xml"', 'image/png', '*/*'])(
      '%s: is JSON all the same',
      async (accept) => {
        expect(await raw('', accept)).toMatchObject({ status: 200, type: 'application/dicom+json' })
      },
    )

    it('nothing found is an empty list, of the series of an unknown study too', async () => {
      expect(await raw('PatientID=nobody')).toMatchObject({ status: 200, rows: [] })
      const response = await orthanc.rest('/dicom-web/studies/9.9.9/series')
      expect([response.status, await response.json()]).toEqual([200, []])
      expect(await found('PatientID=nobody')).toEqual([])
    })

    it('with an address of 18 KB: is refused, and is asked for in several through the cluster', async () => {
      const many = [...Array.from({ length: 500 }, (_, at) => `1.2.826.0.1.3680043.8.498.77.1.${at}`), uids.doe].join(
        ',',
      )
      expect(many.length).toBeGreaterThan(16_000)
      expect((await raw(`StudyInstanceUID=${many}`)).status).toBe(400)
      expect(await found(`StudyInstanceUID=${many}`)).toEqual(['doe'])
    })
  })
})

describe.skipIf(!orthancAvailable)('an Orthanc whose default encoding is Latin-1', () => {
  it('gives no kanji of a name; its study is found by everything else', async () => {
    await using orthanc = await startOrthanc({ settings: { DefaultEncoding: 'Latin1' } })
    const made = madeInstance({ patientName: 'Yamada^Tarou=山田^太郎', patientId: 'Y' })
    await orthanc.load([made.bytes])
    const cluster = clusterAt(orthanc.dicomweb)
    try {
      const constraints = [{ path: [tag.PatientName], value: 'yamada*' }]
      const { rows } = await cluster.search({ level: 'study', constraints, includeFields: [], limit: 10 }, forever())
      expect(JSON.stringify(rows)).not.toContain('山')
      expect(verifyRows(rows, compileConstraints(constraints), () => true).rows).toHaveLength(1)
    } finally {
      await cluster.close()
    }
  })
})
