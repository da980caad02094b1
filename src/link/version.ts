/** Of a study: how many changes of each site are in it, by site id. A site that is not there has made none. */
export type Version = Readonly<Record<string, number>>
