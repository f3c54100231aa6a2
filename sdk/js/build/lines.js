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

/** For each line of a bundle `[number of the source, line from 1]`, or `undefined` if it comes from no source. */
export function lines(map) {
  let [source, line] = [0, 0];
  return map.mappings.split(';').map((text) => {
    let first;
    for (const segment of text ? text.split(',') : []) {
      const [, sourceStep, lineStep] = numbers(segment);
      if (sourceStep === undefined) continue;
      source += sourceStep;
      line += lineStep;
      first ??= [source, line + 1];
    }
    return first;
  });
}

/** The call that hands the table to the SDK in the component. `sources` are names for people; `null` are not the author's. */
export function lineTable(map, sources) {
  const shown = [null, ...sources];
  const differences = [];
  let [source, line] = [0, 0];
  for (const found of lines(map)) {
    const [nextSource, nextLine] = found ? [found[0] + 1, found[1]] : [0, line];
    differences.push(nextSource - source, nextLine - line);
    [source, line] = [nextSource, nextLine];
  }
  return `${JSON.stringify(shown)},[${differences.join(',')}]`;
}
