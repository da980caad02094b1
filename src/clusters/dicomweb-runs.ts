import { holdBack } from '../dicom/hold-back.ts'
import type { Part, Parts } from '../dicom/multipart.ts'
import type { DicomwebClient } from './dicomweb-client.ts'

/** A list of frames is part of the address, which must stay well below 8 KB. */
const maxFramesPerRequest = 500

/** Cut wherever a number does not follow on a smaller one: archives give frames in ascending order, each once. */
export function runs(frames: readonly number[]): number[][] {
  const cut: number[][] = []
  for (const frame of frames) {
    const last = cut.at(-1)
    if (last && last.length < maxFramesPerRequest && frame > (last.at(-1) ?? 0)) last.push(frame)
    else cut.push([frame])
  }
  return cut
}

/**
 * As many parts as a run names. Fewer are an answer cut short; more are of an archive that does not heed the list, whose
 * first part need not be the first frame asked for: the last one is given when it is known that none follows, unless it
 * has more than `maxBytes`.
 */
export async function* exactly(
  count: number,
  parts: Parts,
  { client, maxBytes }: { readonly client: Pick<DicomwebClient, 'error'>; readonly maxBytes: number },
): AsyncGenerator<Part, void, void> {
  const iterator = parts[Symbol.asyncIterator]()
  const more = () => client.error('malformed', `sends more than the ${count} frames asked for`)
  let given = 0
  for await (const part of { [Symbol.asyncIterator]: () => iterator }) {
    if (++given > count) throw more()
    const last = given === count ? await holdBack(part, maxBytes) : undefined
    if (last?.held && (await goesOn(iterator))) throw more()
    yield last ?? part
  }
  if (given < count) throw client.error('truncated', `sent ${given} of ${count} frames`)
}

/** What breaks off behind the last part does that part no harm. */
const goesOn = async (parts: AsyncIterator<Part>): Promise<boolean> =>
  (await parts.next().catch(() => undefined))?.done === false
