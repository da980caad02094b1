import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { Agent, type IncomingMessage, request } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Child, forked } from './child.ts'
import { type ImageInstance, type ImageStudy, type ImageStudyOptions, imageStudy } from './image-study.ts'

/** Studies to be stored as modalities do it: one request an instance, the next when the last one is acknowledged. */
export interface Sending {
  /** DICOMweb root. */
  readonly root: string
  /** Each client sends some of them, one after the other. */
  readonly studies: readonly ImageStudyOptions[]
  readonly clients: number
  /** Instances of all clients together; absent: as fast as they are taken. */
  readonly perSecond?: number
}

export interface Sent {
  /** By the identifier that Orthanc gives an instance, and when, in milliseconds since 1970. */
  readonly acknowledged: readonly (readonly [id: string, at: number])[]
  /** From the request to the end of its answer. */
  readonly ms: readonly number[]
  /** Instances that were not answered with 200. */
  readonly failed: number
  readonly totalMs: number
}

/** Clients in a process of their own. */
export interface Sender extends AsyncDisposable {
  send(sending: Sending): Promise<Sent>
}

export function startSender(): Sender {
  const child: Child = forked(import.meta.filename)
  return {
    send: (sending) => child.ask<Sent>({ ...sending }),
    [Symbol.asyncDispose]: () => child.end(),
  }
}

/** Milliseconds since 1970, finer than the wall clock and the same in all processes. */
export const instant = (): number => performance.timeOrigin + performance.now()

const agent = new Agent({ keepAlive: true, maxSockets: Number.POSITIVE_INFINITY })
const boundary = 'a-boundary-of-the-bench'
const head = Buffer.from(`--${boundary}\r\nContent-Type: application/dicom\r\n\r\n`)
const tail = Buffer.from(`\r\n--${boundary}--\r\n`)

async function store(root: string, instance: ImageInstance): Promise<number> {
  const length = head.length + instance.head.length + instance.pixels.length + tail.length
  const headers = {
    'Content-Type': `multipart/related; type="application/dicom"; boundary=${boundary}`,
    'Content-Length': length,
    Accept: 'application/dicom+json',
  }
  const sending = request(`${root}/studies`, { method: 'POST', agent, headers })
  for (const piece of [head, instance.head, instance.pixels]) sending.write(piece)
  sending.end(tail)
  const [response] = (await once(sending, 'response')) as [IncomingMessage]
  response.resume()
  await once(response, 'end')
  return response.statusCode ?? 0
}

/** What Orthanc makes of the UIDs. */
function orthancId({ patientId, uid }: ImageStudy, instance: ImageInstance): string {
  const hash = createHash('sha1').update([patientId, uid, instance.series, instance.uid].join('|')).digest('hex')
  return (hash.match(/.{8}/g) ?? []).join('-')
}

async function send({ root, studies, clients, perSecond = Number.POSITIVE_INFINITY }: Sending): Promise<Sent> {
  const made = studies.map(imageStudy)
  const [acknowledged, ms]: [[string, number][], number[]] = [[], []]
  let failed = 0
  const begun = instant()
  const client = async (_: unknown, index: number) => {
    const own = made.filter((_, at) => at % clients === index)
    const instances = own.flatMap((study) => study.instances.map((instance) => ({ study, instance })))
    for (const [turn, { study, instance }] of instances.entries()) {
      const due = begun + (1000 * (turn * clients + index)) / perSecond
      if (due > instant()) await sleep(due - instant())
      const asked = instant()
      const status = await store(root, instance)
      ms.push(instant() - asked)
      if (status === 200) acknowledged.push([orthancId(study, instance), instant()])
      else failed++
    }
  }
  await Promise.all(Array.from({ length: clients }, client))
  return { acknowledged, ms, failed, totalMs: instant() - begun }
}

if (import.meta.main) {
  process.on('message', async (sending: Sending) => process.send?.({ answer: await send(sending) }))
}
