// Finding the byte that makes a body something else than text.

/** The allowed second bytes after a first byte, and how many bytes follow it: RFC 3629. */
function after(first) {
  if (first >= 0xc2 && first <= 0xdf) return [1, 0x80, 0xbf];
  if (first === 0xe0) return [2, 0xa0, 0xbf];
  if (first === 0xed) return [2, 0x80, 0x9f];
  if (first >= 0xe1 && first <= 0xef) return [2, 0x80, 0xbf];
  if (first === 0xf0) return [3, 0x90, 0xbf];
  if (first === 0xf4) return [3, 0x80, 0x8f];
  return first >= 0xf1 && first <= 0xf3 ? [3, 0x80, 0xbf] : undefined;
}

/** How many bytes from the beginning are whole characters in UTF-8. */
export function validUpTo(bytes) {
  let at = 0;
  while (at < bytes.length) {
    if (bytes[at] < 0x80) {
      at += 1;
      continue;
    }
    const [count, low, high] = after(bytes[at]) ?? [0];
    if (!count || !(bytes[at + 1] >= low && bytes[at + 1] <= high)) return at;
    for (let next = 2; next <= count; next += 1) if ((bytes[at + next] & 0xc0) !== 0x80) return at;
    at += count + 1;
  }
  return at;
}
