// The composer: sends the form without leaving the page, keeps what is typed, counts it, says when it goes out.
// Everything here and in cards.js has a plain HTML way too: without them the page works, it is only less lively.

import { JSON_PLEASE, add, alike, startCards } from "./cards.js";
import { chosen, fromNow, inZone, offset, ownZone, stamp } from "./times.js";
import { weight } from "./weight.js";

const $ = (selector, root = document) => root.querySelector(selector);
const composer = $("#composer");
const { status, at, tz, key } = composer.elements;
const button = $(".main", composer);
const later = $("#later");
const draft = `draft:${composer.dataset.user}`;
const ROUND = 5 * 60_000; // ms: a time that is proposed is a multiple of this, and at least this far away
let busy = false;

async function send(event) {
  if (event.submitter?.matches(".signin")) return; // a plain form: the text goes along
  event.preventDefault();
  if (busy) return;
  wait(true);
  const sent = status.value;
  try {
    const body = new URLSearchParams(new FormData(composer));
    const answer = await fetch("/tweets", { method: "POST", body, headers: JSON_PLEASE });
    const told = await answer.json();
    if (answer.ok) accepted(told, sent);
    else refused(told.error);
  } catch {
    refused({ message: "The connection is lost. Your text is kept: press the button again, it will not be sent twice." });
  }
  wait(false);
}

function wait(on) {
  busy = on;
  button.setAttribute("aria-disabled", on);
  composer.setAttribute("aria-busy", on);
}

// What was typed while it was on its way is the next one's.
function accepted(tweet, sent) {
  refused({ message: "" });
  add(tweet);
  status.value = status.value.startsWith(sent) ? status.value.slice(sent.length) : status.value;
  later.open = false;
  at.value = "";
  key.value = newKey();
  keep();
  count();
  label();
}

function refused(error) {
  $("#trouble").textContent = error.message;
  $(".signin", composer).hidden = error.code !== "signed_out";
  if (error.code === "signed_out") keep(); // also a text that came with the page and was not typed
  for (const field of [status, at, tz]) field.removeAttribute("aria-invalid");
  if (error.code === "key_reused") key.value = newKey();
  if (error.field === "at") $(".moment").replaceChildren(); // said already
  const field = error.code === "comes_twice" ? $(".twice input", composer) : composer.elements[error.field];
  if (!field) return;
  if (error.code !== "comes_twice") field.setAttribute("aria-invalid", "true");
  field.focus();
}

// The draft -----------------------------------------------------------------------------------------------------------

function newKey() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

// The key is kept with the text: what may already have arrived keeps its key over a reload, so it cannot go out twice.
function keep() {
  remember(status.value ? { text: status.value, key: key.value } : null);
}

function remember(value) {
  try {
    if (value) localStorage.setItem(draft, JSON.stringify(value));
    else localStorage.removeItem(draft);
  } catch {
    // storage is full or forbidden: the text is still in the form
  }
}

function restore() {
  try {
    const kept = JSON.parse(localStorage.getItem(draft));
    if (kept && (!status.value || status.value === kept.text)) [status.value, key.value] = [kept.text, kept.key];
  } catch {
    remember(null);
  }
}

// What is said about it -----------------------------------------------------------------------------------------------

function count() {
  const limit = Number(composer.dataset.limit);
  const left = limit - weight(status.value);
  const meter = $(".count", composer);
  const before = meter.className;
  $(".left", meter).textContent = left;
  $(".ring", meter).style.setProperty("--used", Math.min(1, 1 - left / limit));
  meter.className = `count${left < 0 ? " over" : left <= 20 ? " near" : ""}`;
  if (meter.className === before || left > 20) return;
  const characters = Math.abs(left) === 1 ? "character" : "characters";
  $("#said").textContent = left < 0 ? `${-left} ${characters} too many` : `${left} ${characters} left`;
}

function detectZone() {
  if (later.open) return;
  if (![...tz.options].some((option) => option.value === ownZone)) tz.add(new Option(ownZone, ownZone), 0);
  tz.value = ownZone;
}

function soon() {
  const then = new Date(Math.ceil((Date.now() + ROUND) / ROUND) * ROUND);
  return new Date(then - then.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}

function label() {
  const ms = chosen(composer);
  button.textContent = at.value ? "Schedule" : "Tweet";
  $(".moment").replaceChildren(...(at.value ? inWords(ms) : ["Empty means now."]).map(line));
  warn(ms);
}

function line(text) {
  const span = document.createElement("span");
  span.textContent = text;
  return span;
}

// In the zone that was chosen, with its offset; in UTC; and on the reader's own clock where that is another one.
function inWords(ms) {
  const zone = tz.value.replaceAll("_", " ");
  if (!ms) return ["This time does not come.", `Clocks in ${zone} are put forward over it: choose another one.`];
  const said = [ms < Date.now() ? "That is past." : `Goes out ${fromNow(ms)}.`, `${inZone(ms, tz.value)} in ${zone}, ${offset(ms, tz.value)}`];
  if (tz.value !== "UTC") said.push(`${inZone(ms, "UTC")} UTC`);
  if (![tz.value, "UTC"].includes(ownZone)) said.push(`${inZone(ms, ownZone)} on your clock`);
  return said;
}

// No reason to refuse, but worth knowing before it is sent. Said once.
function warn(ms = chosen(composer)) {
  const same = alike(status.value.trim(), ms && Math.floor(ms / 60_000));
  const said = [same.words && "These words are on your list already: X takes them only once.", same.minute && "Another tweet goes out in that minute."];
  const text = said.filter(Boolean).join(" ");
  if ($(".warn").textContent !== text) $(".warn").textContent = text;
}

document.querySelectorAll("time[datetime]").forEach((time) => stamp(time, Date.parse(time.dateTime)));
restore();
if (status.value !== status.defaultValue) keep(); // typed before this file was here
detectZone();
count();
startCards();
label();
composer.addEventListener("submit", send);
composer.addEventListener("input", (event) => event.target !== status && label());
status.addEventListener("input", () => {
  count();
  keep();
  warn();
});
status.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) composer.requestSubmit();
});
later.addEventListener("toggle", () => {
  at.value = later.open ? at.value || soon() : "";
  label();
});
window.addEventListener("pageshow", (event) => event.persisted && count());
