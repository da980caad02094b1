import type { ClusterConfig, Limits } from '../config/schema.ts'
import type { Clock } from '../core/clock.ts'
import { deadline } from '../core/deadline.ts'
import { toError } from '../core/errors.ts'
import { ClusterError } from '../core/outcome.ts'
import { noTelemetry } from '../core/telemetry.ts'
import { type Dataset, firstString, type Tag } from '../dicom/dataset.ts'
import { readToEnd } from '../dicom/hold-back.ts'
import { tag } from '../dicom/tags.ts'
import { isUid } from '../dicom/uid.ts'
import { adviceFor } from './check-advice.ts'
import { type CheckReport, type Service, services, type Verdict } from './check-report.ts'
import { type Sample, sampleOf } from './check-sample.ts'
import type { Cluster, RetrieveRequest, SearchRequest, Target } from './cluster.ts'
import { createDicomwebCluster } from './dicomweb.ts'
import { DicomwebClient } from './dicomweb-client.ts'

export interface CheckOptions {
  readonly site: string
  readonly limits: Limits
  readonly clock: Clock
  /** Its place in the configuration, to name keys by: `clusters[1]`. */
  readonly index: number
  readonly signal: AbortSignal
}

const timedSearches = 3
const maxCountedStudies = 1000
const slowMs = 1000
const sampledStudies = 5
const sampledInstances = 10
const smallRenderings = 'has no thumbnails; small renderings take their place'

/**
 * Asks a cluster for a little of everything, and stores nothing. Never throws for what is wrong with the cluster or
 * its configuration: that is what the report is about.
 */
export async function checkCluster(config: ClusterConfig, options: CheckOptions): Promise<CheckReport> {
  const { id: cluster, role } = config
  const base = { cluster, role, address: config.dicomweb ?? 'embedded', services: untested(), habits: [] }
  if (config.dicomweb === undefined) return { ...base, reached: true, problems: [] }
  try {
    const check = new Check({ ...config, dicomweb: config.dicomweb }, options)
    return await check.run().finally(() => check.close())
  } catch (thrown) {
    const at = `clusters[${options.index}]`
    const problem = options.signal.aborted ? tooSlow : adviceFor(thrown, config, at)
    return { ...base, reached: false, problems: [problem] }
  }
}

const tooSlow =
  'it answers so slowly that the check was given up: look at the load of the archive and at the line to it'

const untested = (): Record<Service, Verdict> =>
  Object.fromEntries(services.map((service) => [service, 'not tested'])) as Record<Service, Verdict>

/** One check of one cluster. */
class Check {
  readonly #config: ClusterConfig & { readonly dicomweb: string }
  readonly #options: CheckOptions
  readonly #at: string
  readonly #cluster: Cluster
  readonly #client: DicomwebClient
  readonly #services = untested()
  readonly #habits: string[] = []
  readonly #problems: string[] = []

  constructor(config: ClusterConfig & { readonly dicomweb: string }, options: CheckOptions) {
    const { limits, clock, site } = options
    this.#config = config
    this.#options = options
    this.#at = `clusters[${options.index}]`
    this.#cluster = createDicomwebCluster(config, { limits, clock, site, telemetry: noTelemetry })
    this.#client = new DicomwebClient(config, { clock, site, telemetry: noTelemetry })
  }

  async close(): Promise<void> {
    await Promise.all([this.#cluster.close(), this.#client.close()])
  }

  async run(): Promise<CheckReport> {
    const latencyMs = await this.#latency()
    this.#services.search = 'yes'
    const studies = await this.#countStudies()
    const [row] = studies.rows
    const samples = await this.#samples(studies.rows.slice(0, sampledStudies))
    if (row) await this.#lookForHabits(row)
    await this.#try('search all series', () => this.#search({ level: 'series' }))
    await this.#try('search all instances', () => this.#search({ level: 'instance' }))
    await this.#tryRetrievals(samples)
    await this.#tryStore()
    this.#judge(latencyMs)
    const { id, role, dicomweb } = this.#config
    return {
      cluster: id,
      role,
      address: dicomweb,
      reached: true,
      problems: this.#problems,
      latencyMs,
      studies: { count: studies.rows.length, orMore: studies.truncated },
      services: this.#services,
      habits: this.#habits,
    }
  }

  /** The first search may pay for the connection; the median does not care. Throws when the cluster does not answer. */
  async #latency(): Promise<number> {
    const times: number[] = []
    for (let time = 0; time < timedSearches; time++) {
      times.push((await this.#bounded((signal) => this.#cluster.probe(signal))).latencyMs)
    }
    return times.sort((a, b) => a - b)[Math.floor(timedSearches / 2)] ?? 0
  }

  #countStudies() {
    return this.#search({ includeFields: [tag.PatientID], limit: maxCountedStudies })
  }

  /** Instances to try retrievals with, of different studies, pictures first: others may have no frames to draw. */
  async #samples(rows: readonly Dataset[]): Promise<Sample[]> {
    const samples: Sample[] = []
    for (const row of rows) {
      const study = firstString(row, tag.StudyInstanceUID)
      if (!isUid(study)) continue
      const includeFields = [tag.SeriesInstanceUID, tag.SOPClassUID, tag.Rows]
      const request = { level: 'instance', study, includeFields, limit: sampledInstances } as const
      const found = await this.#try('search below', () => this.#search(request))
      if (!found) break
      const listed = found.rows.map((it) => sampleOf(study, it)).filter((it) => it !== undefined)
      samples.push(...listed.filter(({ picture }) => picture).slice(0, 1), ...listed.slice(0, 1))
    }
    return samples.sort((a, b) => Number(b.picture) - Number(a.picture))
  }

  async #tryRetrievals(samples: readonly Sample[]): Promise<void> {
    const [target] = samples.map((sample) => sample.target)
    if (!target) return
    const bulk = await this.#try('metadata', () => this.#firstBulkdata(target))
    await this.#tryRetrieval('instances', [{ kind: 'instances', target, transferSyntax: '*' }])
    if (bulk) await this.#tryRetrieval('bulk data', [{ kind: 'bulkdata', path: bulk }])
    await this.#tryPictures(samples.filter(({ picture }) => picture).map((sample) => sample.target))
  }

  /** A service is there when one of the pictures can be had by it: a single one may be damaged. */
  async #tryPictures(targets: readonly Required<Target>[]): Promise<void> {
    if (targets.length === 0) return
    const pixels = { frames: [1], mediaType: 'application/octet-stream', transferSyntax: '*' }
    const pictures = targets.map((target) => ({ target, mediaTypes: ['image/jpeg', 'image/png'], parameters: {} }))
    await this.#tryRetrieval(
      'frames',
      targets.map((target) => ({ kind: 'frames', target, ...pixels })),
    )
    await this.#tryRetrieval(
      'rendered',
      pictures.map((picture) => ({ kind: 'rendered', ...picture })),
    )
    await this.#tryRetrieval(
      'thumbnail',
      pictures.map((picture) => ({ kind: 'thumbnail', ...picture })),
    )
  }

  async #firstBulkdata(target: Target): Promise<string | undefined> {
    return this.#bounded(async (signal) => {
      for await (const dataset of this.#cluster.metadata(target, signal)) {
        return Object.values(dataset).find(({ BulkDataURI }) => BulkDataURI !== undefined)?.BulkDataURI
      }
      throw new ClusterError(this.#config.id, 'malformed', 'has no metadata of an instance it lists')
    })
  }

  /** Tries one request after the other until one succeeds. */
  async #tryRetrieval(service: Service, requests: readonly RetrieveRequest[]): Promise<void> {
    await this.#try(service, async () => {
      let failure: unknown
      for (const request of requests) {
        const succeeded = await this.#firstPart(request).then(
          () => true,
          (thrown: unknown) => {
            failure = thrown
            return false
          },
        )
        this.#options.signal.throwIfAborted()
        if (succeeded) return
      }
      throw failure
    })
  }

  #firstPart(request: RetrieveRequest): Promise<void> {
    return this.#bounded(async (signal) => {
      for await (const part of await this.#cluster.retrieve(request, signal)) {
        await readToEnd(part.body)
        break
      }
    })
  }

  /** A message without parts stores nothing anywhere, and is answered wherever storing is offered. */
  async #tryStore(): Promise<void> {
    const type = 'multipart/related; type="application/dicom"; boundary="nothing"'
    const body = async function* () {
      yield Buffer.from('--nothing--\r\n')
    }
    await this.#try('store', () =>
      this.#bounded(async (signal) => {
        const content = { type, body: body() }
        const call = { method: 'POST', path: '/studies', accept: 'application/dicom+json', content, signal } as const
        const exchange = await this.#client.exchange(call)
        exchange.discard()
        const { status } = exchange
        // 400 and 409 say that the message was read and found empty.
        if (status < 300 || status === 400 || status === 409) return
        throw new ClusterError(this.#config.id, 'unsupported', `answers ${status} to an empty message`, { status })
      }),
    )
  }

  async #lookForHabits(row: Dataset): Promise<void> {
    const study = firstString(row, tag.StudyInstanceUID)
    if (study === undefined) return
    const self = { path: [tag.StudyInstanceUID], value: study }
    const finds = async (path: readonly Tag[], value: string) =>
      (await this.#search({ constraints: [self, { path, value }] }).catch(() => undefined))?.rows.length === 1
    const nowhere = [tag.RequestAttributesSequence, tag.RequestedProcedureID]
    if (await finds(nowhere, 'DICOMWEB-LINK-CHECK')) {
      this.#habits.push('ignores keys it does not support and gives everything; its answers are filtered here')
    }
    const id = firstString(row, tag.PatientID) ?? ''
    const swapped = id === id.toUpperCase() ? id.toLowerCase() : id.toUpperCase()
    if (swapped !== id && (await finds([tag.PatientID], swapped))) {
      this.#habits.push('matches without regard to case; its answers are filtered here')
    }
  }

  #judge(latencyMs: number): void {
    const { role, updates, timeoutMs } = this.#config
    if (latencyMs > slowMs || latencyMs > timeoutMs / 2) {
      this.#problems.push(
        `slow: the smallest search takes ${Math.round(latencyMs)} ms; ${this.#at}.timeoutMs is ${timeoutMs}`,
      )
    }
    const receives = role === 'home' || (role === 'linked' && updates !== 'none')
    if (receives && this.#services.store === 'no') {
      const remedy = role === 'home' ? 'choose another home' : `set ${this.#at}.updates to none`
      this.#problems.push(`nothing can be stored in it, as its role ${role} asks for; allow STOW-RS or ${remedy}`)
    }
    if (this.#services.instances === 'no') {
      this.#problems.push('a study it lists cannot be retrieved; allow WADO-RS')
    }
  }

  #search(request: Partial<SearchRequest>) {
    const whole = { level: 'study', constraints: [], includeFields: [], limit: 1, ...request } as const
    return this.#bounded((signal) => this.#cluster.search(whole, signal))
  }

  /** Says `yes` or `no` of a service; other failures than "I do not have that" are told as well. */
  async #try<T>(service: Service, ask: () => Promise<T>): Promise<T | undefined> {
    try {
      const answer = await ask()
      this.#services[service] = 'yes'
      return answer
    } catch (thrown) {
      this.#options.signal.throwIfAborted()
      this.#services[service] = 'no'
      const instead = service === 'thumbnail' && this.#services.rendered === 'yes'
      this.#habits.push(instead ? smallRenderings : `${service}: ${adviceOf(thrown)}`)
      return undefined
    }
  }

  /** A retrieval that begins in time may go on for as long again, and no longer. */
  async #bounded<T>(ask: (signal: AbortSignal) => Promise<T>): Promise<T> {
    using wait = deadline(this.#options.clock, this.#config.timeoutMs * 2, this.#options.signal)
    return await ask(wait.signal)
  }
}

const adviceOf = (thrown: unknown): string => toError(thrown).message.replace(/^cluster \S+: /, '')
