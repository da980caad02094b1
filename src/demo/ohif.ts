import { spawn } from 'node:child_process'
import { createHash, randomUUID } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { access, mkdir, readdir, rename, rm, stat } from 'node:fs/promises'
import { homedir } from 'node:os'
import { basename, join, resolve } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { extract } from 'tar'
import { toError } from '../core/errors.ts'

/** A packed npm package with a prebuilt static site in `package/dist`. */
export interface ViewerPackage {
  readonly name: string
  readonly version: string
  /** Of the packed file. */
  readonly bytes: number
  /** SHA-512 of the packed file in base64: a registry or a mirror that serves something else is refused. */
  readonly sha512: string
}

/** The OHIF viewer that the proxy is tested with. */
export const ohif: ViewerPackage = {
  name: '@ohif/app',
  version: '3.13.2',
  bytes: 49_906_651,
  sha512: 'WZdxmpmG7rqFgW9ZJLcbgr3XCtLi1KDNPoMaeY5PPe6j4G4fjEjjkycZM6C6Zk2F87BKxFfpq+jd5xXZB9E8EA==',
}

export interface ViewerProgress {
  readonly receivedBytes: number
  readonly totalBytes: number
}

/** What came of fetching: the folder with index.html, or why there is none, as a sentence for an administrator. */
export type ViewerResult =
  | { readonly status: 'ready'; readonly dist: string }
  | { readonly status: 'unavailable'; readonly reason: string }

/** Writes the packed file of a package into an existing folder and returns its path. */
export type Pack = (viewer: ViewerPackage, folder: string, signal: AbortSignal) => Promise<string>

export interface FetchOptions {
  /** Called at most twice a second, whenever more of the package is there. */
  readonly onProgress?: (progress: ViewerProgress) => void
  readonly signal?: AbortSignal
  readonly viewer?: ViewerPackage
  readonly pack?: Pack
}

const fetchTimeoutMs = 900_000
const progressEveryMs = 500
const abandonedAfterMs = 3_600_000

/**
 * Where the viewer is kept: beside package.json in a checkout, in the data directory of an installed package, whose
 * own folder may be read-only or shared.
 */
export const viewerCacheFolder = (dataDir: string): string =>
  import.meta.filename.endsWith('.ts') ? resolve(import.meta.dirname, '../../.cache') : resolve(dataDir, 'cache')

/**
 * The viewer's static site, fetched once into `cacheFolder` and taken from there ever after. Never throws: without a
 * network the result says so. The site appears by one rename, so a crash leaves no half site and two processes that
 * fetch at once end with the same one.
 */
export const fetchViewer = async (cacheFolder: string, options: FetchOptions = {}): Promise<ViewerResult> => {
  const { viewer = ohif, pack = npmPack } = options
  const dist = join(cacheFolder, `ohif-${viewer.version}`)
  const staging = join(cacheFolder, `.fetching-${randomUUID()}`)
  const deadline = AbortSignal.timeout(fetchTimeoutMs)
  const signal = options.signal ? AbortSignal.any([options.signal, deadline]) : deadline
  try {
    if (await exists(join(dist, 'index.html'))) return { status: 'ready', dist }
    await mkdir(staging, { recursive: true })
    await removeAbandoned(cacheFolder)
    using _progress = reportProgress(staging, viewer, options.onProgress)
    const file = await pack(viewer, staging, signal)
    await verify(file, viewer, signal)
    await unpack(file, staging, signal)
    await publish(join(staging, 'site'), dist)
    return { status: 'ready', dist }
  } catch (thrown) {
    return { status: 'unavailable', reason: explain(toError(thrown), viewer, deadline) }
  } finally {
    await rm(staging, { recursive: true, force: true }).catch(() => undefined)
  }
}

/** The viewer as it stands at a moment, for whoever serves it. */
export type ViewerState = ViewerResult | ({ readonly status: 'fetching' } & ViewerProgress)

export interface ViewerFetch {
  state(): ViewerState
  /** Resolves with the end of it; never rejects. */
  readonly done: Promise<ViewerResult>
}

/** `fetchViewer` in the background, so that nothing waits for it. */
export const startViewer = (cacheFolder: string, options: FetchOptions = {}): ViewerFetch => {
  const { viewer = ohif } = options
  let state: ViewerState = { status: 'fetching', receivedBytes: 0, totalBytes: viewer.bytes }
  const onProgress = (progress: ViewerProgress) => {
    if (state.status === 'fetching') state = { status: 'fetching', ...progress }
    options.onProgress?.(progress)
  }
  const done = fetchViewer(cacheFolder, { ...options, onProgress }).then((result) => {
    state = result
    return result
  })
  return { state: () => state, done }
}

const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  )

/** What an earlier process left when it was killed while fetching. */
const removeAbandoned = async (folder: string): Promise<void> => {
  const names = (await readdir(folder)).filter((name) => name.startsWith('.fetching-'))
  for (const path of names.map((name) => join(folder, name))) {
    const modified = await stat(path).then(
      (it) => it.mtimeMs,
      () => Date.now(),
    )
    if (Date.now() - modified > abandonedAfterMs) await rm(path, { recursive: true, force: true })
  }
}

const verify = async (file: string, viewer: ViewerPackage, signal: AbortSignal): Promise<void> => {
  const hash = createHash('sha512')
  await pipeline(createReadStream(file), hash, { signal })
  if (hash.digest('base64') !== viewer.sha512) {
    throw new Error('what the registry sent is not the published package (its SHA-512 differs)')
  }
}

/** Source maps stay out: a third of the size, and nobody debugs the viewer here. */
const unpack = async (file: string, staging: string, signal: AbortSignal): Promise<void> => {
  const cwd = join(staging, 'site')
  await mkdir(cwd)
  const filter = (path: string) => path.startsWith('package/dist/') && !path.endsWith('.map')
  await pipeline(createReadStream(file), extract({ cwd, strip: 2, filter, strict: true, noMtime: true }), { signal })
  if (!(await exists(join(cwd, 'index.html')))) throw new Error('the package has no dist/index.html')
}

/** One rename; when another process was faster its site stands, and it is the same one. */
const publish = async (site: string, dist: string): Promise<void> => {
  try {
    await rename(site, dist)
  } catch (thrown) {
    if (!(await exists(join(dist, 'index.html')))) throw thrown
  }
}

/**
 * npm tells no progress, but the growing file can be watched: in its cache while it comes in, in `staging` after.
 * The file is the only big one there, so the largest new file is the measure.
 */
const reportProgress = (staging: string, viewer: ViewerPackage, onProgress: FetchOptions['onProgress']): Disposable => {
  if (!onProgress) return { [Symbol.dispose]: () => undefined }
  const since = Date.now()
  const folders = [staging, join(process.env.npm_config_cache ?? join(homedir(), '.npm'), '_cacache', 'tmp')]
  let furthest = 0
  const measure = async () => {
    const sizes = await Promise.all(folders.map((folder) => largestSince(folder, since)))
    const received = Math.min(viewer.bytes, Math.max(...sizes))
    if (received <= furthest) return
    furthest = received
    onProgress({ receivedBytes: received, totalBytes: viewer.bytes })
  }
  const timer = setInterval(() => void measure(), progressEveryMs).unref()
  return { [Symbol.dispose]: () => clearInterval(timer) }
}

const largestSince = async (folder: string, since: number): Promise<number> => {
  const names = await readdir(folder).catch(() => [])
  const sizes = names.map((name) =>
    stat(join(folder, name)).then(
      (it) => (it.isFile() && it.mtimeMs >= since ? it.size : 0),
      () => 0,
    ),
  )
  return Math.max(0, ...(await Promise.all(sizes)))
}

/**
 * `npm pack`: it knows the registry, proxy and certificates of this machine, and a package it has seen before comes
 * from its cache without a network. Run by npm it is npm's own copy, otherwise the one on the path.
 */
const npmPack: Pack = (viewer, folder, signal) => {
  const npm = process.env.npm_execpath
  const [command, ...first] = npm && basename(npm).startsWith('npm-cli') ? [process.execPath, npm] : ['npm']
  const spec = `${viewer.name}@${viewer.version}`
  const args = [...first, 'pack', spec, '--prefer-offline', '--fetch-retries=1', '--ignore-scripts']
  return new Promise((fulfil, reject) => {
    const child = spawn(command, [...args, '--loglevel=error', '--pack-destination', folder], {
      cwd: folder,
      signal,
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    let complaint = ''
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      complaint = (complaint + text).slice(-4000)
    })
    child.once('error', reject)
    child.once('close', (code) => {
      if (code === 0) packedFile(folder).then(fulfil, reject)
      else reject(new Error(complaintOf(complaint, code)))
    })
  })
}

const packedFile = async (folder: string): Promise<string> => {
  const name = (await readdir(folder)).find((it) => it.endsWith('.tgz'))
  if (!name) throw new Error('npm pack wrote no file')
  return join(folder, name)
}

/** npm's complaint in our words: its own lines name hosts of this machine's network. */
const complaintOf = (text: string, status: number | null): string => {
  const code = /code (E\w+)/.exec(text)?.[1] ?? `status ${status}`
  if (code === 'E404') return 'the npm registry does not have it'
  if (/^E4\d\d$|^ENEEDAUTH$/.test(code)) return `the npm registry refuses it (${code})`
  if (/^(ENOTFOUND|EAI_AGAIN|ECONN|ETIMEDOUT|ENETUNREACH|EHOSTUNREACH|ENOTCACHED)/.test(code)) {
    return `the npm registry cannot be reached (${code})`
  }
  return `npm pack failed (${code})`
}

const explain = (error: Error, viewer: ViewerPackage, deadline: AbortSignal): string => {
  const what = `${viewer.name}@${viewer.version} could not be fetched`
  if (deadline.aborted) return `${what}: not complete after ${fetchTimeoutMs / 60_000} minutes.`
  if (error.name === 'AbortError') return `${what}: stopped.`
  if ('code' in error && error.code === 'ENOENT' && 'path' in error && error.path === 'npm') {
    return `${what}: npm is not installed on this machine.`
  }
  return `${what}: ${error.message}.`
}
