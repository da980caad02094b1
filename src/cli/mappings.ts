import { Command } from 'commander'
import { loadConfig } from '../config/load.ts'
import { parseMappings } from '../link/mappings.ts'
import { readMappingsFile } from '../mappings/service.ts'
import type { Console } from './console.ts'
import { apply } from './mappings-apply.ts'
import { type TestOptions, test } from './mappings-test.ts'
import { remarksOn, renderCheck } from './mappings-text.ts'

const config = ['-c, --config <file>', 'configuration, YAML or JSON'] as const
const json = ['--json', 'machine-readable answer'] as const

/** `dicomweb-link mappings …`: trying out, checking and applying tables for specialty and body part. */
export function mappingsCommand(console: Console): Command {
  const group = new Command('mappings')
    .description('try out, check and apply the tables for specialty and body part')
    .addHelpText('after', '\nThe form of the tables is described in docs/mappings.md.')
  group.addCommand(testCommand(console)).addCommand(checkCommand(console)).addCommand(applyCommand(console))
  return group
}

const collect = (value: string, others: readonly string[] = []): string[] => [...others, value]

const testCommand = (console: Console): Command =>
  new Command('test')
    .description('say which rule of each table fires for a study, and why')
    .option(config[0], `${config[1]}; without it and --mappings, the tables that come with the product`)
    .option('--mappings <file>', 'tables to try, instead of those the configuration names')
    .option('--study <uid>', 'a study of the configured clusters, by its Study Instance UID')
    .option('--description <text>', 'Study Description')
    .option('--procedure-code <code>', 'Code Value of Procedure Code Sequence; may be repeated', collect)
    .option('--modality <modality>', 'a modality of the study; may be repeated', collect)
    .option('--body-part <value>', 'Body Part Examined of a series; may be repeated', collect)
    .option('--institution <name>', 'Institution Name; may be repeated', collect)
    .option(...json)
    .addHelpText(
      'after',
      [
        '',
        'Examples:',
        "  dicomweb-link mappings test --description 'MR BRAIN' --modality MR",
        '  dicomweb-link mappings test -c link.yaml --study 1.2.840.1',
        '  dicomweb-link mappings test -c link.yaml --mappings new.yaml --study 1.2.840.1',
      ].join('\n'),
    )
    .action((options: TestOptions) => test(options, console))

const checkCommand = ({ say, end }: Console): Command =>
  new Command('check')
    .description('say what is wrong with a file of tables, or what is in it')
    .argument('<file>', 'tables, YAML or JSON')
    .option(...json)
    .addHelpText('after', '\nEnds with status 1 when the file cannot be used; rules that never fire are only told.')
    .action(async (file: string, options: { json?: boolean }) => {
      const mappings = parseMappings(await readMappingsFile(file), file)
      const { specialty, bodyPart, digest } = mappings
      const rules = { specialty: specialty.length, bodyPart: bodyPart.length }
      const remarks = remarksOn(mappings)
      say(options.json ? JSON.stringify({ digest, rules, remarks }, null, 2) : renderCheck({ digest, rules, remarks }))
      end(0)
    })

const applyCommand = (console: Console): Command =>
  new Command('apply')
    .description('say what new tables would change in all studies of all clusters, and put them in use')
    .argument('<file>', 'new tables, YAML or JSON')
    .requiredOption(...config)
    .option('--dry-run', 'only say what would change')
    .option(...json)
    .addHelpText(
      'after',
      [
        '',
        'Every study of every cluster is looked at, which takes a while; nothing is changed in any cluster, and Ctrl-C',
        'stops it. Without --dry-run the file that the configuration names as "mappings" is then replaced by the new one',
        'at once as a whole, and kept as <file>.bak; not when a cluster could not be looked at. A running proxy reads it',
        'when it gets the signal SIGHUP, or POST /link/v1/mappings/reload.',
        '',
        'Embedded clusters can be looked at while no proxy has them open.',
        'Ends with status 1 when a cluster could not be looked at, with 130 when it was stopped.',
        '',
        'Examples:',
        '  dicomweb-link mappings apply new.yaml -c link.yaml --dry-run',
        '  dicomweb-link mappings apply new.yaml -c link.yaml',
      ].join('\n'),
    )
    .action(async (file: string, options: { config: string; dryRun?: boolean; json?: boolean }) =>
      apply({ file, ...options, config: await loadConfig(options.config, process.env) }, console),
    )
