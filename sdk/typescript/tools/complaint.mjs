/** A mistake of the user, or of what the user has: it is told without a stack. */
export class Complaint extends Error {
  /** The exit code is 1, or one of sysexits.h. */
  constructor(message, code = 1) {
    super(message);
    this.code = code;
  }
}
