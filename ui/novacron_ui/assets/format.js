// Numbers for people: three significant digits, IEC bytes, SI rates.

export const NONE = "–";

const IEC = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
const SI = ["", "k", "M", "G", "T"];

export function digits(value) {
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 99.95) return value.toFixed(0);
  if (size >= 9.995) return value.toFixed(1);
  if (size >= 0.9995) return value.toFixed(2);
  return size < 0.0005 ? "0" : String(Number(value.toPrecision(size < 0.01 ? 1 : 2)));
}

function scaled(value, step, units) {
  let size = value;
  let unit = 0;
  while (Math.abs(size) >= step * 0.9995 && unit < units.length - 1) {
    size /= step;
    unit += 1;
  }
  return [digits(size), units[unit]];
}

export function bytes(value) {
  if (value === null || value === undefined) return NONE;
  return scaled(value, 1024, IEC).join(" ");
}

// A size that somebody chose: 4 GiB, not 4.00 GiB.
export function size(value) {
  return short(bytes(value));
}

// Without the zeros after the point.
export function short(text) {
  return text.replace(/(\d)\.(\d*?)0+(?!\d)/, (_, whole, rest) => (rest ? `${whole}.${rest}` : whole));
}

export function rate(value) {
  if (value === null || value === undefined) return NONE;
  const [number, unit] = scaled(value < 0.5 ? 0 : value, 1000, SI);
  return `${number} ${unit}B/s`;
}

export function count(value, unit = "") {
  if (value === null || value === undefined) return NONE;
  const [number, prefix] = scaled(value, 1000, SI);
  const suffix = `${prefix}${unit}`;
  return suffix ? `${number} ${suffix}` : number;
}

export function percent(share) {
  if (share === null || share === undefined) return NONE;
  const value = share * 100;
  return `${value >= 99.95 ? value.toFixed(0) : value.toFixed(1)} %`;
}

export function seconds(value) {
  if (value === null || value === undefined) return NONE;
  if (value >= 86400) return `${digits(value / 86400)} d`;
  if (value >= 3600) return `${digits(value / 3600)} h`;
  if (value >= 1 || value === 0) return `${digits(value)} s`;
  return value >= 0.001 ? `${digits(value * 1e3)} ms` : `${digits(value * 1e6)} µs`;
}

export function degrees(value) {
  return value === null || value === undefined ? NONE : `${digits(value)} °C`;
}

export function age(milliseconds) {
  const total = Math.max(0, Math.round(milliseconds / 1000));
  if (total < 60) return `${total} s`;
  if (total < 3600) return `${Math.floor(total / 60)} min`;
  if (total < 86400) return `${Math.floor(total / 3600)} h`;
  return `${Math.floor(total / 86400)} d`;
}

// By the contract's unit (UCUM) of a metric, or of its rate per second.
export function formatter(unit, isRate = false) {
  if (isRate) {
    if (unit === "By") return rate;
    if (unit === "s") return percent;
    return (value) => count(value, "/s");
  }
  if (unit === "By") return bytes;
  if (unit === "1") return percent;
  if (unit === "s") return seconds;
  if (unit === "Cel") return degrees;
  return number;
}

// 12, not 12.0.
export function number(value) {
  if (value === null || value === undefined) return NONE;
  return Number.isInteger(value) && value < 1000 ? String(value) : count(value);
}

const MINUTE = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const DAY = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const DATE = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", year: "numeric" });

// A time of the day; with the day, where that is not today, and the year, where that is not this one. In milliseconds.
export function clock(time, now) {
  if (isSameDay(time, now)) return MINUTE.format(time);
  const isThisYear = new Date(time).getFullYear() === new Date(now).getFullYear();
  return `${(isThisYear ? DAY : DATE).format(time)}, ${MINUTE.format(time)}`;
}

function isSameDay(one, other) {
  return DATE.format(one) === DATE.format(other);
}

// "13:02 to 13:40", "13:02 for 30 s".
export function span({ start, end }, now) {
  const [from, to] = [clock(start, now), clock(end, now)];
  if (from === to) return end > start ? `${from} for ${age(end - start)}` : from;
  return `${from} to ${isSameDay(start, end) ? MINUTE.format(end) : to}`;
}
