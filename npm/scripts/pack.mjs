// Bytes as text in a JavaScript file that is to be small when it is compressed on its way. Base64 is not: it hides from
// gzip that bytes repeat, as it cuts them at other places each time. Here a byte is a character, if it is one of the
// frequent ones, and two if it is a rare one.

/** Printable ASCII that is itself between any quotes, and within the script of a page. */
export const digits = Array.from({ length: 95 }, (_, at) => String.fromCharCode(32 + at)).filter(
  (digit) => !"\"$'<\\`".includes(digit),
);
/** So many characters announce that another follows. */
export const PREFIXES = 2;
const singles = digits.length - PREFIXES;

/** What `unpack` of src/core/unpack.ts takes: how many bytes there are, the frequent ones in hexadecimal, and all. */
export function pack(bytes) {
  const counts = new Array(256).fill(0);
  for (const byte of bytes) counts[byte]++;
  const all = counts.map((_, byte) => byte);
  const frequent = [...all].sort((a, b) => counts[b] - counts[a]).slice(0, singles);
  const codes = new Array(256);
  frequent.forEach((byte, at) => {
    codes[byte] = digits[at];
  });
  all
    .filter((byte) => !frequent.includes(byte))
    .forEach((byte, at) => {
      codes[byte] = digits[singles + Math.floor(at / digits.length)] + digits[at % digits.length];
    });
  return {
    length: bytes.length,
    frequent: Buffer.from(frequent).toString("hex"),
    text: Array.from(bytes, (byte) => codes[byte]).join(""),
  };
}
