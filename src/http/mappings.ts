import type { Context } from 'hono'
import type { Config } from '../config/schema.ts'
import { badRequest, LinkError } from '../core/errors.ts'
import { parseUid } from '../dicom/uid.ts'
import { type Mapped, type Mappings, matchingRules, type StudyFacts } from '../link/mappings.ts'
import type { FactsOfStudy, FoundFacts } from '../mappings/facts.ts'
import type { MappingsService } from '../mappings/service.ts'
import { linkPath } from './addresses.ts'
import { answerJson, warn } from './answer.ts'
import { callerOf } from './caller.ts'
import type { Env, Route } from './context.ts'

export interface MappingsRoutesDependencies {
  readonly config: Pick<Config, 'site'>
  readonly mappings: MappingsService
  /** What the tables look at in a study, see `mappings/facts.ts`. */
  readonly factsOfStudy: FactsOfStudy
}

const path = `${linkPath}/mappings`

/** The tables for specialty and body part: what they are, whether a new file is good, and what they make of a study. */
export const mappingsRoutes = (deps: MappingsRoutesDependencies): Route[] => [
  { method: 'GET', path, scope: 'admin', handle: (c) => show(c, deps) },
  { method: 'POST', path: `${path}/reload`, scope: 'admin', handle: (c) => reload(c, deps) },
  { method: 'GET', path: `${path}/test`, scope: 'query', handle: (c) => test(c, deps) },
]

function show(c: Context<Env>, { mappings }: MappingsRoutesDependencies): Response {
  const { specialty, bodyPart, digest } = mappings.current()
  return answerJson(c, { digest, loadedAt: mappings.loadedAt(), specialty, bodyPart })
}

async function reload(c: Context<Env>, { mappings }: MappingsRoutesDependencies): Promise<Response> {
  try {
    const { digest, specialty, bodyPart } = await mappings.reload()
    const rules = { specialty: specialty.length, bodyPart: bodyPart.length }
    return answerJson(c, { digest, loadedAt: mappings.loadedAt(), rules })
  } catch (thrown) {
    if (!(thrown instanceof LinkError) || thrown.code !== 'config') throw thrown
    throw new LinkError('conflict', `the tables in force stay: ${thrown.message}`, { cause: thrown })
  }
}

async function test(c: Context<Env>, deps: MappingsRoutesDependencies): Promise<Response> {
  const { facts, warnings } = await factsIn(c, deps)
  warn(c, deps.config.site, warnings)
  return answerJson(c, { facts, ...explainMapping(deps.mappings.current(), facts) })
}

/** More than anybody wants to read. */
const maxNextRules = 20

/** Which rule of each table fires for a study, why, and which would have fired without it. */
function explainMapping(mappings: Mappings, facts: StudyFacts) {
  const { specialty, bodyPart } = matchingRules(mappings, facts, maxNextRules + 1)
  return { digest: mappings.digest, specialty: firing(specialty), bodyPart: firing(bodyPart) }
}

const firing = ([first, ...next]: readonly Mapped[]) => ({ ...(first ?? noRule), next })

const noRule: Mapped = { values: [], why: 'no rule matches' }

/** The parameters that describe a study, and whether a study has more than one of it. */
const described = {
  StudyDescription: 'once',
  ProcedureCode: 'repeatable',
  Modality: 'repeatable',
  BodyPartExamined: 'repeatable',
  InstitutionName: 'repeatable',
} as const
const names: readonly string[] = Object.keys(described)
const maxValues = 64
const maxLength = 1024

async function factsIn(c: Context<Env>, { factsOfStudy }: MappingsRoutesDependencies): Promise<FoundFacts> {
  const query = new URL(c.req.url).searchParams
  for (const name of query.keys()) check(name, query.getAll(name))
  const study = query.get('study')
  const given = [...query.keys()].find((name) => name !== 'study')
  if (study === null) {
    if (given === undefined) throw badRequest(`study: missing; expected a study, or any of ${names.join(', ')}`)
    return { facts: describedStudy(query), warnings: [] }
  }
  if (given !== undefined) throw badRequest(`${given}: not together with study, whose own values are taken`)
  return factsOfStudy(parseUid(study, 'study'), callerOf(c), c.env.exchange.signal)
}

function check(name: string, values: readonly string[]): void {
  if (name !== 'study' && !names.includes(name)) {
    throw badRequest(`${name.slice(0, 80)}: unknown parameter; expected study or any of ${names.join(', ')}`)
  }
  const once = name === 'study' || described[name as keyof typeof described] === 'once'
  if (once && values.length > 1) throw badRequest(`${name}: given more than once`)
  if (values.length > maxValues) throw badRequest(`${name}: given more than ${maxValues} times`)
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
  if (values.some((value) => value.length > maxLength || /[\u0000-\u001f\u007f]/.test(value))) {
    throw badRequest(`${name}: expected at most ${maxLength} characters, none of them a control character`)
  }
}

const describedStudy = (query: URLSearchParams): StudyFacts => ({
  studyDescription: query.get('StudyDescription') ?? '',
  procedureCodes: query.getAll('ProcedureCode'),
  modalities: query.getAll('Modality'),
  bodyParts: query.getAll('BodyPartExamined'),
  institutions: query.getAll('InstitutionName'),
})
