import { TextDecoder } from 'node:util'

/** Text of a dataset in its own character set, as a JavaScript string: PS3.3 C.12.1.1.2 and PS3.5 6.1. */
export type TextDecode = (bytes: Uint8Array, personName: boolean) => string

/** A coded character set that an area of the code table can hold. */
interface CodeSet {
  /** What WHATWG calls an encoding that contains it. */
  readonly label: string
  /** Turns its bytes into those of that encoding. */
  readonly adapt?: (bytes: Uint8Array) => Uint8Array
}

const raised = (bytes: Uint8Array): Uint8Array => bytes.map((byte) => byte | 0x80)

/** EUC-JP announces each character of JIS X 0212 with 8F. */
function supplementary(bytes: Uint8Array): Uint8Array {
  const adapted: number[] = []
  for (let at = 0; at + 1 < bytes.length; at += 2) {
    adapted.push(0x8f, (bytes[at] ?? 0) | 0x80, (bytes[at + 1] ?? 0) | 0x80)
  }
  return Uint8Array.from(adapted)
}

const katakana: CodeSet = { label: 'shift_jis' }
const korean: CodeSet = { label: 'euc-kr' }
const chinese: CodeSet = { label: 'gbk' }
const kanji: CodeSet = { label: 'euc-jp', adapt: raised }
const kanjiSupplement: CodeSet = { label: 'euc-jp', adapt: supplementary }

/** The upper half of the code table by ISO registration number, as the defined terms name it. */
const upperHalf: Readonly<Record<string, CodeSet>> = {
  13: katakana,
  58: chinese,
  100: { label: 'iso-8859-1' },
  101: { label: 'iso-8859-2' },
  109: { label: 'iso-8859-3' },
  110: { label: 'iso-8859-4' },
  126: { label: 'iso-8859-7' },
  127: { label: 'iso-8859-6' },
  138: { label: 'iso-8859-8' },
  144: { label: 'iso-8859-5' },
  148: { label: 'iso-8859-9' },
  149: korean,
  166: { label: 'windows-874' },
  203: { label: 'iso-8859-15' },
}

/** Escape sequences, without the escape, to what they put into the lower (g0) or upper (g1) half: PS3.3 C.12-3, -4. */
const escapes: readonly { readonly text: string; readonly half: 'g0' | 'g1'; readonly set: CodeSet | undefined }[] = [
  { text: '(B', half: 'g0', set: undefined },
  { text: '(J', half: 'g0', set: undefined },
  { text: '$B', half: 'g0', set: kanji },
  { text: '$@', half: 'g0', set: kanji },
  { text: '$(D', half: 'g0', set: kanjiSupplement },
  { text: ')I', half: 'g1', set: katakana },
  { text: '$)C', half: 'g1', set: korean },
  { text: '$)A', half: 'g1', set: chinese },
  ...Object.entries({ A: 100, B: 101, C: 109, D: 110, F: 126, G: 127, H: 138, L: 144, M: 148, T: 166, b: 203 }).map(
    ([final, registration]) => ({ text: `-${final}`, half: 'g1' as const, set: upperHalf[registration] }),
  ),
]

const escapeByte = 0x1b
/** What puts the code table back to its initial state, PS3.5 6.1.2.5.3: ends of line and the value delimiter. */
const delimiters: ReadonlySet<number> = new Set([0x09, 0x0a, 0x0c, 0x0d, 0x5c])
/** In person names those of components and groups too. */
const nameDelimiters: ReadonlySet<number> = new Set([...delimiters, 0x5e, 0x3d])

/** Multi-byte sets without code extensions, which may have a backslash as second byte of a character. */
const whole: Readonly<Record<string, string>> = { 'ISO_IR 192': 'utf-8', GB18030: 'gb18030', GBK: 'gbk' }

/**
 * The decoding for the values of Specific Character Set. Terms that are unknown, and bytes beyond the default
 * repertoire where none is named, are taken for UTF-8 when they are, else for ISO 8859-1.
 */
export function textDecoder(terms: readonly string[]): TextDecode {
  const [first = ''] = terms
  const label = whole[first.toUpperCase()]
  const decodeAll = label === undefined ? undefined : decoderOf(label)
  const initial = initialUpperHalf(terms)
  return (bytes, personName) => {
    if (isPlain(bytes)) return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1')
    if (decodeAll !== undefined) return decodeAll.decode(bytes)
    return decodeExtended(bytes, initial, personName ? nameDelimiters : delimiters)
  }
}

/** The first term fills the upper half. Some writers name none there and use the second one without announcing it. */
function initialUpperHalf(terms: readonly string[]): CodeSet | undefined {
  const sets = terms.map((term) => upperHalf[/^ISO[ _-]?(?:2022[ _-])?IR[ _-]?(\d+)$/i.exec(term)?.[1] ?? ''])
  return sets[0] ?? (terms.length === 2 ? sets[1] : undefined)
}

function isPlain(bytes: Uint8Array): boolean {
  for (const byte of bytes) if (byte >= 0x80 || byte === escapeByte) return false
  return true
}

/** ISO 2022 as PS3.5 6.1.2.5 uses it: the code table changes inside of a value, and goes back at each delimiter. */
function decodeExtended(bytes: Uint8Array, initial: CodeSet | undefined, resets: ReadonlySet<number>): string {
  const table: { g0: CodeSet | undefined; g1: CodeSet | undefined } = { g0: undefined, g1: initial }
  let text = ''
  for (let at = 0; at < bytes.length; ) {
    const byte = bytes[at] ?? 0
    if (byte === escapeByte) {
      const change = escapeAt(bytes, at + 1)
      if (change !== undefined) table[change.half] = change.set
      at += 1 + (change?.text.length ?? 0)
    } else if (byte >= 0x80 || (table.g0 !== undefined && byte > 0x20)) {
      const end = endOfRun(bytes, at)
      text += decodeRun(bytes.subarray(at, end), byte >= 0x80 ? table.g1 : table.g0)
      at = end
    } else {
      if (resets.has(byte)) Object.assign(table, { g0: undefined, g1: initial })
      text += String.fromCharCode(byte)
      at += 1
    }
  }
  return text
}

const escapeAt = (bytes: Uint8Array, at: number) =>
  escapes.find(({ text }) => [...text].every((char, index) => bytes[at + index] === char.charCodeAt(0)))

/** The run of graphic characters of the same half that begins at `at`. */
function endOfRun(bytes: Uint8Array, at: number): number {
  const upper = (bytes[at] ?? 0) >= 0x80
  let end = at + 1
  for (; end < bytes.length; end++) {
    const byte = bytes[end] ?? 0
    if (byte <= 0x20 || byte >= 0x80 !== upper) break
  }
  return end
}

function decodeRun(run: Uint8Array, set: CodeSet | undefined): string {
  if (set !== undefined) return decoderOf(set.label).decode(set.adapt?.(run) ?? run)
  try {
    return strictUtf8.decode(run)
  } catch {
    return decoderOf('iso-8859-1').decode(run)
  }
}

const strictUtf8 = new TextDecoder('utf-8', { fatal: true })
const decoders = new Map<string, TextDecoder>()

function decoderOf(label: string): TextDecoder {
  const known = decoders.get(label)
  if (known !== undefined) return known
  const made = new TextDecoder(label, { ignoreBOM: true })
  decoders.set(label, made)
  return made
}
