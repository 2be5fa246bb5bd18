// The composer: sends the form without leaving the page, and says when it goes out.
// Everything here and in the other modules has a plain HTML way too: without them the page works, it is only less lively.

import { add, alarm, alike, startCards } from "./cards.js";
import { done, keep, newKey, snapshot, startDraft } from "./draft.js";
import { changed, choose, count, give, label } from "./fields.js";
import { JSON_PLEASE, within } from "./look.js";
import { ownZone, stamp } from "./times.js";

const $ = (selector, root = document) => root.querySelector(selector);
const composer = $("#composer");
const { status, at, tz, key } = composer.elements;
const button = $(".main", composer);
const later = $("#later");
const ROUND = 5 * 60_000; // ms: a time that is proposed is a multiple of this, and at least this far away
const PATIENCE = 300; // ms before the button says that it is busy
const TWICE = 1000; // ms in which a second press of an empty form belongs to the first one
let busy = null;
let acceptedAt = 0;

async function send(event) {
  if (event.submitter?.matches(".signin")) return; // a plain form: the text goes along
  event.preventDefault();
  if (busy || (!status.value && Date.now() - acceptedAt < TWICE)) return;
  wait(true);
  const sent = snapshot();
  try {
    const body = new URLSearchParams(new FormData(composer));
    const answer = await fetch("/tweets", { method: "POST", body, headers: JSON_PLEASE, signal: within() });
    const told = await answer.json();
    if (answer.ok) accepted(told, sent);
    else refused(told.error);
  } catch {
    refused({ message: "The connection is lost. Your text is kept: press the button again, it will not be sent twice." });
  }
  wait(false);
}

function wait(on) {
  clearTimeout(busy);
  busy = on ? setTimeout(() => (button.textContent = "One moment…"), PATIENCE) : null;
  button.setAttribute("aria-disabled", on);
  composer.setAttribute("aria-busy", on);
  name();
}

function accepted(tweet, sent) {
  refused({ message: "" });
  acceptedAt = Date.now();
  add(tweet);
  done(sent);
}

function refused(error) {
  $("#trouble").textContent = error.message;
  alarm(error.message);
  $(".signin", composer).hidden = error.code !== "signed_out";
  for (const field of [status, at, tz]) field.removeAttribute("aria-invalid");
  if (error.code === "key_reused") {
    key.value = newKey();
    keep();
  }
  const field = error.code === "comes_twice" ? $(".twice input", composer) : composer.elements[error.field];
  if (field && error.code !== "comes_twice") field.setAttribute("aria-invalid", "true");
  field?.focus();
  label(composer);
}

function name() {
  button.textContent = at.value ? "Schedule" : "Tweet";
}

function show() {
  count(composer);
  name();
  warn();
}

// No reason to refuse, but worth knowing before it is sent. Said once.
function warn() {
  const ms = label(composer);
  const same = alike(status.value.trim(), ms && Math.floor(ms / 60_000));
  const said = [same.words && "These words are on your list already: X takes them only once.", same.minute && "Another tweet goes out in that minute."];
  const text = said.filter(Boolean).join(" ");
  if ($(".warn").textContent !== text) $(".warn").textContent = text;
}

document.querySelectorAll("time[datetime]").forEach((time) => stamp(time, Date.parse(time.dateTime)));
startCards();
if (!later.open) choose(tz, ownZone);
startDraft(show);
show();
composer.addEventListener("submit", send);
composer.addEventListener("input", ({ target }) => {
  if (target !== status) changed(composer, target);
  show();
  keep();
});
status.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !event.repeat) composer.requestSubmit();
});
later.addEventListener("toggle", () => {
  if (!later.open) at.value = "";
  else if (!at.value) give(composer, Math.ceil((Date.now() + ROUND) / ROUND) * ROUND);
  show();
  keep();
});
window.addEventListener("pageshow", (event) => event.persisted && count(composer));
setInterval(() => document.querySelectorAll("#composer, .change").forEach(label), 10_000); // "in 5 minutes" is so for a while
