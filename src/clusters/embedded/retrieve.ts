import { join } from 'node:path'
import { ClusterError } from '../../core/outcome.ts'
import { type InstanceRow, transferSyntaxesOf } from '../../db/embedded-search.ts'
import type { Part, Parts } from '../../dicom/multipart.ts'
import { type LocatedFrames, locateFrames, openBulkdata } from '../../dicom/pixel-data.ts'
import { isUid } from '../../dicom/uid.ts'
import type { BulkdataRequest, FramesRequest, ObjectRequest, RetrieveRequest, Target } from '../cluster.ts'
import { readChunks, sizeOf } from './files.ts'
import { instancesOf, notHere, selectionOf } from './instances.ts'
import type { Index } from './search.ts'
import { damaged, StoredFile } from './stored-file.ts'

export interface Archive extends Index {
  readonly folder: string
}

/**
 * Begins an answer: what is asked for has been found and can be given. `until` ends the beginning, `signal` the
 * reading as well.
 */
export function retrieve(
  archive: Archive,
  request: RetrieveRequest,
  { until, signal }: { until: AbortSignal; signal: AbortSignal },
): Promise<Parts> {
  switch (request.kind) {
    case 'instances':
      return retrieveInstances(archive, request, { until, signal })
    case 'frames':
      return retrieveFrames(archive, request, { until, signal })
    case 'bulkdata':
      return retrieveBulkdata(archive, request, { until, signal })
    case 'rendered':
    case 'thumbnail':
      throw new ClusterError(archive.cluster, 'unsupported', 'renders no pictures')
  }
}

interface Signals {
  readonly until: AbortSignal
  readonly signal: AbortSignal
}

async function retrieveInstances(archive: Archive, request: ObjectRequest, { until, signal }: Signals): Promise<Parts> {
  const { target, transferSyntax } = request
  const stored = await transferSyntaxesOf(archive.db, archive.cluster, selectionOf(target))
  if (stored.length === 0) throw notHere(archive.cluster, target)
  if (!stored.every((uid) => isAcceptable(uid, transferSyntax))) throw asStoredOnly(archive, stored)
  // The first file is looked at before the answer begins: another cluster can still take its place.
  await firstOf(archive, target, until)
  return instanceParts(archive, target, signal)
}

const isAcceptable = (stored: string, wanted: string): boolean => wanted === '*' || wanted === '' || wanted === stored

const asStoredOnly = ({ cluster }: Archive, stored: readonly string[]) =>
  new ClusterError(cluster, 'unsupported', `gives this only as it is stored, in transfer syntax ${stored.join(', ')}`)

async function firstOf(archive: Archive, target: Target, signal: AbortSignal): Promise<InstanceRow> {
  for await (const row of instancesOf(archive, target, { metadata: false, signal })) {
    await checkFile(archive, row)
    return row
  }
  throw notHere(archive.cluster, target)
}

async function checkFile(archive: Archive, row: InstanceRow): Promise<string> {
  const path = join(archive.folder, row.path)
  const size = await sizeOf(path).catch((error: unknown) => {
    throw damaged(archive.cluster, row.sopInstanceUID, error)
  })
  if (size !== row.size) throw damaged(archive.cluster, row.sopInstanceUID)
  return path
}

async function* instanceParts(archive: Archive, target: Target, signal: AbortSignal): AsyncGenerator<Part, void, void> {
  for await (const row of instancesOf(archive, target, { metadata: false, signal })) {
    const path = await checkFile(archive, row)
    yield {
      contentType: `application/dicom; transfer-syntax=${row.transferSyntaxUID}`,
      length: row.size,
      body: readChunks(path, row.size, signal),
    }
  }
}

async function retrieveFrames(archive: Archive, request: FramesRequest, { until, signal }: Signals): Promise<Parts> {
  const row = await firstOf(archive, request.target, until)
  await using file = fileOf(archive, row)
  const located = await locateFrames(file)
  if (!takesFrames(located, request)) throw asStoredOnly(archive, [located.transferSyntaxUID])
  // A number out of range is found now; what this opens is not read.
  for (const frame of request.frames) located.open(frame)
  return frameParts(file, located, request.frames, signal)
}

const fileOf = ({ folder }: Archive, { path, size }: InstanceRow) => new StoredFile(join(folder, path), size)

/** With a transfer syntax given, it decides; without one it is the default of the media type (PS3.18 8.7.3.3). */
function takesFrames(located: LocatedFrames, { mediaType, transferSyntax }: FramesRequest): boolean {
  const any = mediaType === '*/*' || mediaType === `${located.mediaType.split('/')[0]}/*`
  const named = mediaType === located.mediaType
  if (transferSyntax === '') return any || named
  const bytes = mediaType === 'application/octet-stream'
  return (any || named || bytes) && isAcceptable(located.transferSyntaxUID, transferSyntax)
}

async function* frameParts(
  file: StoredFile,
  located: LocatedFrames,
  frames: readonly number[],
  signal: AbortSignal,
): AsyncGenerator<Part, void, void> {
  await using _ = file
  for (const frame of frames) {
    signal.throwIfAborted()
    const { body, length } = located.open(frame)
    const contentType = `${located.mediaType}; transfer-syntax=${located.transferSyntaxUID}`
    yield { contentType, length, body }
  }
}

async function retrieveBulkdata(
  archive: Archive,
  { path, origin }: BulkdataRequest,
  { until, signal }: Signals,
): Promise<Parts> {
  // Elements are named here as they are everywhere.
  const { target, element } = origin && origin.cluster !== archive.cluster ? origin : parsePath(archive, path)
  const row = await firstOf(archive, target, until)
  const file = fileOf(archive, row)
  try {
    const pieces = await openBulkdata(file, element)
    const total = pieces.length
    const parts = pieces.map(({ mediaType, length, body }) => ({ contentType: mediaType, length, body, total }))
    return bulkdataParts(file, parts, signal)
  } finally {
    await file.close()
  }
}

async function* bulkdataParts(
  file: StoredFile,
  parts: readonly Part[],
  signal: AbortSignal,
): AsyncGenerator<Part, void, void> {
  await using _ = file
  for (const part of parts) {
    signal.throwIfAborted()
    yield part
  }
}

/** What `metadata` wrote: `studies/{s}/series/{e}/instances/{i}/bulkdata/{element}`. */
const bulkdataPath = /^studies\/([^/]+)\/series\/([^/]+)\/instances\/([^/]+)\/bulkdata\/([\dA-F.]+)$/

function parsePath({ cluster }: Archive, path: string): { target: Required<Target>; element: string } {
  const [, study, series, instance, element = ''] = bulkdataPath.exec(path) ?? []
  if (isUid(study) && isUid(series) && isUid(instance)) return { target: { study, series, instance }, element }
  throw new ClusterError(cluster, 'not-found', 'has no bulk data at this address')
}
