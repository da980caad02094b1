import { Hono } from 'hono'
import { describe, expect, it } from 'vitest'
import type { Env } from '../../src/http/context.ts'
import { browserAvailable, openBrowser } from '../support/browser.ts'
import { instancePath, part, partsOf, type Site, startSite, whole } from './harness.ts'

const address = `${instancePath}/rendered?accept=application/pdf`

/** The smallest document that is one. */
const pdf = `%PDF-1.4
1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj
2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj
3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 200]>>endobj
trailer<</Root 1 0 R>>
`

/** A page that is isolated as the viewer's are, with a content of its own. */
const isolated = (content: () => string): Hono<Env> =>
  new Hono<Env>().get('/', (c) =>
    c.html(`<!doctype html>${content()}`, 200, {
      'Content-Security-Policy': "default-src 'self' http:",
      'Cross-Origin-Opener-Policy': 'same-origin',
      'Cross-Origin-Embedder-Policy': 'require-corp',
    }),
  )

const elements = {
  iframe: (src: string) => `<iframe src="${src}"></iframe>`,
  object: (src: string) => `<object data="${src}" type="application/pdf"></object>`,
}

const withPdf = async (settings: object = {}, pages?: Hono<Env>): Promise<Site> => {
  const site = await startSite(settings, pages ? { pages } : {})
  site.services.onRetrieve = async () => whole(partsOf(part('application/pdf', pdf)))
  return site
}

/** What became of the PDF that the page at `origin` frames: nothing, or why the browser refused it. */
const refusalIn = async (origin: string): Promise<string | undefined> => {
  await using open = await openBrowser()
  const { page } = await open.newPage()
  const ofPdf = (request: { url(): string }) => request.url().includes('/rendered')
  const settled = Promise.race([page.waitForEvent('requestfinished', ofPdf), page.waitForEvent('requestfailed', ofPdf)])
  await page.goto(origin)
  return (await settled).failure()?.errorText
}

describe.skipIf(!browserAvailable).each(['iframe', 'object'] as const)(
  'a PDF in the %s of an isolated page',
  (name) => {
    it('is shown by a browser', async () => {
      await using site = await withPdf(
        {},
        isolated(() => elements[name](address)),
      )
      expect(await refusalIn(site.address)).toBeUndefined()
    })

    it('is shown when the page is of another, listed origin, and of no other', async () => {
      let origin = ''
      await using viewer = await withPdf(
        {},
        isolated(() => elements[name](origin + address)),
      )
      await using listing = await withPdf({ cors: { origins: [viewer.address] } })
      origin = listing.address
      expect(await refusalIn(viewer.address)).toBeUndefined()
      await using other = await withPdf({ cors: { origins: ['https://other.example.org'] } })
      origin = other.address
      expect(await refusalIn(viewer.address)).toBe('net::ERR_BLOCKED_BY_RESPONSE')
    })
  },
)
