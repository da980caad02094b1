import type { IncomingMessage, ServerResponse } from 'node:http'
import type { StoreResult } from '../../src/clusters/cluster.ts'
import { readMultipart } from '../../src/dicom/multipart.ts'
import { sniffInstance } from '../../src/dicom/part10.ts'
import { tag } from '../../src/dicom/tags.ts'
import { type FakeArchive, json, status } from '../support/fake-archive.ts'
import type { MadeInstance } from '../support/made-instance.ts'
import { bytesOf } from './setup.ts'

/**
 * An archive in memory that keeps the first content of a UID and acknowledges any, as real ones do, and can be told to
 * answer otherwise.
 */
export class Shelf {
  readonly held = new Map<string, { study: string; series: string; content: Buffer }>()
  /** UIDs in each STOW request. */
  readonly requests: string[][] = []
  /** Takes the place of its answer to a STOW request; status 0: the connection is lost. */
  answer: ((listed: readonly string[]) => { status: number; body: unknown }) | undefined

  attach(archive: FakeArchive): void {
    archive
      .on(/studies\/[\d.]+\/instances\?/, (request, response) => {
        const study = /studies\/([\d.]+)/.exec(request.url ?? '')?.[1]
        const rows = [...this.held].filter(([, it]) => it.study === study)
        json(rows.map(([uid, it]) => ({ [tag.SOPInstanceUID]: ui(uid), [tag.SeriesInstanceUID]: ui(it.series) })))(
          request,
          response,
        )
      })
      .on(/instances\/[\d.]+$/, (request, response) => {
        const held = this.held.get(/instances\/([\d.]+)$/.exec(request.url ?? '')?.[1] ?? '')
        if (!held) return status(404)(request, response)
        response.writeHead(200, { 'Content-Type': 'application/dicom' }).end(held.content)
      })
      .on(/studies$/, (request, response) => this.take(request, response))
  }

  /** STOW-RS. */
  async take(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const stored = await this.#read(request)
    const { status: code, body } = this.answer?.(stored) ?? { status: 200, body: storedList(stored) }
    if (code === 0) return void request.socket.destroy()
    response.writeHead(code, { 'Content-Type': 'application/dicom+json' }).end(JSON.stringify(body))
  }

  put({ study, series, instance, bytes }: MadeInstance): void {
    if (this.held.has(instance)) return
    this.held.set(instance, { study, series, content: Buffer.from(bytes) })
  }

  async #read(request: IncomingMessage): Promise<string[]> {
    const boundary = /boundary="([^"]+)"/.exec(request.headers['content-type'] ?? '')?.[1] ?? ''
    const stored: string[] = []
    for await (const part of readMultipart(request, boundary, { maxParts: 1000, maxPartBytes: 1024 ** 3 })) {
      if (part.contentType !== 'application/dicom') throw new Error(`a part of type ${part.contentType}`)
      const { header, body } = await sniffInstance(part.body, { maxHeaderBytes: 1024 ** 2 })
      const { studyInstanceUID: study, seriesInstanceUID: series, sopInstanceUID: instance } = header
      this.put({ study, series, instance, bytes: await bytesOf(body) })
      stored.push(instance)
    }
    this.requests.push(stored)
    return stored
  }
}

const ui = (value: string) => ({ vr: 'UI', Value: [value] })
export const item = (uid: string, more: object = {}) => ({ [tag.ReferencedSOPInstanceUID]: ui(uid), ...more })
export const us = (value: number) => ({ vr: 'US', Value: [value] })
export const storedList = (uids: readonly string[]) => ({
  [tag.ReferencedSOPSequence]: { vr: 'SQ', Value: uids.map((uid) => item(uid)) },
})
/** `stored`, or the failure reason of each. */
export const outcomes = (results: readonly StoreResult[]) =>
  results.map(({ outcome }) => (outcome.status === 'stored' ? 'stored' : outcome.failureReason))
