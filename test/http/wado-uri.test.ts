import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { instance, part, partsOf, type Site, series, startSite, study, whole } from './harness.ts'

let site: Site
beforeEach(async () => {
  site = await startSite()
})
afterEach(() => site.close())

const object = `requestType=WADO&studyUID=${study}&seriesUID=${series}&objectUID=${instance}`
const target = { study, series, instance }
const asked = () => site.services.asked.at(-1) as { service: string; request: Record<string, unknown> }

describe('WADO-URI', () => {
  it.each([
    ['&transferSyntax=*', '*'],
    ['&transferSyntax=1.2.840.10008.1.2.4.90', '1.2.840.10008.1.2.4.90'],
    ['', '1.2.840.10008.1.2.1'],
  ])('gives the instance itself, unwrapped (%s)', async (more, transferSyntax) => {
    const response = await site.fetch(`/wado?${object}&contentType=application%2Fdicom${more}`)
    expect(response.headers.get('content-type')).toBe('application/dicom')
    expect(await response.text()).toBe('DICM')
    expect(asked()).toMatchObject({ service: 'instances', request: { target, transferSyntax } })
  })

  it('gives a picture, a JPEG when nothing else is said', async () => {
    site.services.onRetrieve = async () => whole(partsOf(part('image/jpeg', 'pixels')))
    const response = await site.fetch(`/wado?${object}`)
    expect(await response.text()).toBe('pixels')
    expect(asked()).toMatchObject({
      service: 'rendered',
      request: { kind: 'rendered', target, mediaTypes: ['image/jpeg'] },
    })
  })

  it('makes the picture as the parameters say', async () => {
    site.services.onRetrieve = async () => whole(partsOf(part('image/png', 'pixels')))
    const more =
      'contentType=image/png,image/jpeg&frameNumber=7&windowCenter=40&windowWidth=400&rows=100&columns=200&imageQuality=50'
    await site.fetch(`/wado?${object}&${more}`)
    expect(asked().request).toMatchObject({
      frames: [7],
      mediaTypes: ['image/png', 'image/jpeg'],
      parameters: { window: '40,400,linear', viewport: '200,100', quality: '50' },
    })
  })

  it('bounds both sides by the one that is given', async () => {
    await site.fetch(`/wado?${object}&rows=64`)
    expect(asked().request).toMatchObject({ parameters: { viewport: '64,64' } })
  })

  it.each([
    ['', 'requestType'],
    ['requestType=WADO', 'studyUID'],
    [`requestType=OTHER&${object.slice(17)}`, 'requestType'],
    [object.replace(instance, 'x'), 'objectUID'],
    [`${object}&studyUID=1.2`, 'studyUID: given more than once'],
    [`${object}&windowCenter=1`, 'windowCenter and windowWidth'],
    [`${object}&windowCenter=a&windowWidth=b`, 'window'],
    [`${object}&frameNumber=0`, 'frame'],
    [`${object}&frameNumber=1,2`, 'frameNumber'],
    [`${object}&rows=0`, 'rows and columns: '],
    [`${object}&imageQuality=200`, 'imageQuality: '],
    [`${object}&contentType=nonsense`, 'nonsense'],
    [`${object}&contentType=application/dicom&transferSyntax=abc`, 'transferSyntax'],
    [`${object}&anonymize=yes`, 'anonymize'],
  ])('refuses ?%s', async (query, detail) => {
    const response = await site.fetch(`/wado?${query}`)
    expect(response.status).toBe(400)
    expect(((await response.json()) as { detail: string }).detail).toContain(detail)
    expect(site.services.asked).toEqual([])
  })

  it('says 406 to what it cannot make', async () => {
    expect((await site.fetch(`/wado?${object}&contentType=text/html`)).status).toBe(406)
  })
})
