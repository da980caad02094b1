import { afterEach, describe, expect, it } from 'vitest'
import type { QueryReport } from '../../src/query/report.ts'
import { found, type Site, startSite, study } from './harness.ts'
import { at, cells, plain, report, row, source } from './ui-page.ts'

let site: Site
afterEach(() => site.close())

const text = async (path: string): Promise<string> => (await site.fetch(path)).text()
describe('the studies found', () => {
  it('shows what is known of a study, which clusters hold it, and where to open it', async () => {
    site = await startSite()
    site.services.onSearch = async () => found([row])
    const page = await text('/ui?PatientName=yam')
    expect(page).toContain('<title>Study 1 of 1 – dicomweb-link</title>')
    expect(cells(page, 'results')).toEqual([
      [
        'Yamada, Tarou · 山田, 太郎',
        'P-17',
        '2024-05-14',
        'CT Thorax',
        'CT, SR',
        '66',
        'north: 40 images, ONLINE south: 26 images, NEARLINE',
        'APPROVED',
        'CHEST',
        'THORAX, LUNG',
        'VERIFIED',
        'CACHE',
        `${'c'.repeat(80)}…`,
        'Images of CT Thorax, Yamada, Tarou · 山田, 太郎 Metadata of CT Thorax, Yamada, Tarou · 山田, 太郎 ' +
          'Copies of CT Thorax, Yamada, Tarou · 山田, 太郎',
      ],
    ])
    expect(page).toContain(`href="/viewer?StudyInstanceUIDs=${study}"`)
    expect(page).toContain(`href="/dicom-web/studies/${study}/metadata"`)
    expect(page).toContain(`href="/ui/studies/${study}"`)
  })

  it('shows a study of which next to nothing is known', async () => {
    site = await startSite()
    site.services.onSearch = async () => found([{ '0020000D': { vr: 'UI', Value: [study] } }])
    const [cellsOfRow = []] = cells(await text('/ui?PatientName='), 'results')
    expect(cellsOfRow.filter(Boolean)).toEqual([
      'unnamed',
      `Images of ${study} Metadata of ${study} Copies of ${study}`,
    ])
  })

  it('marks a study that its cluster could not compare with a constraint', async () => {
    site = await startSite()
    site.services.onSearch = async () => found([{ ...row, '00771017': { vr: 'LO', Value: ['link.specialty'] } }])
    expect(cells(await text('/ui?link.specialty=NEURO'), 'results')[0]).toContain(
      'CT Thorax (not checked: link.specialty)',
    )
  })

  it('has no link to a viewer that is not served', async () => {
    site = await startSite({ viewer: false })
    site.services.onSearch = async () => found([row])
    expect(await text('/ui?PatientName=')).not.toMatch(/href="\/(viewer.*)?"/)
  })

  it('says in a status region what is missing', async () => {
    site = await startSite()
    site.services.onSearch = async () => found([row], ['Results are incomplete: south did not answer', 'more'])
    const page = await text('/ui?PatientName=')
    const [, region = ''] = /<div role="status"[^>]*>([\s\S]*?)<\/div>/.exec(page) ?? []
    expect(plain(region)).toBe('Results are incomplete: south did not answer more')
  })
})

describe('what is typed or stored', () => {
  const hostile = `"><script>alert('x')</script><img src=x onerror="y">&amp;`

  it('is never markup, wherever it is shown', async () => {
    site = await startSite()
    const values = Object.entries(row).filter(([tag]) => tag !== '00771010')
    const bad = Object.fromEntries(values.map(([tag, { vr }]) => [tag, { vr, Value: [hostile] }]))
    const sources = { '00771010': { vr: 'SQ', Value: [at(hostile, 1, hostile)] } }
    const unhonoured = { '00771017': { vr: 'LO', Value: [hostile] } }
    site.services.onSearch = async () => ({
      ...found([{ ...bad, ...sources, ...unhonoured }], [hostile]),
      report: { ...report, sources: [{ ...source, pushed: [hostile], why: hostile }] },
    })
    const names = ['PatientName', 'PatientID', 'AccessionNumber', 'link.specialty', 'link.comments', 'link.cluster']
    const page = await text(`/ui?${new URLSearchParams(names.map((name): [string, string] => [name, hostile]))}`)
    expect(page).toContain('&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;')
    expect(page).not.toMatch(/<(script|img)/i)
    expect(page).toContain('value="&quot;&gt;&lt;script&gt;')
    expect(page).not.toMatch(/=""&gt;|href="[^"]*[<>']/)
  })

  it('is never markup in an error', async () => {
    site = await startSite()
    const page = await text(`/ui?${new URLSearchParams({ 'link.verified': hostile, limit: hostile })}`)
    expect(page).toContain('role="alert"')
    expect(page).not.toMatch(/<(script|img)/i)
  })
})

describe('pages of results', () => {
  const some = (count: number, remaining: QueryReport['remaining']) => async () => ({
    ...found(Array.from({ length: count }, () => row)),
    report: { ...report, sources: [source], remaining },
  })
  const hrefs = (page: string) =>
    [...page.matchAll(/rel="(prev|next)" href="([^"]*)"/g)].map(([, rel, href = '']) => [
      rel,
      href.replaceAll('&amp;', '&'),
    ])

  it('lead to each other and keep the search', async () => {
    site = await startSite()
    site.services.onSearch = some(10, { atLeast: 5, exact: true })
    const kept = 'PatientName=D%C3%B6e%26&link.verified=FAILED&limit=10'
    const page = await text(`/ui?${kept}&PatientID=&offset=20`)
    expect(page).toContain('Studies 21–30 of 35')
    expect(hrefs(page)).toEqual([
      ['prev', `/ui?${kept}&offset=10`],
      ['next', `/ui?${kept}&offset=30`],
    ])
  })

  it('are of at least what the clusters have that answered', async () => {
    site = await startSite()
    const sources = [source, { ...source, outcome: 'timed-out' as const }]
    const silent = { ...report, sources, remaining: { atLeast: 0, exact: true } }
    site.services.onSearch = async () => ({ ...found([row, row]), report: silent })
    expect(await text('/ui?limit=10')).toContain('Studies 1–2 of at least 2')
  })

  it('go on after the rows that are shown, where fewer were given than asked for', async () => {
    site = await startSite()
    site.services.onSearch = some(3, { atLeast: 1, exact: false })
    const page = await text('/ui?limit=100')
    expect(page).toContain('Studies 1–3 of at least 4')
    expect(hrefs(page)).toEqual([['next', '/ui?limit=100&offset=3']])
  })

  it('lead back from beyond the end', async () => {
    site = await startSite()
    const page = await text('/ui?limit=10&offset=5')
    expect(page).toContain('No studies after the first 5')
    expect(hrefs(page)).toEqual([['prev', '/ui?limit=10&offset=0']])
  })

  it('are not offered where there is one', async () => {
    site = await startSite()
    site.services.onSearch = some(3, { atLeast: 0, exact: true })
    expect(await text('/ui?limit=10')).not.toContain('<nav class="pager"')
  })
})

describe('how the answer came about', () => {
  it('is told per cluster and per round', async () => {
    site = await startSite()
    site.services.onSearch = async () => ({ ...found([row]), report })
    const page = await text('/ui?PatientName=')
    const asIt = ['StudyDate=20240101-', 'link.verified=FAILED', 'link.specialty', '2', '12', '34 ms']
    expect(cells(page, 'sources')).toEqual([
      ['north', 'home', 'ok', ...asIt],
      ['south', 'linked', 'timed-out (120 studies are known to be there)', ...asIt],
      ['cardio', 'thirdParty', 'skipped: it wants a patient ID', ...asIt],
    ])
    expect(cells(page, 'rounds').map(([asked]) => asked)).toEqual([
      'all rows',
      '2024-01-01 to 2024-12-31',
      '2024-01-01',
      '2024-01-01 and later',
      'until 2024-01-01',
      'studies without a date',
    ])
    expect(cells(page, 'rounds')[0]).toEqual(['all rows', 'north, south', '1', '5 ms'])
    expect(plain(page)).toContain(
      'Gone on from earlier pages of the same search; 100 ms; after this page at least 7 more studies match.',
    )
  })
})
