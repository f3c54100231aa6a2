// What came of a message against what a fixture expects of it.

import { isDeepStrictEqual } from 'node:util';

/** How much of a value is shown, in characters. */
const SHOWN_COUNT = 160;

/** The places where they differ; none if it is as expected. A key that is absent is not compared, but outputs and failure are. */
export function differences(wanted, handled) {
  const out = [];
  const sent = grouped(handled.sent);
  for (const name of [...new Set([...wanted.outputs.keys(), ...sent.keys()])].sort()) {
    compareMessages(`outputs.${name}`, wanted.outputs.get(name) ?? [], sent.get(name) ?? [], out);
  }
  compareFailure(wanted.failure, handled.failure, out);
  if (wanted.replies) compareMessages('replies', wanted.replies, repliesOf(handled), out);
  if (wanted.requests) compareRequests(wanted.requests, handled.requests, out);
  if (wanted.log) compare('log', wanted.log, handled.log.map(({ level, message }) => ({ level, text: message })), out);
  return out;
}

/** Messages by the output that they were sent to. */
function grouped(sent) {
  const groups = new Map();
  for (const { to, message } of sent) groups.set(to, [...(groups.get(to) ?? []), message]);
  return groups;
}

function repliesOf(handled) {
  try {
    return handled.replies();
  } catch {
    // It failed before a part left.
    return [];
  }
}

function compareMessages(place, wanted, had, out) {
  for (let at = 0; at < Math.max(wanted.length, had.length); at += 1) compareMessage(`${place}[${at}]`, wanted[at], had[at], out);
}

function compareMessage(place, wanted, had, out) {
  if (!wanted || !had) {
    out.push({ place, expected: wanted ? shownMessage(wanted.message) : 'nothing', found: had ? shownMessage(had) : 'nothing' });
    return;
  }
  const { document, message } = wanted;
  if (Object.hasOwn(document, 'json')) compareJson(`${place}.json`, document.json, had, out);
  else if (!Buffer.from(message.body).equals(had.body)) out.push({ place, expected: shownMessage(message), found: shownMessage(had) });
  if (document['content-type'] !== undefined) compare(`${place}.content-type`, document['content-type'], had.contentType ?? 'application/json', out);
  if (document.properties) compare(`${place}.properties`, document.properties, { ...had.properties }, out);
}

function compareJson(place, wanted, had, out) {
  let value;
  try {
    value = had.json();
  } catch {
    out.push({ place, expected: shown(wanted), found: shownMessage(had) });
    return;
  }
  compare(place, wanted, value, out);
}

function compareRequests(wanted, had, out) {
  for (let at = 0; at < Math.max(wanted.length, had.length); at += 1) {
    const place = `requests[${at}]`;
    if (wanted[at] && had[at]) compare(`${place}.to`, wanted[at].to, had[at].to, out);
    compareMessage(place, wanted[at], had[at]?.message, out);
  }
}

function compareFailure(wanted, had, out) {
  const shownFailure = (failure) => (failure ? `${failure.verdict}${failure.reason === undefined ? '' : `: ${failure.reason}`}` : 'none');
  if (wanted?.verdict !== had?.verdict) {
    out.push({ place: 'failure', expected: shownFailure(wanted), found: shownFailure(had) });
    return;
  }
  if (!wanted) return;
  // A trap's reason has places in it which change with each build: a part of it is enough.
  const fits = wanted.reason === undefined || had.reason === wanted.reason || (had.verdict === 'trap' && had.reason.includes(wanted.reason));
  if (!fits) out.push({ place: 'failure.reason', expected: wanted.reason, found: had.reason });
  if (wanted['delay-ms'] !== undefined) compare('failure.delay-ms', wanted['delay-ms'], had.delay ?? null, out);
}

function compare(place, wanted, had, out) {
  if (!isDeepStrictEqual(wanted, had)) out.push({ place, expected: shown(wanted), found: shown(had) });
}

function shown(value) {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > SHOWN_COUNT ? `${text.slice(0, SHOWN_COUNT)}...` : text;
}

function shownMessage(message) {
  const text = Buffer.from(message.body).toString('utf8');
  return text.length > SHOWN_COUNT ? `${text.slice(0, SHOWN_COUNT)}...` : text;
}
