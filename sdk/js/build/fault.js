// What keeps a component from being built, in the author's terms: everything else that is thrown is a bug of this program.

export class Fault extends Error {
  constructor(message, options) {
    super(message, options);
    this.name = 'Fault';
  }
}
