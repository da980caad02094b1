import { badRequest } from '../core/errors.ts'
import type { Tag } from './dataset.ts'
import { linkFields } from './private-dictionary.ts'
import { type Creators, resolveName } from './query-names.ts'
import { type Parameter, shownValue, valuesOf } from './query-parameters.ts'

const maxFields = 1_000

/** What `includefield` asks for, PS3.18 8.3.4.3. */
export interface IncludedFields {
  readonly tags: readonly Tag[] | 'all'
  /** The paths of the creator elements that private tags among them go by. */
  readonly creators: ReadonlySet<string>
}

/**
 * Keywords and tags, of a path into a sequence the whole sequence; `link` for all link attributes, `link.<name>` for
 * one; `all`. Throws `bad-request` for anything else.
 */
export function includedFields(parameters: readonly Parameter[], creators: Creators): IncludedFields {
  const names = valuesOf(parameters, 'includefield').flatMap((value) => value.split(',').map((name) => name.trim()))
  if (names.length > maxFields) throw badRequest(`includefield: more than ${maxFields} attributes`)
  const fields = names.filter((name) => name !== '' && name !== 'all').map((name) => fieldOf(name, creators))
  return {
    tags: names.includes('all') ? 'all' : [...new Set(fields.flatMap(({ tags }) => tags))],
    creators: new Set(fields.flatMap(({ creators }) => creators)),
  }
}

interface Field {
  readonly tags: readonly Tag[]
  readonly creators: readonly string[]
}

function fieldOf(name: string, creators: Creators): Field {
  if (name === 'link') return { tags: [...linkFields.values()], creators: [] }
  const byName = linkFields.get(name)
  if (byName !== undefined) return { tags: [byName], creators: [] }
  const resolved = resolveName(name, creators) ?? { problem: 'is no attribute' }
  if ('problem' in resolved) {
    throw badRequest(
      `includefield: ${shownValue(name)} ${resolved.problem}; expected keywords, tags, link, link.<name> or all`,
    )
  }
  // A private attribute is nothing without its creator.
  const shown = resolved.link ? [] : resolved.creators.filter((path) => !path.includes('.'))
  return { tags: [...resolved.path.slice(0, 1), ...shown], creators: resolved.creators }
}
