// What came of a message.

import { Failure } from '../failure.js';
import { Message } from '../message.js';
import { names } from './bounds.js';

export class Handled {
  #outputs;
  #sent;
  #replies;

  constructor({ failure, outputs, sent, replies, isAnswered, requests, log }) {
    this.#outputs = outputs;
    this.#sent = sent;
    this.#replies = replies;
    this.failure = failure && returned(failure);
    this.isAnswered = isAnswered;
    this.requests = requests.map(opened);
    this.log = log;
  }

  get sent() {
    return this.#sent.map(opened);
  }

  outputs(output) {
    if (this.failure) throw new Error(`nothing left for \`${output}\`, since the handler failed: ${this.failure.verdict}: ${this.failure.reason}`);
    if (!this.#outputs.includes(output)) throw new Error(`output \`${output}\` does not exist; must be one of: ${names(this.#outputs)}`);
    return this.#sent.filter(({ to }) => to === output).map(({ message }) => Message.received(message));
  }

  json(output) {
    return this.outputs(output).map((message, index) => read(`message ${index} of \`${output}\``, message));
  }

  replies() {
    if (this.failure && this.#replies.length === 0) {
      throw new Error(`no part of an answer left, since the handler failed: ${this.failure.verdict}: ${this.failure.reason}`);
    }
    return this.#replies.map((part) => Message.received(part));
  }

  replyJson() {
    return this.replies().map((part, index) => read(`part ${index} of the answer`, part));
  }
}

/** Where it was thrown, the reason says; where the kit made this one is of no interest. */
function returned({ verdict, reason, delayMs }) {
  const failure = new Failure(verdict, reason, delayMs);
  failure.stack = `${verdict}: ${reason}`;
  return failure;
}

function opened({ to, message }) {
  return { to, message: Message.received(message) };
}

function read(what, message) {
  try {
    return message.json();
  } catch (error) {
    throw new Error(`${what} cannot be read: ${error.message}`);
  }
}
