#!/usr/bin/env -S node --max-semi-space-size=8
// Plain JavaScript without imports: it has to run on the Node that is too old for everything else.
const [major] = process.versions.node.split('.')
if (Number(major) < 24) {
  process.stderr.write(
    [
      `dicomweb-link needs Node 24 or newer; this is Node ${process.versions.node} (${process.execPath}).`,
      'Install Node 24 from https://nodejs.org and run the command again.',
      '',
    ].join('\n'),
  )
  process.exit(1)
}
import('../dist/main.js')
