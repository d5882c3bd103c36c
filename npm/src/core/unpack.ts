/** What `scripts/pack.mjs` makes of bytes, and why so: printable ASCII that gzip sees through. */
export interface Packed {
  /** How many bytes there are. */
  readonly length: number;
  /** Those that are one character each, in hexadecimal. */
  readonly frequent: string;
  readonly text: string;
}

/** The bytes again. */
export function unpack({ length, frequent, text }: Packed): Uint8Array {
  const digits: number[] = [];
  let base = 0;
  for (let code = 32; code < 127; code++) {
    if (!"\"$'<\\`".includes(String.fromCharCode(code))) digits[code] = base++;
  }
  const order: number[] = [];
  for (let at = 0; at < frequent.length; at += 2) order.push(Number.parseInt(frequent.slice(at, at + 2), 16));
  const singles = order.length;
  const seen = new Set(order);
  for (let byte = 0; byte < 256; byte++) if (!seen.has(byte)) order.push(byte);

  const bytes = new Uint8Array(length);
  for (let from = 0, to = 0; to < length; to++) {
    let digit = digits[text.charCodeAt(from++)] as number;
    if (digit >= singles) {
      digit = singles + (digit - singles) * base + (digits[text.charCodeAt(from++)] as number);
    }
    bytes[to] = order[digit] as number;
  }
  return bytes;
}
