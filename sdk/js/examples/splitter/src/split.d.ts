/** How to split. */
export interface Settings {
  size: number;
  overlap: number;
  border: 'sentence' | 'paragraph';
}

/** A part of a text, and how many characters are before it. */
export interface Piece {
  start: number;
  text: string;
}

/** Throws a `RangeError` that names the parameter that is out of bounds. */
export function checkSettings(settings: Settings): Settings;

/** The pieces of a text; throws a `RangeError` if there are too many. */
export function pieces(text: string, settings: Settings): Piece[];
