// Moments as people read them: on their own clock, on that of a zone, and from now. Only to be shown: the server decides.

const DAY = 86_400_000;
export const ownZone = Intl.DateTimeFormat().resolvedOptions().timeZone;

// Fill a <time>, with the word that leads to it; without a moment it is hidden.
export function stamp(time, ms) {
  time.hidden = !ms;
  if (!ms) return;
  const date = new Date(ms);
  time.dateTime = date.toISOString();
  time.textContent = `${time.dataset.join} ${readable(date)}`;
  time.title = date.toLocaleString(undefined, { dateStyle: "full", timeStyle: "long" });
}

function readable(date) {
  const now = new Date();
  const parts = { hour: "numeric", minute: "2-digit" };
  if (date.toDateString() !== now.toDateString()) Object.assign(parts, { weekday: "short", day: "numeric", month: "short" });
  if (date.getFullYear() !== now.getFullYear()) parts.year = "numeric";
  return date.toLocaleString(undefined, parts);
}

export function fromNow(ms) {
  const seconds = Math.round((ms - Date.now()) / 1000);
  const steps = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];
  const [unit, size] = steps.find(([, size]) => Math.abs(seconds) >= size * 1.5) ?? steps[3];
  return new Intl.RelativeTimeFormat(document.documentElement.lang).format(Math.round(seconds / size), unit);
}

export function countdown(ms) {
  const rest = Math.ceil((ms - Date.now()) / 1000);
  const minutes = rest >= 60 ? `${Math.floor(rest / 60)} min ` : "";
  return rest > 0 && rest < 3600 ? `in ${minutes}${rest % 60} s` : "";
}

// What the clocks of a zone show, as a form's field writes it.
export function wall(ms, timeZone) {
  const clock = new Intl.DateTimeFormat("sv-SE", { timeZone, dateStyle: "short", timeStyle: "medium" });
  return clock.format(ms).replace(" ", "T").replace(/:00$/, "");
}

// The moments at which the clocks of a zone show `local`: one, none where they go forward, two where they go back.
export function moments(local, zone) {
  const wanted = Date.parse(`${local}Z`);
  if (Number.isNaN(wanted)) return [];
  const shown = (ms) => Date.parse(`${wall(ms, zone)}Z`);
  const guesses = [wanted - DAY, wanted + DAY].map((near) => wanted + near - shown(near));
  return [...new Set(guesses)].filter((ms) => shown(ms) === wanted).sort((a, b) => a - b);
}

// On the clocks of a zone, like "Tue, Nov 24, 12:00 PM".
export function inZone(ms, timeZone, more) {
  const parts = { weekday: "short", day: "numeric", month: "short", hour: "numeric", minute: "2-digit", timeZone, ...more };
  return new Date(ms).toLocaleString(undefined, parts);
}

// How far the clocks of a zone are from UTC then, like "UTC+2".
export function offset(ms, timeZone) {
  const parts = new Intl.DateTimeFormat("en", { timeZone, timeZoneName: "shortOffset" }).formatToParts(ms);
  return parts.find((part) => part.type === "timeZoneName").value.replace("GMT", "UTC");
}
