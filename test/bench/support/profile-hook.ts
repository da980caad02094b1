import { writeFileSync } from 'node:fs'
import { Session } from 'node:inspector/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/* For `--import`: SIGUSR2 begins a CPU profile, the next one ends it and says where it is. */

const session = new Session()
session.connect()
let count = 0
let running = false

process.on('SIGUSR2', async () => {
  running = !running
  if (running) {
    await session.post('Profiler.enable')
    await session.post('Profiler.setSamplingInterval', { interval: 200 })
    await session.post('Profiler.start')
    count++
    process.stdout.write(`profile ${count} begins\n`)
    return
  }
  const { profile } = await session.post('Profiler.stop')
  const file = join(tmpdir(), `bench-${process.pid}-${count}.cpuprofile`)
  writeFileSync(file, JSON.stringify(profile))
  process.stdout.write(`profile ${count} is in ${file}\n`)
})
