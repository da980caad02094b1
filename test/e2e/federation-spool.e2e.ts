import { describe, expect, test } from 'vitest'
import { type Federation, heldBy, instancePath, startFederation, storeRequest } from '../support/federation.ts'
import { dataDirectory } from '../support/folders.ts'
import { type MadeInstance, madeInstance, madeUid } from '../support/made-instance.ts'
import { type Orthanc, orthancAvailable } from '../support/orthanc.ts'

const delivery = { timeout: 150_000, interval: 200 }
const uidsOf = (made: readonly MadeInstance[]) => made.map(({ instance }) => instance).toSorted()

/** The file of an instance as the archive has it on its disk. */
async function fileAt(archive: Orthanc, uid: string): Promise<Buffer> {
  const found = await archive.rest('/tools/lookup', { method: 'POST', body: uid })
  const [{ ID = '' } = {}] = (await found.json()) as { ID?: string }[]
  return Buffer.from(await (await archive.rest(`/instances/${ID}/file`)).arrayBuffer())
}

/** As a modality does: again after a while, when it is told to. */
async function storeUntilAccepted({ ask }: Federation, made: readonly MadeInstance[]) {
  const answer = await ask('/dicom-web/studies', storeRequest(made.map(({ bytes }) => bytes)))
  // Home is not known to be away until somebody found out; that request is not acknowledged.
  if (answer.status !== 503) return answer
  return ask('/dicom-web/studies', storeRequest(made.map(({ bytes }) => bytes)))
}

describe.skipIf(!orthancAvailable)('what is stored while home is away', () => {
  test('is seen at once and reaches home as it was sent, although the proxy is killed in between', async () => {
    await using cleanup = new AsyncDisposableStack()
    const { path: dataDir, remove } = await dataDirectory()
    cleanup.defer(remove)
    await using federation = await startFederation({ proxy: { dataDir }, config: { store: { spool: true } } })
    const { north, south, ask, datasets } = federation
    await north.kill()
    const study = madeUid()
    const made = [1, 2, 3].map((instanceNumber) => madeInstance({ study, instanceNumber, rows: 64, columns: 64 }))
    const answer = await storeUntilAccepted(federation, made)
    expect(answer.status, answer.text()).toBe(202)
    expect(answer.warnings).toEqual(['Home is not reachable; kept, and delivered when it is back'])

    await federation.restart('SIGKILL')
    expect(await datasets(`/dicom-web/studies/${study}/instances`)).toHaveLength(3)
    for (const it of made) {
      const whole = await ask(instancePath(it), {
        headers: { accept: 'multipart/related; type="application/dicom"; transfer-syntax=*' },
      })
      expect(whole.parts()[0]?.bytes.equals(it.bytes)).toBe(true)
    }

    await north.restart()
    await expect.poll(() => heldBy(north, study), delivery).toEqual(uidsOf(made))
    for (const { instance, bytes } of made) expect((await fileAt(north, instance)).equals(bytes)).toBe(true)
    await expect.poll(() => federation.proxy.stdout(), delivery).toContain('spool-delivered')
    await expect.poll(() => heldBy(south, study), delivery).toEqual(uidsOf(made))
    expect(await datasets(`/dicom-web/studies/${study}/instances`)).toHaveLength(3)
  })
})
