// Where the lines of a bundle come from: read from its source map, and written so that the component can find the author's line.

const DIGITS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';

function* numbers(segment) {
  let [value, shift] = [0, 0];
  for (const digit of segment) {
    const bits = DIGITS.indexOf(digit);
    value |= (bits & 31) << shift;
    shift += 5;
    if (bits & 32) continue;
    yield value & 1 ? -(value >>> 1) : value >>> 1;
    [value, shift] = [0, 0];
  }
}

/**
 * For each line of a bundle `[number of the source, line from 1]`, or `undefined` if it comes from no source. It is where the line's first
 * word comes from: esbuild lets the spaces before it belong to what stands above.
 */
export function lines(map, code) {
  let [source, line] = [0, 0];
  const written = code.split('\n');
  return map.mappings.split(';').map((text, at) => {
    const indent = written[at].search(/\S|$/);
    let [column, found] = [0, undefined];
    for (const segment of text ? text.split(',') : []) {
      const [columnStep, sourceStep, lineStep] = numbers(segment);
      column += columnStep;
      if (sourceStep === undefined) continue;
      source += sourceStep;
      line += lineStep;
      if (!found || column <= indent) found = [source, line + 1];
    }
    return found;
  });
}

/** The call that hands the table to the SDK in the component. `sources` are names for people; `null` are not the author's. */
export function lineTable(map, code, sources) {
  const shown = [null, ...sources];
  const differences = [];
  let [source, line] = [0, 0];
  for (const found of lines(map, code)) {
    const [nextSource, nextLine] = found ? [found[0] + 1, found[1]] : [0, line];
    differences.push(nextSource - source, nextLine - line);
    [source, line] = [nextSource, nextLine];
  }
  return `${JSON.stringify(shown)},[${differences.join(',')}]`;
}
