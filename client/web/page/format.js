/**
 * Bytes for people: 950 B, 41.3 kB, 1.26 MB.
 * @param {number} bytes
 */
export function formatBytes(bytes) {
  if (bytes < 1000) return `${bytes}\u00a0B`;
  const [value, unit] = bytes < 999_500 ? [bytes / 1e3, 'kB'] : [bytes / 1e6, 'MB'];
  return `${digits(value)}\u00a0${unit}`;
}

/**
 * A time for people: 80 ms, 1.4 s, 2 min 5 s.
 * @param {number} milliseconds
 */
export function formatTime(milliseconds) {
  if (milliseconds < 999.5) return `${Math.max(1, Math.round(milliseconds))}\u00a0ms`;
  const seconds = milliseconds / 1e3;
  if (seconds < 59.95) return `${digits(seconds)}\u00a0s`;
  const whole = Math.round(seconds);
  return `${Math.floor(whole / 60)}\u00a0min ${whole % 60}\u00a0s`;
}

/**
 * Three digits, as far as there are any.
 * @param {number} value
 */
function digits(value) {
  return value < 9.995 ? value.toFixed(2) : value < 99.95 ? value.toFixed(1) : value.toFixed(0);
}

/**
 * A sentence out of an error's text: capital, full stop.
 * @param {string} text
 */
export function sentence(text) {
  const trimmed = text.trim();
  return `${trimmed.charAt(0).toUpperCase()}${trimmed.slice(1)}${/[.!?]$/.test(trimmed) ? '' : '.'}`;
}
