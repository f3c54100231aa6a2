// Transforms JSON messages with a JSONata expression.

import { config, context, Message, processor, Reject, type Received } from 'weir-sdk';

import { Expression, textOf } from './expression.js';
import { check, type Parameters } from './settings.js';

const CONFIG_TYPE = 'json-transform';

let kept: { text: unknown; expression: Expression } | undefined;

/** The expression, compiled anew only if its text has changed. */
function current(parameters: Parameters): Expression {
  const { text, what } = textOf(parameters, (key) => config.parsed(CONFIG_TYPE, key));
  if (kept?.text !== text) kept = { text, expression: Expression.compile(text, what, parameters) };
  return kept!.expression;
}

/** Shows wrong parameters and expressions in the status, before any message is taken. */
function setup(_changed: string[], parameters: unknown): void {
  check(parameters as Parameters);
  current(parameters as Parameters);
}

async function transform(document: unknown, parameters: Parameters, message: Received): Promise<Message[]> {
  const { properties, input } = message;
  const result = await current(parameters).evaluate(document, { id: context.messageId, attempt: context.attempt, input, properties });
  if (result === undefined) {
    if (parameters.nothing === 'reject') throw new Reject('the expression makes nothing of the message');
    return [];
  }
  const results = parameters.arrays === 'each' && Array.isArray(result) ? result : [result];
  return results.map((value) => sized(Message.json(value, { properties }), parameters.maxBytes));
}

function sized(message: Message, most: number): Message {
  const size = message.body.length;
  if (size > most) throw new Reject(`the result has ${size} bytes; the limit is ${most} (parameter \`max-bytes\`)`);
  return message;
}

export const handler = processor<unknown, Parameters>(transform, { setup });
