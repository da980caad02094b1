/**
 * A matcher for wildcard keys of PS3.4 C.2.2.2.4: `*` is any run of characters, none included, `?` is one. No regular
 * expression: a hostile key costs at most its length times that of the text.
 */
export function compileGlob(pattern: string): (text: string) => boolean {
  if (!hasWildcard(pattern)) return (text) => text === pattern
  // By code points, so that `?` stands for a whole character outside the basic plane too.
  const symbols = Array.from(pattern.replaceAll(/\*+/g, '*'))
  return (text) => globMatches(symbols, Array.from(text))
}

export const hasWildcard = (pattern: string): boolean => /[*?]/.test(pattern)

function globMatches(pattern: readonly string[], text: readonly string[]): boolean {
  let p = 0
  let star = -1
  /** Where the text matched by the last star ends; only the last one ever needs to grow. */
  let starEnd = 0
  for (let t = 0; t < text.length; ) {
    if (pattern[p] === '*') {
      star = p++
      starEnd = t
    } else if (p < pattern.length && (pattern[p] === '?' || pattern[p] === text[t])) {
      p++
      t++
    } else if (star >= 0) {
      p = star + 1
      t = ++starEnd
    } else {
      return false
    }
  }
  return p === pattern.length || (p === pattern.length - 1 && pattern[p] === '*')
}
