// Format numbers as the terminal does, and make foreign text safe to look at.

/** What stands for characters that would be invisible, or would reorder the text around them. */
const UNPRINTABLE =
  // eslint-disable-next-line no-control-regex -- these are the characters that are replaced
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]/g;

/**
 * Return text of a trace with control characters and bidirectional overrides made visible.
 * @param {unknown} value
 * @param {number} [limit] the most characters; a cut is marked
 * @returns {string}
 */
function printable(value, limit = 4000) {
  const text = String(value ?? "");
  const cut = text.length > limit ? `${text.slice(0, limit)}…` : text;
  return cut.replace(UNPRINTABLE, (character) => {
    const code = character.charCodeAt(0);
    return code < 32 ? String.fromCharCode(0x2400 + code) : `\\u${code.toString(16).padStart(4, "0")}`;
  });
}

/**
 * Return text on one line: white space collapsed, at most `limit` characters.
 * @param {unknown} value
 * @param {number} [limit]
 */
function oneLine(value, limit = 300) {
  // Cut first: a text of a megabyte in every row must not be searched for white space.
  return printable(
    String(value ?? "")
      .slice(0, limit * 2)
      .replace(/\s+/g, " "),
    limit,
  );
}

/**
 * Format a duration of microseconds: `0.04 ms`, `12.3 ms`, `1.24 s`, `2 m 05 s`, `1 h 02 m`.
 * @param {number} microseconds
 */
function formatDuration(microseconds) {
  const value = microseconds / 1000;
  if (microseconds < 0) return "";
  if (value < 0.005) return "0 ms";
  if (value < 9.995) return `${value.toFixed(2)} ms`;
  if (value < 999.5) return `${value.toFixed(value < 99.95 ? 1 : 0)} ms`;
  const seconds = value / 1000;
  if (seconds < 59.995) return `${seconds.toFixed(seconds < 9.995 ? 2 : 1)} s`;
  const whole = Math.round(seconds);
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes} m ${String(whole % 60).padStart(2, "0")} s`;
  return `${formatCount(Math.floor(minutes / 60))} h ${String(minutes % 60).padStart(2, "0")} m`;
}

/**
 * Format US dollars with as many digits as a small amount needs: `$0.00042`, `$12.34`.
 * @param {number} dollars
 */
function formatMoney(dollars) {
  if (!dollars) return "$0";
  if (dollars >= 1) return `$${dollars.toLocaleString("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 })}`;
  return `$${dollars.toFixed(Math.min(Math.max(1 - Math.floor(Math.log10(dollars)), 4), 9))}`;
}

/** @param {number} number */
function formatCount(number) {
  return number.toLocaleString("en", { maximumFractionDigits: 0 });
}

/**
 * Format a number with its noun: `1 event`, `2,000 events`.
 * @param {number} number
 * @param {string} noun
 */
function countOf(number, noun) {
  return `${formatCount(number)} ${number === 1 ? noun : `${noun}s`}`;
}

/** Return what an empty pane says: why it is, or that the program has just begun. @param {TraceFacts} trace @param {string} why */
const emptyText = (trace, why) => (trace.outcome === "running" ? "The program has called nothing yet." : why);
