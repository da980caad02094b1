import type { Cluster, InstanceUpload } from '../clusters/cluster.ts'
import { LinkError } from '../core/errors.ts'
import { demoStudies } from './studies.ts'

/** Fills the two clusters of the demo with generated studies, unless there is something in them already. */
export async function seedDemo(clusters: readonly Cluster[], say: (line: string) => void): Promise<void> {
  const signal = AbortSignal.timeout(120_000)
  const request = { level: 'study', constraints: [], includeFields: [], limit: 1 } as const
  const found = await Promise.all(clusters.map((cluster) => cluster.search(request, signal)))
  if (found.some(({ rows }) => rows.length > 0)) return
  say('generating studies for the demo …')
  for (const cluster of clusters) {
    const results = await cluster.store(uploadsFor(cluster), signal)
    const failed = results.filter(({ outcome }) => outcome.status === 'failed').length
    if (failed > 0) throw new LinkError('internal', `the demo could not store ${failed} of ${results.length} instances`)
    say(`cluster ${cluster.id}: ${results.length} instances stored`)
  }
}

async function* uploadsFor({ role }: Cluster): AsyncGenerator<InstanceUpload> {
  for await (const { cluster, header, body } of demoStudies()) {
    if (cluster === role) yield { header, body }
  }
}
