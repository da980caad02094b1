import type { Cluster, Patience, Target } from '../clusters/cluster.ts'
import type { Part } from '../dicom/multipart.ts'
import { firstGiven } from './failure.ts'
import { identified } from './relay.ts'
import { type Copies, resumable } from './resume.ts'
import type { InstancesRequest } from './service.ts'
import type { Item } from './union.ts'

/** Values of `transfer-syntax`, best first. */
export const formsOf = ({ transferSyntax, orAsStored }: InstancesRequest) =>
  orAsStored ? [transferSyntax, '*'] : [transferSyntax]

interface FetchOptions {
  readonly signal: AbortSignal
  readonly maxHeldBack: number
  readonly copies: (target: Required<Target>, transferSyntax: string) => Copies
}

/** What a cluster has below a target; what is too large to be held back goes on from another copy. */
export async function* fetchInstances(
  cluster: Cluster,
  { target, patient = false, ...request }: InstancesRequest & Patience,
  { signal, maxHeldBack, copies }: FetchOptions,
): AsyncGenerator<Item<Part>> {
  // One image the archive cannot decode spoils its answer for a whole study.
  const { form, parts } = await firstGiven(formsOf({ target, ...request }), async (form) => {
    const asked = { kind: 'instances', target, transferSyntax: form, patient } as const
    return { form, parts: await cluster.retrieve(asked, signal) }
  })
  for await (const { instance, series, value } of identified(cluster, target, parts, maxHeldBack)) {
    yield { instance, value: resumable(value, copies({ study: target.study, series, instance }, form)) }
  }
}
