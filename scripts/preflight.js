// Plain JavaScript without imports: it has to run on the Node that is too old for everything else.
const [major] = process.versions.node.split('.')
if (Number(major) < 24) {
  console.error(
    [
      `dicomweb-link needs Node 24 or newer; this is Node ${process.versions.node} (${process.execPath}).`,
      'On Linux (x64, arm64) "npm ci --include=optional" brings Node 24 along and npm scripts use it by themselves.',
      'Elsewhere install Node 24 from https://nodejs.org and run the command again.',
    ].join('\n'),
  )
  process.exit(1)
}
