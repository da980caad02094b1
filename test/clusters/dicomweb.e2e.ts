import { Readable } from 'node:stream'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { SearchRequest } from '../../src/clusters/cluster.ts'
import type { PooledCluster } from '../../src/clusters/dicomweb.ts'
import { MonitoredCluster } from '../../src/clusters/health.ts'
import { systemClock } from '../../src/core/clock.ts'
import { noLog, noTelemetry } from '../../src/core/telemetry.ts'
import { firstString } from '../../src/dicom/dataset.ts'
import { tag } from '../../src/dicom/tags.ts'
import { clusterContract } from '../contract/cluster.ts'
import { madeInstance } from '../support/made-instance.ts'
import { type Orthanc, orthancAvailable, startOrthanc } from '../support/orthanc.ts'
import { sample, samples } from '../support/samples.ts'
import { clusterAt, failureOf, forever, readAll, uid, uploadsOf } from './setup.ts'

const anyStudy: SearchRequest = { level: 'study', constraints: [], includeFields: [], limit: 1000 }

describe.skipIf(!orthancAvailable)('Orthanc behind a cluster', () => {
  clusterContract('Orthanc', async () => {
    const orthanc = await startOrthanc()
    const cluster = clusterAt(orthanc.dicomweb)
    const close = async () => {
      await cluster.close()
      await orthanc.stop()
    }
    return { cluster, close }
  })

  describe('with its habits', () => {
    let orthanc: Orthanc
    let cluster: PooledCluster
    const study = '1.2.826.1'
    const series = '1.2.826.1.1'
    const instance = '1.2.826.1.1.1'
    const target = { study: uid(study), series: uid(series), instance: uid(instance) }

    beforeAll(async () => {
      orthanc = await startOrthanc({ authentication: { proxy: 'gehäim' } })
      const made = madeInstance({
        study,
        series,
        instance,
        frames: 3,
        patientName: 'Müller^Jürgen Peter',
        patientId: 'A 1',
      })
      await orthanc.load([made.bytes, ...Array.from({ length: 30 }, () => madeInstance().bytes), ...samples()])
      cluster = clusterAt(orthanc.dicomweb, { cluster: { auth: { basic: { username: 'proxy', password: 'gehäim' } } } })
    })
    afterAll(async () => {
      await cluster?.close()
      await orthanc?.stop()
    })

    const found = async (path: string, value: string) => {
      const { rows } = await cluster.search({ ...anyStudy, constraints: [{ path: [path], value }] }, forever())
      return rows.map((row) => firstString(row, tag.StudyInstanceUID))
    }

    it.each([
      [tag.PatientName, 'Müller^Jürgen Peter'],
      [tag.PatientName, 'Müller*'],
      [tag.PatientID, 'A 1'],
      [tag.StudyInstanceUID, `9.9,${study}`],
      [tag.StudyDate, '20240101-20241231'],
      [tag.ModalitiesInStudy, 'OT,CT'],
    ])('%s=%s finds the study, although queries are not decoded', async (path, value) => {
      expect(await found(path, value)).toContain(study)
    })

    it('returns all fields asked for', async () => {
      const includeFields = [tag.StudyDescription, tag.NumberOfStudyRelatedInstances]
      const constraints = [{ path: [tag.StudyInstanceUID], value: study }]
      const { rows } = await cluster.search({ ...anyStudy, constraints, includeFields }, forever())
      expect(rows.map((row) => includeFields.map((field) => firstString(row, field)))).toEqual([
        ['Made for a test', '1'],
      ])
    })

    it('finds each of several hundred UIDs', async () => {
      const { rows } = await cluster.search(anyStudy, forever())
      const all = rows.map((row) => firstString(row, tag.StudyInstanceUID)).sort()
      const others = Array.from({ length: 300 }, (_, index) => `1.2.826.0.1.3680043.8.498.77.${index}`)
      expect((await found(tag.StudyInstanceUID, [...others, ...all].join(','))).sort()).toEqual(all)
    })

    it.each(['image/jpeg', 'image/png'])('renders %s, and has no thumbnails', async (mediaType) => {
      const request = { target, mediaTypes: ['image/webp', mediaType], parameters: {} }
      const [picture] = await readAll(await cluster.retrieve({ kind: 'rendered', ...request }, forever()))
      expect(picture?.contentType).toBe(mediaType)
      const thumbnail = cluster.retrieve({ kind: 'thumbnail', ...request }, forever())
      await expect(thumbnail).rejects.toMatchObject({ reason: 'not-found' })
    })

    it.skipIf(!sample('MR_small_jp2klossless.dcm'))(
      'gives compressed images as stored, and cannot transcode them',
      async () => {
        const { rows } = await cluster.search({ ...anyStudy, level: 'instance' }, forever())
        const refused: string[] = []
        for (const row of rows) {
          const [studyUid, seriesUid, instanceUid] = [
            tag.StudyInstanceUID,
            tag.SeriesInstanceUID,
            tag.SOPInstanceUID,
          ].map((level) => uid(firstString(row, level) ?? ''))
          if (!studyUid || !seriesUid || !instanceUid) throw new Error('unreachable')
          const one = { study: studyUid, series: seriesUid, instance: instanceUid }
          const as = (transferSyntax: string) => ({ kind: 'instances', target: one, transferSyntax }) as const
          expect(await readAll(await cluster.retrieve(as('*'), forever()))).toHaveLength(1)
          await cluster
            .retrieve(as('1.2.840.10008.1.2.1'), forever())
            .then(readAll)
            .catch((error: { reason?: string }) => refused.push(error.reason ?? String(error)))
        }
        expect(new Set(refused)).toEqual(new Set(['unsupported']))
      },
    )

    it('fails one damaged instance in the middle of a study, and stores the rest', async () => {
      const whole = Array.from({ length: 3 }, () => madeInstance({ study: '1.2.826.3' }))
      const damaged = madeInstance({ study: '1.2.826.3', rows: 64, columns: 64 })
      const [first, ...rest] = await Array.fromAsync(uploadsOf(...whole))
      const [broken] = await Array.fromAsync(uploadsOf(damaged))
      if (!first || !broken) throw new Error('unreachable')
      const uploads = async function* () {
        yield first
        // It ends in the middle of an element ahead of its pixel data.
        yield { ...broken, body: Readable.from([damaged.bytes.subarray(0, damaged.bytes.length - 64 * 64 - 30)]) }
        yield* rest
      }
      const results = await cluster.store(uploads(), forever())
      expect(results.map(({ outcome }) => outcome.status)).toEqual(['stored', 'failed', 'stored', 'stored'])
    })

    it('refuses wrong credentials', async () => {
      const stranger = clusterAt(orthanc.dicomweb, {
        cluster: { auth: { basic: { username: 'proxy', password: 'x' } } },
      })
      expect((await failureOf(stranger.search(anyStudy, forever()))).reason).toBe('access-denied')
      await stranger.close()
    })
  })

  it('is up, down when it is killed, timed out when it hangs, and up again by itself', async () => {
    const orthanc = await startOrthanc()
    const deps = { clock: systemClock, telemetry: noTelemetry, log: noLog }
    const breaker = { failuresInRow: 2, window: 20, failureRate: 0.5, backoffMs: 50, maxBackoffMs: 200 }
    const cluster = new MonitoredCluster(clusterAt(orthanc.dicomweb, { cluster: { timeoutMs: 1000 } }), {
      ...deps,
      breaker,
    })
    const fail = async () => (await failureOf(cluster.search(anyStudy, forever()))).reason
    const backUp = async () => {
      while (cluster.status().state !== 'up') await systemClock.sleep(20)
    }
    try {
      cluster.watch()
      await backUp()
      await orthanc.kill()
      expect(await fail()).toBe('unreachable')
      while (cluster.status().state !== 'down') await cluster.search(anyStudy, forever()).catch(() => undefined)
      expect(cluster.status().breaker).not.toBe('closed')
      await orthanc.restart()
      await backUp()
      expect((await cluster.search(anyStudy, forever())).rows).toEqual([])
      orthanc.pause()
      expect(await fail()).toBe('timed-out')
      expect(await fail()).toBe('timed-out')
      expect(cluster.status()).toMatchObject({ state: 'down', reason: 'timed-out' })
      orthanc.resume()
      await backUp()
    } finally {
      await cluster.close()
      await orthanc.stop()
    }
  })
})
