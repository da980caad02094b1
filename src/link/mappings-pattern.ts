/**
 * A matcher for a pattern of a mapping rule: `%` is any run of characters, none included, everything else stands for
 * itself, upper and lower case apart. Costs at most the length of the text and that of the pattern, whatever they are.
 */
export function compilePattern(pattern: string): (text: string) => boolean {
  const [first = '', ...others] = pattern.split('%')
  const last = others.pop()
  if (last === undefined) return (text) => text === first
  const between = others.filter((piece) => piece !== '').map(compilePiece)
  return (text) => {
    const end = text.length - last.length
    if (end < first.length || !text.startsWith(first) || !text.endsWith(last)) return false
    // The leftmost place for each piece leaves the most room for the next: no other place needs to be tried.
    let at = first.length
    for (const find of between) {
      at = find(text, at, end)
      if (at < 0) return false
    }
    return true
  }
}

/** Where the first occurrence of a piece between two positions of a text ends, or -1. */
type FindEnd = (text: string, from: number, to: number) => number

/** Knuth, Morris and Pratt: no character of the text is looked at again after a mismatch. */
function compilePiece(piece: string): FindEnd {
  const borders = bordersOf(piece)
  return (text, from, to) => {
    let matched = 0
    for (let at = from; at < to; at++) {
      matched = extended(piece, borders, matched, text.charCodeAt(at))
      if (matched === piece.length) return at + 1
    }
    return -1
  }
}

/** For each beginning of a piece, how much of its own end it begins with. */
function bordersOf(piece: string): Uint32Array {
  const borders = new Uint32Array(piece.length)
  for (let at = 1; at < piece.length; at++) {
    borders[at] = extended(piece, borders, borders[at - 1] ?? 0, piece.charCodeAt(at))
  }
  return borders
}

/** How much of the piece is matched after one more character. */
function extended(piece: string, borders: Uint32Array, matched: number, character: number): number {
  let length = matched
  while (length > 0 && piece.charCodeAt(length) !== character) length = borders[length - 1] ?? 0
  return piece.charCodeAt(length) === character ? length + 1 : 0
}
