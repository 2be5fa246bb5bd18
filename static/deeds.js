// What a person can do to a tweet, done in place: cancel, send now, send again, edit. Each is a plain form or link too.

import { changed, choose, count, give, isGiven, label } from "./fields.js";
import { JSON_PLEASE, reached, turn, within } from "./look.js";
import { slot } from "./slot.js";
import { ownZone } from "./times.js";

const $ = (selector, root = document) => root.querySelector(selector);
// The form's class: the request.
const DEEDS = {
  cancel: { method: "DELETE", path: "" },
  change: { method: "PATCH", path: "" },
  now: { method: "POST", path: "/now" },
  found: { method: "POST", path: "/there" },
  again: { method: "POST", path: "/retry" },
};

const busy = new WeakSet();

// `told` is given the card, the status and the body of each answer.
export function startDeeds(lists, told) {
  for (const form of lists.querySelectorAll(".change")) begin(form, form.closest(".card"));
  for (const card of lists.querySelectorAll(".card")) goOn(card);
  lists.addEventListener("submit", (event) => act(event, told));
  lists.addEventListener("click", press);
  lists.addEventListener("keydown", shortcut);
  lists.addEventListener("input", ({ target }) => {
    const form = target.closest(".change");
    if (!form) return;
    if (target.name !== "status") changed(form, target);
    say(form);
    kept(form.closest(".card")).write(Object.fromEntries(new FormData(form)));
  });
}

// Why it did not work stays until the next try, whatever is found out about the tweet meanwhile.
async function act(event, told) {
  const form = event.target;
  const deed = DEEDS[form.className];
  if (!deed) return;
  event.preventDefault();
  const card = form.closest(".card");
  if (busy.has(card)) return; // pressed twice
  busy.add(card);
  card.setAttribute("aria-busy", true);
  try {
    const body = deed.method === "PATCH" ? fields(form) : null;
    const request = { method: deed.method, body, headers: JSON_PLEASE, signal: within() };
    const answer = await fetch(`/tweets/${card.dataset.job}${deed.path}`, request);
    const said = await answer.json();
    turn(card);
    reached(card);
    if (answer.ok) close(card);
    mark(form, said.error?.field);
    told(card, answer.status, said);
  } catch {
    turn(card);
    told(card, 0, { error: { message: "The connection is lost: try again in a moment." } });
  }
  card.removeAttribute("aria-busy");
  busy.delete(card);
}

// The field that was refused.
function mark(form, name) {
  for (const field of form.elements) field.removeAttribute("aria-invalid");
  const field = form.elements[name];
  field?.setAttribute?.("aria-invalid", "true");
  field?.focus?.();
}

// A time that was not touched is not sent: it may be over by now, and the text can be changed all the same.
function fields(form) {
  const body = new URLSearchParams(new FormData(form));
  if (isGiven(form)) body.delete("at");
  return body;
}

// The edit ------------------------------------------------------------------------------------------------------------

function press(event) {
  const card = event.target.closest(".card");
  const link = event.target.closest(".edit, .keep");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  if (link.matches(".keep")) return close(card);
  edit(card).elements.status.focus();
}

function edit(card) {
  const form = $("#change").content.firstElementChild.cloneNode(true);
  form.action = `/tweets/${card.dataset.job}/edit`;
  form.elements.status.value = $(".text", card).textContent;
  const note = $(".note", card).id;
  $(".moment", form).id = `moment-${note}`;
  for (const name of ["status", "at", "tz"]) form.elements[name].setAttribute("aria-describedby", name === "at" ? `${note} moment-${note}` : note);
  $(".note", card).after(form);
  begin(form, card);
  return form;
}

function begin(form, card) {
  if (!form.elements.at.hasAttribute("aria-invalid") && form.elements.tz.value === "UTC") {
    choose(form.elements.tz, ownZone);
    give(form, card.dataset.state === "scheduled" ? Date.parse($("time", card).dateTime) : null);
  }
  say(form);
}

// An edit that was not finished: a reload does not lose it.
function goOn(card) {
  const typed = kept(card).read();
  if (!typed || $(".change", card)) return;
  if ($(".edit", card).hidden) return kept(card).write(null);
  const form = edit(card);
  choose(form.elements.tz, typed.tz);
  for (const [name, value] of Object.entries(typed)) form.elements[name].value = value;
  say(form);
}

function kept(card) {
  return slot(`edit:${card.dataset.job}`);
}

function say(form) {
  count(form);
  label(form);
}

function close(card) {
  const form = $(".change", card);
  if (!form) return;
  kept(card).write(null);
  $(".note", card).textContent = "";
  const held = form.contains(document.activeElement);
  form.remove();
  const link = $(".edit", card);
  if (!link.checkVisibility()) card.tabIndex = -1;
  if (held) (link.checkVisibility() ? link : card).focus({ preventScroll: true });
}

function shortcut(event) {
  const form = event.target.closest(".change");
  if (!form) return;
  if (event.isComposing || event.repeat) return; // the key belongs to the choice of a character
  if (event.key === "Escape") close(form.closest(".card"));
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
}
