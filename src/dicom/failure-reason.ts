/** A Failure Reason (0008,1197) as the standard writes it: `0111H`. */
export const failureReasonText = (reason: number): string => `${reason.toString(16).padStart(4, '0').toUpperCase()}H`
