import type { Cluster } from '../../src/clusters/cluster.ts'
import type { Audience } from '../../src/core/audience.ts'
import { parseQuery } from '../../src/dicom/query.ts'
import { parseMappings } from '../../src/link/mappings.ts'
import type { LinkRecord } from '../../src/link/record.ts'
import type { ClusterRules } from '../../src/query/plan.ts'
import { createQueryService, type QueryAnswer, type QueryDependencies } from '../../src/query/service.ts'
import { FakeClock } from './fake-clock.ts'

export interface QuerySetup extends Partial<Omit<QueryDependencies, 'clusters' | 'rules' | 'link'>> {
  readonly rules?: Readonly<Record<string, Partial<ClusterRules>>>
  readonly queries?: QueryDependencies['rules']['queries']
  readonly maxRowsPerCluster?: number
  readonly records?: readonly LinkRecord[]
  /** Instances at home that came from other sites, by study. */
  readonly visitors?: ReadonlyMap<string, number>
  readonly mappings?: string
}

const noTables = 'specialty: []\nbodyPart: []'

/** A query service over some clusters, asked as a client would. */
export function queryOver(clusters: readonly Cluster[], setup: QuerySetup = {}) {
  const {
    rules = {},
    queries = new Map(),
    maxRowsPerCluster = 1000,
    records = [],
    visitors = new Map<string, number>(),
    mappings = noTables,
    ...rest
  } = setup
  const tables = parseMappings(mappings, 'mappings.yaml')
  const service = createQueryService({
    clusters,
    rules: {
      clusters: new Map(Object.entries(rules).map(([id, own]) => [id, { constrained: false, peer: false, ...own }])),
      queries,
      maxRowsPerCluster,
    },
    link: {
      records: async (studies) =>
        new Map(records.flatMap((record) => (studies.includes(record.study) ? [[record.study, record]] : []))),
      visitors: async (studies) => new Map(studies.map((study) => [study, visitors.get(study) ?? 0])),
      mappings: () => tables,
    },
    maxResults: 100,
    maxSnapshotRows: 50_000,
    clock: new FakeClock(),
    partial: { internal: 'warn', external: 'warn' },
    index: { remember: () => undefined, countAt: async () => undefined },
    ...rest,
  })
  const base = 'https://proxy.example/dicom-web'
  return (
    search: string,
    options: { level?: 'study' | 'series' | 'instance'; audience?: Audience; name?: string; signal?: AbortSignal } = {},
  ): Promise<QueryAnswer> => {
    const { level = 'study', audience = 'internal', name = 'tester', signal = new AbortController().signal } = options
    return service.search({ level, query: parseQuery(level, search), base, caller: { name, audience } }, signal)
  }
}
