import { describe, expect, it } from 'vitest'
import { browserAvailable, openBrowser } from '../support/browser.ts'
import { startSite } from './harness.ts'

describe.skipIf(!browserAvailable)('the documentation in a browser', () => {
  it('shows the operations and calls them, under its own strict policy', async () => {
    await using site = await startSite()
    await using open = await openBrowser()
    const { page, errors } = await open.newPage()
    await page.goto(`${site.address}/docs`)
    await page.getByText('Search for studies', { exact: true }).click()
    await page.getByRole('button', { name: 'Try it out' }).click()
    await page.getByRole('button', { name: 'Execute' }).click()
    await page.getByText('Server response').waitFor()
    expect(site.services.asked.at(-1)?.service).toBe('search')
    expect(errors).toEqual([])
  })
})
