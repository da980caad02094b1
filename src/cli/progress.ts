/** Where progress is shown. */
export interface Output {
  readonly isTTY?: boolean
  write(text: string): unknown
}

/** One line that is written over and over on a terminal; elsewhere one for every tenth. */
export function progressOn(output: Output) {
  let tenth = -1
  let current = ''
  let open = false
  const tell = (cluster: string, studies: number, progress: number): void => {
    const now = Math.floor(progress * 10 + 1e-9)
    if (output.isTTY) {
      output.write(`\r\u001b[K${cluster}: ${Math.floor(progress * 100)} %, ${countOf(studies)} ${bar(progress)}`)
      open = true
    } else if (cluster !== current || now > tenth) {
      output.write(`${cluster}: ${now * 10} %, ${countOf(studies)}\n`)
    }
    tenth = cluster === current ? Math.max(tenth, now) : now
    current = cluster
  }
  return { tell, end: () => void (open && output.write('\r\u001b[K')) }
}

const barLength = 20

function bar(progress: number): string {
  const done = Math.min(barLength, Math.floor(progress * barLength + 1e-9))
  return `[${'#'.repeat(done)}${'.'.repeat(barLength - done)}]`
}

export const countOf = (studies: number): string =>
  `${studies.toLocaleString('en')} ${studies === 1 ? 'study' : 'studies'}`
