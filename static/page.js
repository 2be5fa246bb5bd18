// Sends the forms without leaving the page, follows each tweet to its end, shows times by the reader's clock.
// Everything here has a plain HTML way too: without this file the page works, it is only less lively.

import { weight } from "./weight.js";

const $ = (selector, root = document) => root.querySelector(selector);
const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];
const composer = $("#composer");
const words = composer && JSON.parse($("#words").textContent);
const AGAIN = new Set(["failed", "missed", "uncertain"]);
const REUSABLE = new Set(["failed", "missed", "cancelled"]);
const WAITING = new Set(["scheduled", "retrying"]);
const ENDS = new Set(["sent", "failed", "uncertain", "cancelled", "missed"]);
// What can be done to a tweet: the form's class, the request, the plain form's own address, and when it is offered.
const DEEDS = {
  cancel: { method: "DELETE", path: "", plain: "/cancel", offered: (tweet) => tweet.cancellable },
  change: { method: "PATCH", path: "", plain: "/edit", offered: (tweet) => WAITING.has(tweet.state) },
  now: { method: "POST", path: "/now", plain: "/now", offered: (tweet) => tweet.state === "scheduled" },
  found: { method: "POST", path: "/there", plain: "/there", offered: (tweet) => tweet.state === "uncertain" },
  again: { method: "POST", path: "/retry", plain: "/retry", offered: (tweet) => AGAIN.has(tweet.state) },
};
const JSON_PLEASE = { Accept: "application/json" };

// Times ---------------------------------------------------------------------------------------------------------------

function stamp(time, ms) {
  time.hidden = !ms;
  if (!ms) return;
  const date = new Date(ms);
  time.dateTime = date.toISOString();
  time.textContent = readable(date);
  time.title = date.toLocaleString(undefined, { dateStyle: "full", timeStyle: "long" });
}

function readable(date) {
  const now = new Date();
  const parts = { hour: "numeric", minute: "2-digit" };
  if (date > now && date.getSeconds()) parts.second = "2-digit";
  if (date.toDateString() !== now.toDateString()) Object.assign(parts, { weekday: "short", day: "numeric", month: "short" });
  if (date.getFullYear() !== now.getFullYear()) parts.year = "numeric";
  return date.toLocaleString(undefined, parts);
}

function fromNow(ms) {
  const seconds = Math.round((ms - Date.now()) / 1000);
  const steps = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];
  const [unit, size] = steps.find(([, size]) => Math.abs(seconds) >= size * 1.5) ?? steps[3];
  return new Intl.RelativeTimeFormat(document.documentElement.lang).format(Math.round(seconds / size), unit);
}

// What is due within the hour is counted down, beside the time and for the eye only.
function tick() {
  for (const card of $$(".card")) {
    const due = WAITING.has(card.dataset.state) ? Date.parse($("time", card).dateTime) - Date.now() : 0;
    const rest = Math.ceil(due / 1000);
    $(".countdown", card).textContent = rest > 0 && rest < 3600 ? `in ${Math.floor(rest / 60)}:${String(rest % 60).padStart(2, "0")}` : "";
  }
}

// The moment at which the clocks of a zone show `local`. Only to be shown: the server decides, also about clock changes.
function moment(local, zone) {
  const clock = new Intl.DateTimeFormat("sv-SE", { timeZone: zone, dateStyle: "short", timeStyle: "medium" });
  const shown = (ms) => Date.parse(`${clock.format(ms).replace(" ", "T")}Z`);
  const wall = Date.parse(`${local}Z`);
  const near = 2 * wall - shown(wall);
  return wall - shown(near) + near;
}

// One tweet -----------------------------------------------------------------------------------------------------------

function show(card, tweet) {
  const changed = card.dataset.state !== tweet.state;
  card.dataset.job = tweet.job_id;
  card.dataset.state = tweet.state;
  card.dataset.poll = tweet.poll_after_ms ?? "";
  $("use", card).setAttribute("href", `#i-${tweet.state}`);
  $(".word", card).textContent = tweet.time ? words[tweet.state] : inShort(tweet.state);
  stamp($("time", card), tweet.time);
  if (tweet.text !== undefined) $(".text", card).textContent = tweet.text;
  if (!$(".edit", card).open) $(".change textarea", card).value = $(".text", card).textContent;
  explain(card, tweet.reason);
  $(".there", card).hidden = !tweet.tweet_url;
  $(".there", card).href = tweet.tweet_url ?? "";
  $(".reuse", card).hidden = !REUSABLE.has(tweet.state);
  $(".reuse", card).href = `/?text_of=${tweet.job_id}`;
  for (const [name, deed] of Object.entries(DEEDS)) {
    const form = $(`.${name}`, card);
    form.action = `/tweets/${tweet.job_id}${deed.plain}`;
    (form.closest("details") ?? form).hidden = !deed.offered(tweet);
  }
  if (changed) announce(card);
}

function inShort(state) {
  return words[state].replace(/ (at|for)$/, "");
}

// Signed out, here or at X: the button to sign in stands below the words.
function explain(card, reason) {
  const action = reason?.code === "signed_out" ? "sign_in" : reason?.action;
  $(".reason", card).hidden = !reason;
  $(".reason", card).textContent = reason?.message ?? "";
  for (const button of $$("[data-for]", card)) button.hidden = button.dataset.for !== action;
}

// Said once per change of state, never per look; what needs the person's hands interrupts.
function announce(card) {
  const state = card.dataset.state;
  const text = $(".text", card).textContent;
  const time = $("time", card).hidden ? "" : ` ${$("time", card).textContent}`;
  const line = `${$(".word", card).textContent}${time}: ${text.slice(0, 60)}`;
  if (AGAIN.has(state)) $("#alarm").textContent = `${line}. ${$(".reason", card).textContent.trim()}`;
  else $("#said").textContent = line;
  document.title = `${inShort(state)} · Tweet Now`;
}

// Upcoming is in the order of time, recent has the newest first.
function place(card) {
  const list = card.dataset.state === "scheduled" ? $("#upcoming") : $("#recent");
  if (card.parentNode === list) return;
  const due = (other) => $("time", other).dateTime;
  const after = list.id === "upcoming" ? $$(".card", list).find((other) => due(other) > due(card)) : list.firstChild;
  list.insertBefore(card, after ?? null);
}

const timers = new WeakMap();
const unreached = new Map();

// Look again at the pace the server sets; a hidden tab waits until it is seen.
function follow(card, wait = Number(card.dataset.poll)) {
  clearTimeout(timers.get(card));
  if (ENDS.has(card.dataset.state) || !card.dataset.poll) return;
  const jitter = 0.95 + Math.random() / 10;
  timers.set(card, setTimeout(() => look(card), Math.min(wait * jitter, 3600_000)));
}

async function look(card) {
  if (document.hidden) return; // on return every card is looked at once
  try {
    const answer = await fetch(`/status/${card.dataset.job}`, { headers: JSON_PLEASE });
    const body = await answer.json();
    reached(card);
    if (answer.status === 404) return explain(card, body.error);
    if (!answer.ok) throw new Error(answer.status);
    show(card, body);
    place(card);
    follow(card);
  } catch {
    follow(card, missed(card));
  }
}

function missed(card) {
  const times = (unreached.get(card) ?? 0) + 1;
  unreached.set(card, times);
  if (times >= 3) $("#lost").textContent = "Connection lost, still trying";
  return Math.min(1000 * 2 ** times, 30_000);
}

function reached(card) {
  unreached.delete(card);
  if (unreached.size === 0) $("#lost").textContent = "";
}

// Cancel, Edit, Send now and the like. Why it did not work stays until the next try, whatever is found out about the tweet meanwhile.
async function act(event) {
  const deed = DEEDS[event.target.className];
  if (!deed) return;
  event.preventDefault();
  const card = event.target.closest(".card");
  const body = deed.method === "PATCH" ? new URLSearchParams(new FormData(event.target)) : null;
  const note = (text) => ($(".note", card).textContent = text);
  try {
    const request = { method: deed.method, body, headers: JSON_PLEASE };
    const answer = await fetch(`/tweets/${card.dataset.job}${deed.path}`, request);
    const told = await answer.json();
    note(answer.ok || answer.status === 404 ? "" : told.error.message);
    twice(event.target, told.error?.code === "comes_twice");
    if (answer.ok) {
      $(".edit", card).open = false;
      show(card, told);
    } else if (answer.status === 404) explain(card, told.error);
    else if (answer.status !== 422) look(card);
    place(card);
    if (answer.ok) follow(card);
  } catch {
    note("The connection is lost: try again in a moment.");
  }
  card.tabIndex = -1;
  card.focus({ preventScroll: true }); // the button that had the focus may be gone
}

// Where clocks go back a time comes twice: ask which is meant.
function twice(form, asked) {
  const choice = $(".twice", form);
  if (!choice) return;
  choice.hidden = choice.disabled = !asked;
  for (const radio of $$("input", choice)) radio.checked = false;
  if (asked) $("input", choice).focus();
}

// The composer --------------------------------------------------------------------------------------------------------

function startComposer() {
  const { status, at, tz, key } = composer.elements;
  const button = $(".main", composer);
  const later = $("#later");
  const draft = `draft:${composer.dataset.user}`;
  let busy = false;

  restore();
  detectZone();
  count();
  label();
  composer.addEventListener("submit", send);
  status.addEventListener("input", () => {
    count();
    keep();
  });
  status.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) composer.requestSubmit();
  });
  later.addEventListener("toggle", () => {
    at.value = later.open ? at.value || soon() : "";
    label();
  });
  for (const [field, change] of [[at, "input"], [tz, "change"]]) {
    field.addEventListener(change, () => {
      twice(composer, false);
      label();
    });
  }
  window.addEventListener("pageshow", (event) => event.persisted && count());

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
    if (!$(`[data-job="${CSS.escape(tweet.job_id)}"]`)) add(tweet);
    status.value = status.value.startsWith(sent) ? status.value.slice(sent.length) : status.value;
    later.open = false;
    at.value = "";
    key.value = newKey();
    keep();
    twice(composer, false);
    count();
    label();
  }

  function add(tweet) {
    const card = $("#card").content.firstElementChild.cloneNode(true);
    card.classList.add("new");
    card.dataset.state = "";
    show(card, tweet);
    place(card);
    follow(card);
  }

  function refused(error) {
    $("#trouble").textContent = error.message;
    $(".signin", composer).hidden = error.code !== "signed_out";
    if (error.code === "signed_out") keep(); // also a text that came with the page and was not typed
    for (const field of [status, at, tz]) field.removeAttribute("aria-invalid");
    if (error.field && composer.elements[error.field]) {
      composer.elements[error.field].setAttribute("aria-invalid", "true");
      composer.elements[error.field].focus();
    }
    if (error.code === "key_reused") key.value = newKey();
    if (error.field === "at") $(".moment", composer).textContent = "";
    if (error.code === "comes_twice") twice(composer, true);
  }

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

  function detectZone() {
    const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
    if (!zone || later.open) return;
    if (![...tz.options].some((option) => option.value === zone)) tz.add(new Option(zone, zone), 0);
    tz.value = zone;
  }

  function soon() {
    const step = 5 * 60_000;
    const then = new Date(Math.ceil((Date.now() + step) / step) * step);
    return new Date(then - then.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
  }

  function label() {
    button.textContent = at.value ? "Schedule" : "Tweet";
    const ms = at.value ? moment(at.value, tz.value) : NaN;
    $(".moment", composer).textContent = Number.isNaN(ms) ? "Empty means now." : inWords(ms);
    warn();
  }

  // In the zone that was chosen, with its offset; in UTC; and on the reader's own clock where that is another one.
  function inWords(ms) {
    const at = (timeZone, more) => new Date(ms).toLocaleString(undefined, { timeZone, weekday: "short", hour: "numeric", minute: "2-digit", ...more });
    const own = Intl.DateTimeFormat().resolvedOptions().timeZone;
    const there = `${at(tz.value, { timeZoneName: "shortOffset" })} in ${tz.value.replace(/_/g, " ")}, ${at("UTC", {})} UTC`;
    const here = own === tz.value || own === "UTC" ? "" : `, ${at(own, {})} on your clock`;
    return ms < Date.now() ? `That is past: ${there}${here}.` : `Goes out ${fromNow(ms)}: ${there}${here}.`;
  }

  // No reason to refuse, but worth knowing before it is sent.
  function warn() {
    const text = status.value.trim();
    const others = $$(".lists .card").filter((card) => !["failed", "missed", "cancelled"].includes(card.dataset.state));
    const same = text && others.some((card) => $(".text", card).textContent.trim() === text);
    const minute = at.value && Math.floor(moment(at.value, tz.value) / 60_000);
    const due = (card) => Math.floor(Date.parse($("time", card).dateTime) / 60_000);
    const near = minute && $$("#upcoming .card").some((card) => due(card) === minute);
    const words = [same && "These words are on your list already: X takes them only once.", near && "Another tweet goes out in that minute."];
    const said = words.filter(Boolean).join(" ");
    if ($(".warn", composer).textContent !== said) $(".warn", composer).textContent = said;
  }

  function count() {
    warn();
    const limit = Number(composer.dataset.limit);
    const left = limit - weight(status.value);
    const meter = $(".count", composer);
    const before = meter.className;
    $(".left", meter).textContent = left;
    $(".ring", meter).style.setProperty("--used", Math.min(1, 1 - left / limit));
    meter.className = `count${left < 0 ? " over" : left <= 20 ? " near" : ""}`;
    if (meter.className !== before && left <= 20) {
      $("#said").textContent = left < 0 ? `${-left} character${left === -1 ? "" : "s"} too many` : `${left} character${left === 1 ? "" : "s"} left`;
    }
  }
}

function back() {
  if (!document.hidden) $$(".card").filter((card) => !ENDS.has(card.dataset.state)).forEach(look);
}

$$("time[datetime]").forEach((time) => stamp(time, Date.parse(time.dateTime)));
if (composer) {
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  for (const template of [document, $("template#card").content]) {
    $$(".change [name=tz]", template).forEach((input) => (input.value = zone));
    $$(".change .zone", template).forEach((shown) => (shown.textContent = zone));
  }
  $$(".card").forEach((card) => follow(card));
  document.addEventListener("visibilitychange", back);
  setInterval(tick, 1000);
  tick();
  $(".lists").addEventListener("submit", act);
  startComposer();
}
