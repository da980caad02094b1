import type { Cluster } from '../clusters/cluster.ts'
import { clustersForCommand } from '../compose/commands.ts'
import { loadConfig } from '../config/load.ts'
import type { Config } from '../config/schema.ts'
import { systemClock as clock } from '../core/clock.ts'
import { badRequest, LinkError } from '../core/errors.ts'
import { parseUid } from '../dicom/uid.ts'
import { matchingRules, parseMappings } from '../link/mappings.ts'
import { createFactsOfStudy, type FoundFacts } from '../mappings/facts.ts'
import { readMappingsFile } from '../mappings/service.ts'
import { shippedMappings } from '../mappings/shipped.ts'
import type { Console } from './console.ts'
import { renderTest } from './mappings-text.ts'

export interface TestOptions {
  readonly config?: string
  readonly mappings?: string
  readonly study?: string
  readonly description?: string
  readonly procedureCode?: readonly string[]
  readonly modality?: readonly string[]
  readonly bodyPart?: readonly string[]
  readonly institution?: readonly string[]
  readonly json?: boolean
}

/** Rules told beside the one that fires. */
const maxNextRules = 5

/** Says which rules fire for a study that is described, or is somewhere in the clusters. */
export async function test(options: TestOptions, { say, interrupted, end }: Console): Promise<void> {
  const config = options.config === undefined ? undefined : await loadConfig(options.config, process.env)
  const path = options.mappings ?? config?.mappings ?? shippedMappings()
  const mappings = parseMappings(await readMappingsFile(path), path)
  const { facts, warnings } = await factsFor(options, config, interrupted)
  const rules = matchingRules(mappings, facts, maxNextRules + 1)
  const result = { path, digest: mappings.digest, facts, warnings, ...rules }
  say(options.json ? JSON.stringify(result, null, 2) : renderTest(result))
  end(warnings.length > 0 ? 1 : 0)
}

async function factsFor(
  options: TestOptions,
  config: Config | undefined,
  interrupted: Console['interrupted'],
): Promise<FoundFacts> {
  const { description, procedureCode, modality, bodyPart, institution, study } = options
  const given = [description, procedureCode, modality, bodyPart, institution].some((it) => it !== undefined)
  if (study === undefined && !given) throw badRequest('--study: missing; give a study, or describe one: see --help')
  if (study !== undefined && given) throw badRequest('--study: not together with a description, it has its own')
  if (study === undefined) {
    const facts = {
      studyDescription: description ?? '',
      procedureCodes: procedureCode ?? [],
      modalities: modality ?? [],
      bodyParts: bodyPart ?? [],
      institutions: institution ?? [],
    }
    return { facts, warnings: [] }
  }
  if (!config) throw badRequest('--config: missing; a study is looked for in the clusters it names')
  return factsOfConfigured(config, study, interrupted())
}

async function factsOfConfigured(config: Config, text: string, signal: AbortSignal): Promise<FoundFacts> {
  const study = parseUid(text, '--study')
  await using configured = clustersForCommand(config)
  const clusters: Cluster[] = []
  const closed: string[] = []
  for (const { id, open } of configured.all) {
    try {
      clusters.push(await open())
    } catch (thrown) {
      if (!(thrown instanceof LinkError)) throw thrown
      closed.push(`cluster ${id} cannot be asked: ${thrown.message}`)
    }
  }
  const { maxRowsPerCluster } = config.limits
  const find = createFactsOfStudy({ clusters, queries: new Map(), clock, maxRowsPerCluster })
  const { facts, warnings } = await find(study, { name: 'console', audience: 'internal' }, signal)
  return { facts, warnings: [...closed, ...warnings] }
}
