import { clusterContract } from '../contract/cluster.ts'
import { openTestArchive } from '../support/embedded.ts'

clusterContract('embedded', openTestArchive)
