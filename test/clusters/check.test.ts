import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { checkCluster } from '../../src/clusters/check.ts'
import { adviceFor } from '../../src/clusters/check-advice.ts'
import { type CheckReport, renderReports } from '../../src/clusters/check-report.ts'
import { systemClock } from '../../src/core/clock.ts'
import { ClusterError } from '../../src/core/outcome.ts'
import { tag } from '../../src/dicom/tags.ts'
import { bytes, type FakeArchive, json, multipart, silence, startFakeArchive, status } from '../support/fake-archive.ts'
import { FakeClock, turn } from '../support/fake-clock.ts'
import { freePort } from '../support/orthanc.ts'
import { clusterConfig, forever } from './setup.ts'

const ui = (value: string) => ({ vr: 'UI', Value: [value] })
const studyRow = { [tag.StudyInstanceUID]: ui('1.2'), [tag.PatientID]: { vr: 'LO', Value: ['Abc'] } }
const instanceRow = (uid: string, sopClass: string) => ({
  [tag.StudyInstanceUID]: ui('1.2'),
  [tag.SeriesInstanceUID]: ui('1.3'),
  [tag.SOPInstanceUID]: ui(uid),
  [tag.SOPClassUID]: ui(sopClass),
  [tag.Rows]: { vr: 'US', Value: [4] },
})
const storage = '1.2.840.10008.5.1.4.1.1'
const ct = instanceRow('1.4', `${storage}.2`)
const dose = instanceRow('1.5', `${storage}.481.2`)

async function check(dicomweb: string, overrides: object = {}, clock = systemClock): Promise<CheckReport> {
  const { cluster, limits } = clusterConfig(dicomweb, overrides)
  return await checkCluster(cluster, { site: 'test', limits, clock, index: 2, signal: forever() })
}

describe('the check of a cluster', () => {
  let archive: FakeArchive
  beforeEach(async () => {
    archive = await startFakeArchive()
  })
  afterEach(() => archive.close())

  /** An archive for queries and nothing else, which knows its keys. */
  const queryOnly = () =>
    archive
      .on('/studies?', json([studyRow]))
      .on(/studies\?(.*=abc|.*=ABC|.*CHECK)/, json([]))
      .on('/studies/1.2/instances?', json([ct]))

  it('tells what an archive offers and what it lacks', async () => {
    queryOnly().on('/metadata', json([{ [tag.SOPInstanceUID]: ui('1.4') }]))
    const report = await check(archive.dicomweb, { role: 'home' })
    expect(report).toMatchObject({ cluster: 'north', role: 'home', reached: true, address: archive.dicomweb })
    expect(report.studies).toEqual({ count: 1, orMore: false })
    expect(report.services).toEqual({
      search: 'yes',
      'search below': 'yes',
      'search all series': 'no',
      'search all instances': 'no',
      metadata: 'yes',
      instances: 'no',
      frames: 'no',
      'bulk data': 'not tested',
      rendered: 'no',
      thumbnail: 'no',
      store: 'no',
    })
    expect(report.problems.join('\n')).toMatch(/nothing can be stored in it[\s\S]*cannot be retrieved/)
    expect(report.habits.join('\n')).not.toMatch(/ignores keys|without regard to case/)
  })

  const frame = bytes('multipart/related; type="application/octet-stream"; boundary=b', multipart(['pixels']))

  it('tries pictures with plain images, whatever else is listed before', async () => {
    queryOnly()
      .on('/studies/1.2/instances?', json([dose, ct]))
      .on('/1.4/frames/', frame)
      .on('/1.4/rendered', bytes('image/jpeg', 'a picture'))
    const { services, problems, habits } = await check(archive.dicomweb)
    expect([services.frames, services.rendered, services.thumbnail]).toEqual(['yes', 'yes', 'no'])
    expect([...problems, ...habits].filter((text) => /thumbnail/.test(text))).toEqual([
      'has no thumbnails; small renderings take their place',
    ])
  })

  it('does not say that pictures cannot be had because there are none to try it with', async () => {
    queryOnly().on('/studies/1.2/instances?', json([dose]))
    const { services } = await check(archive.dicomweb)
    expect([services.frames, services.rendered, services.thumbnail]).toEqual(['not tested', 'not tested', 'not tested'])
    expect(services.instances).toBe('no')
  })

  it('does not say that pictures cannot be had because one of them is damaged', async () => {
    queryOnly()
      .on('/studies?limit', json([studyRow, { ...studyRow, [tag.StudyInstanceUID]: ui('1.9') }]))
      .on(/studies\?includefield/, json([studyRow, { ...studyRow, [tag.StudyInstanceUID]: ui('1.9') }]))
      .on('/studies/1.9/instances?', json([instanceRow('1.10', `${storage}.4`)]))
      .on('/1.4/', status(400))
      .on('/1.10/frames/', frame)
    expect((await check(archive.dicomweb)).services.frames).toBe('yes')
  })

  it('stores nothing', async () => {
    queryOnly().on(/studies$/, json({}))
    expect((await check(archive.dicomweb)).services.store).toBe('yes')
    const posts = archive.seen.filter(({ method }) => method !== 'GET')
    expect(posts.map(({ method, url }) => `${method} ${url}`)).toEqual(['POST /dicom-web/studies'])
  })

  it('notices habits', async () => {
    archive.on('/studies?', json([studyRow]))
    const { habits } = await check(archive.dicomweb)
    expect(habits.join('\n')).toMatch(/ignores keys it does not support[\s\S]*without regard to case/)
  })

  it('does not test what an empty archive cannot show', async () => {
    archive.on('/studies?', json([]))
    const { services, studies, reached } = await check(archive.dicomweb)
    expect(reached).toBe(true)
    expect(studies).toEqual({ count: 0, orMore: false })
    expect([services.instances, services.frames, services.metadata]).toEqual(['not tested', 'not tested', 'not tested'])
  })

  it.each([
    [
      'wrong password',
      status(401),
      { auth: { basic: { username: 'me', password: 'x' } } },
      /401: the user name or password configured under clusters\[2\]\.auth\.basic is not accepted/,
    ],
    ['wrong token', status(401), { auth: { bearer: { token: 'x' } } }, /clusters\[2\]\.auth\.bearer is not accepted/],
    ['no credentials', status(401), {}, /configure clusters\[2\]\.auth/],
    ['no rights', status(403), {}, /403: .* right to query/],
    ['wrong path', status(404), {}, /404: .* at \/dicom-web; is the path of clusters\[2\]\.dicomweb right/],
    ['a page instead of data', bytes('text/html', '<html>'), {}, /HTML page .* is the path of its address right/],
    ['an archive that is out of order', status(502), {}, /502: .* look at its log/],
    ['a redirection', status(301, '', { Location: '/elsewhere' }), {}, /configure the address it points to/],
  ])('says what to do about %s', async (_what, answer, overrides, advice) => {
    archive.on('/', answer)
    const report = await check(archive.dicomweb, overrides)
    expect(report.reached).toBe(false)
    expect(report.problems).toEqual([expect.stringMatching(advice)])
  })

  it('says what to do when nobody listens', async () => {
    const port = await freePort()
    const { problems } = await check(`http://127.0.0.1:${port}/rs`)
    expect(problems).toEqual([
      `connection refused at 127.0.0.1:${port}; is the archive running, and is the port of clusters[2].dicomweb right?`,
    ])
  })

  it('says what to do when the archive does not answer in time', async () => {
    archive.on('/', silence)
    const clock = new FakeClock()
    const report = check(archive.dicomweb, {}, clock)
    await archive.next()
    while (clock.sleeping === 0) await turn()
    await clock.advance(5000)
    expect((await report).problems).toEqual([expect.stringMatching(/no answer from .* within 5000 ms/)])
  })

  it('says what to do when https is spoken to an archive that speaks http', async () => {
    const { problems } = await check(archive.dicomweb.replace('http:', 'https:'))
    expect(problems).toEqual([
      expect.stringMatching(/does not speak TLS; should clusters\[2\]\.dicomweb begin with http:/),
    ])
  })

  it('says which file of the configuration cannot be read', async () => {
    const { problems } = await check(archive.dicomweb, { ca: '/nowhere/ca.pem' })
    expect(problems).toEqual([expect.stringMatching(/clusters\.north\.ca: cannot read \/nowhere\/ca\.pem/)])
  })

  it('leaves embedded clusters alone', async () => {
    const { cluster, limits } = clusterConfig('', { dicomweb: undefined, embedded: {} })
    const report = await checkCluster(cluster, {
      site: 'test',
      limits,
      clock: systemClock,
      index: 0,
      signal: forever(),
    })
    expect(report).toMatchObject({ reached: true, address: 'embedded', problems: [] })
  })
})

describe('advice', () => {
  const { cluster: config } = clusterConfig('https://pacs.example:8443/rs')
  const broken = (code: string) =>
    new ClusterError('north', 'unreachable', 'no connection', { cause: Object.assign(new Error(code), { code }) })

  it.each([
    ['DEPTH_ZERO_SELF_SIGNED_CERT', /pacs\.example is signed by an authority .* set clusters\[0\]\.ca/],
    ['UNABLE_TO_GET_ISSUER_CERT_LOCALLY', /set clusters\[0\]\.ca/],
    ['CERT_HAS_EXPIRED', /has expired; renew it/],
    ['ERR_TLS_CERT_ALTNAME_INVALID', /is for another host name/],
    ['ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED', /set clusters\[0\]\.auth\.clientCertificate/],
    ['ENOTFOUND', /host name pacs\.example is unknown/],
    ['UND_ERR_CONNECT_TIMEOUT', /firewall/],
  ])('about %s', (code, advice) => {
    expect(adviceFor(broken(code), config, 'clusters[0]')).toMatch(advice)
  })
})

describe('the report', () => {
  it('is a table with a line a cluster, and what there is to say of each', () => {
    const services = {
      search: 'yes',
      'search below': 'yes',
      'search all series': 'no',
      'search all instances': 'no',
      metadata: 'yes',
      instances: 'yes',
      frames: 'not tested',
      'bulk data': 'not tested',
      rendered: 'yes',
      thumbnail: 'yes',
      store: 'no',
    } as const
    const up = { cluster: 'north', role: 'home', address: 'http://a/rs', reached: true, latencyMs: 12.4 } as const
    const down = { cluster: 'cardiology', role: 'thirdParty', address: 'http://b/rs', reached: false } as const
    const text = renderReports([
      { ...up, services, studies: { count: 1000, orMore: true }, problems: ['too slow'], habits: ['matches anything'] },
      { ...down, services, problems: ['connection refused'], habits: [] },
    ])
    expect(text).toBe(
      [
        'CLUSTER     ROLE        REACHED  MEDIAN  STUDIES  ADDRESS',
        'north       home        yes      12 ms   1000+    http://a/rs',
        'cardiology  thirdParty  NO       -       -        http://b/rs',
        '',
        'north',
        '  offers    search, search below, metadata, instances, rendered, thumbnail',
        '  lacks     search all series, search all instances, store',
        '  untested  frames, bulk data',
        '  PROBLEM   too slow',
        '  note      matches anything',
        '',
        'cardiology',
        '  PROBLEM   connection refused',
      ].join('\n'),
    )
  })
})
