// Values as people read them. What others chose is text: what does not show, or turns text around, is written out.

const LONGEST = 200;
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Co}\p{Cs}\p{Zl}\p{Zp}]/gu;

export function plain(value) {
  const text = String(value ?? '');
  const shown = [...text.slice(0, 4 * LONGEST)];
  const cut = shown.length > LONGEST || text.length > 4 * LONGEST ? `${shown.slice(0, LONGEST).join('')}…` : shown.join('');
  return cut.replace(UNPRINTABLE, (sign) => `\\u{${sign.codePointAt(0).toString(16)}}`);
}

export function bytes(count) {
  const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];
  let size = Number(count) || 0;
  let unit = 0;
  while (size >= 999.5 && unit < units.length - 1) {
    size /= 1000;
    unit += 1;
  }
  const digits = unit === 0 || size >= 99.95 ? 0 : 1;
  return `${size.toFixed(digits)} ${units[unit]}`;
}

export function rate(count) {
  return `${bytes(count)}/s`;
}

export function milliseconds(time) {
  if (!Number.isFinite(time)) {
    return '–';
  }
  if (time >= 1000) {
    return `${(time / 1000).toFixed(time < 10_000 ? 1 : 0)} s`;
  }
  return `${time.toFixed(time < 10 ? 1 : 0)} ms`;
}

const two = (number) => String(number).padStart(2, '0');

// A moment, on the clock of the reader; with the day if that is not today.
export function moment(text) {
  const time = new Date(text);
  if (Number.isNaN(time.getTime())) {
    return plain(text);
  }
  const clock = `${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}`;
  const isToday = time.toDateString() === new Date().toDateString();
  return isToday ? clock : `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())} ${clock}`;
}
