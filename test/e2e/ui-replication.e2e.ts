import { expect, test } from 'vitest'
import { browserAvailable, openBrowser } from '../support/browser.ts'
import { disposedAfterAll, storeRequest } from '../support/federation.ts'
import { madeInstance } from '../support/made-instance.ts'
import { startProxy } from '../support/processes.ts'

const open = disposedAfterAll()

/** A home, and a linked cluster that nobody can reach. */
const config = {
  site: 'north',
  viewer: false,
  clusters: [
    { id: 'north', role: 'home', embedded: {} },
    { id: 'south', role: 'linked', dicomweb: 'http://127.0.0.1:1/dicom-web' },
  ],
}

test.skipIf(!browserAvailable)('replication is watched, paused and resumed in a browser', async () => {
  const proxy = open.use(await startProxy({ config }))
  const { page, errors } = await open.use(await openBrowser()).newPage()
  page.setDefaultTimeout(60_000)
  await page.goto(`${proxy.url}/ui/replication`)
  await page.getByText('Every cluster has what it is to have').waitFor()

  const stored = await fetch(`${proxy.url}/dicom-web/studies`, storeRequest([madeInstance({}).bytes]))
  expect(stored.status).toBe(200)
  await page.getByText('1 study is on its way').waitFor()
  const south = page.getByRole('row', { name: 'south' })
  await south.getByText('the connection is refused').waitFor()

  await south.getByRole('button', { name: 'pause south' }).click()
  await south.getByText('paused').waitFor()
  expect(new URL(page.url()).pathname).toBe('/ui/replication')

  await fetch(`${proxy.url}/link/v1/replication/south/resume`, { method: 'POST' })
  await south.getByText('sending').waitFor()
  expect(errors).toEqual([])
})
