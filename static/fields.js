// What the composer and the edit of a card have in common: the counter, and the time that is chosen, in words.

import { fromNow, inZone, moments, offset, ownZone, wall } from "./times.js";
import { weight } from "./weight.js";

const $ = (selector, root) => root.querySelector(selector);
const YEAR = 366 * 86_400_000; // ms: the farthest that the server takes
const given = new WeakMap(); // form: the moment that was put into its fields, and how it is written there

export function count(form) {
  const meter = $(".count", form);
  const limit = Number(meter.dataset.limit);
  const left = limit - weight(form.elements.status.value);
  const before = meter.className;
  $(".left", meter).textContent = left;
  $(".ring", meter).style.setProperty("--used", Math.min(1, 1 - left / limit));
  meter.className = `count${left < 0 ? " over" : left <= 20 ? " near" : ""}`;
  if (meter.className === before || left > 20) return;
  const characters = Math.abs(left) === 1 ? "character" : "characters";
  $("#said", document).textContent = left < 0 ? `${-left} ${characters} too many` : `${left} ${characters} left`;
}

export function choose(tz, zone) {
  if (![...tz.options].some((option) => option.value === zone)) tz.add(new Option(zone, zone), 0);
  tz.value = zone;
}

// Put a moment into the fields, on the clocks of the zone that is chosen there. Until somebody types another time it
// stays this moment, whatever the zone.
export function give(form, ms) {
  const { at, tz, fold } = form.elements;
  at.value = ms ? wall(ms, tz.value) : "";
  const both = moments(at.value, tz.value);
  fold.forEach((radio, which) => (radio.checked = both.length === 2 && both[which] === ms));
  given.set(form, { ms, at: at.value, fold: fold.value });
}

export function isGiven(form) {
  const { at, fold } = form.elements;
  return at.value === given.get(form)?.at && fold.value === given.get(form).fold;
}

// Something of the time was changed.
export function changed(form, field) {
  form.elements.at.removeAttribute("aria-invalid");
  if (field.name === "tz" && isGiven(form)) give(form, given.get(form).ms);
}

// Say in words what the fields say, and return the moment, if there is one. What was refused is said already.
export function label(form) {
  const { at, tz } = form.elements;
  at.step = at.value.length > 16 ? 1 : 60; // a field shows seconds only where there are some
  const moment = $(".moment", form);
  const ms = chosen(form);
  const said = at.hasAttribute("aria-invalid") ? [] : at.value ? inWords(ms, tz.value, !$(".twice", form).hidden) : [moment.dataset.empty];
  if (moment.textContent !== said.join("")) moment.replaceChildren(...said.map(line));
  return ms;
}

// The moment that a form names, if it comes. Where it comes twice the form asks which is meant.
function chosen(form) {
  const { at, tz } = form.elements;
  const found = moments(at.value, tz.value);
  const choice = $(".twice", form);
  choice.hidden = choice.disabled = found.length < 2;
  const radios = [...choice.querySelectorAll("input")];
  radios.forEach((radio, which) => {
    radio.checked &&= found.length === 2;
    radio.nextElementSibling.lastChild.textContent = found[which] ? `, ${offset(found[which], tz.value)}` : "";
  });
  return found.length === 2 ? found[radios.findIndex((radio) => radio.checked)] : found[0];
}

// In the zone that was chosen, with its offset; in UTC; and on the reader's own clock where that is another one.
function inWords(ms, timeZone, twice) {
  const zone = timeZone.replaceAll("_", " ");
  if (!ms && twice) return ["Choose which of the two."];
  if (!ms) return ["This time does not come.", `Clocks in ${zone} are put forward over it: choose another one.`];
  const said = [ms < Date.now() ? "That is past." : ms > Date.now() + YEAR ? "That is more than a year away." : `Goes out ${fromNow(ms)}.`];
  if (timeZone !== "UTC") said.push(`${inZone(ms, timeZone)} in ${zone}, ${offset(ms, timeZone)}`);
  said.push(`${inZone(ms, "UTC")} UTC`);
  if (![timeZone, "UTC"].includes(ownZone)) said.push(`${inZone(ms, ownZone)} on your clock`);
  return said;
}

function line(text) {
  const span = document.createElement("span");
  span.textContent = text;
  return span;
}
