/** The part of dcmjs that is used here; the package ships no types. */
declare module 'dcmjs' {
  interface DictionaryEntry {
    /** As `(0020,000D)`. */
    readonly tag: string
    readonly vr: string
    readonly vm: string
    /** Keyword, with the prefix `RETIRED_` when retired. */
    readonly name: string
  }

  export const data: {
    readonly DicomMetaDictionary: {
      /** By tag, either as `(0020,000D)` or as `0020000D`. */
      readonly dictionary: Readonly<Record<string, DictionaryEntry | undefined>>
      readonly nameMap: Readonly<Record<string, DictionaryEntry>>
    }
  }

  interface Logger {
    setLevel(level: 'silent' | 'error' | 'warn'): void
  }

  export const log: Logger & { getLoggers(): Readonly<Record<string, Logger>> }
}
