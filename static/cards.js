// The cards: each tweet is followed to its end, at the pace the server sets, and what can be done to it is done in place.

import { chosen, countdown, offset, ownZone, stamp } from "./times.js";

const $ = (selector, root = document) => root.querySelector(selector);
const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];
const words = JSON.parse($("#words").textContent); // of a state, or of a reason to wait: its name, what leads to its time, a hint
const AGAIN = ["failed", "missed", "uncertain"];
const REUSABLE = ["failed", "missed", "cancelled"];
const WAITING = ["scheduled", "retrying"];
const ENDS = ["sent", "failed", "uncertain", "cancelled", "missed"];
// What can be done to a tweet: the form's class, the request, the plain form's own address, and when it is offered.
const DEEDS = {
  cancel: { method: "DELETE", path: "", plain: "/cancel", offered: (tweet) => tweet.cancellable },
  change: { method: "PATCH", path: "", plain: "/edit", offered: (tweet) => WAITING.includes(tweet.state) },
  now: { method: "POST", path: "/now", plain: "/now", offered: (tweet) => tweet.state === "scheduled" },
  found: { method: "POST", path: "/there", plain: "/there", offered: (tweet) => tweet.state === "uncertain" },
  again: { method: "POST", path: "/retry", plain: "/retry", offered: (tweet) => AGAIN.includes(tweet.state) },
};
export const JSON_PLEASE = { Accept: "application/json" };

export function startCards() {
  for (const root of [document, $("template#card").content]) {
    for (const input of $$(".change [name=tz]", root)) input.value = ownZone;
    for (const zone of $$(".change .zone", root)) zone.textContent = `${ownZone}, ${offset(Date.now(), ownZone)}`;
  }
  $$(".card").forEach((card) => follow(card));
  $(".lists").addEventListener("submit", act);
  $(".lists").addEventListener("input", (event) => event.target.name === "at" && chosen(event.target.form));
  document.addEventListener("visibilitychange", back);
  window.addEventListener("pageshow", (event) => event.persisted && back());
  window.addEventListener("resize", () => $$(".card").forEach((card) => (card.style.minHeight = "")));
  setInterval(tick, 1000);
  tick();
}

// A tweet that was accepted; known already when it was pressed twice.
export function add(tweet) {
  settle();
  if ($(`[data-job="${CSS.escape(tweet.job_id)}"]`)) return;
  const card = $("#card").content.firstElementChild.cloneNode(true);
  card.classList.add("new", "live");
  card.dataset.state = "";
  show(card, tweet);
  place(card);
  tick();
  follow(card);
}

// The moment of each tweet that has these words, and of each that goes out in this minute.
export function alike(text, minute) {
  const others = $$(".lists .card").filter((card) => !REUSABLE.includes(card.dataset.state));
  return {
    words: others.some((card) => text && $(".text", card).textContent.trim() === text),
    minute: others.some((card) => card.dataset.state === "scheduled" && Math.floor(Date.parse($("time", card).dateTime) / 60_000) === minute),
  };
}

// One card ------------------------------------------------------------------------------------------------------------

function show(card, tweet) {
  const before = card.dataset.state;
  const held = card.contains(document.activeElement) && document.activeElement;
  if (before && before !== tweet.state) hold(card);
  card.dataset.job = tweet.job_id;
  card.dataset.state = tweet.state;
  card.dataset.poll = tweet.poll_after_ms ?? "";
  const [word, join] = words[tweet.state === "retrying" && tweet.reason?.code] ?? words[tweet.state];
  $("use", card).setAttribute("href", `#i-${tweet.state}`);
  $(".word", card).textContent = word;
  $(".join", card).textContent = tweet.time ? join : "";
  stamp($("time", card), tweet.time);
  $(".tries", card).textContent = tweet.attempt > 1 ? `${tweet.attempt} attempts` : "";
  if (tweet.text !== undefined) $(".text", card).textContent = tweet.text;
  if (!$(".edit", card).open) $(".change textarea", card).value = $(".text", card).textContent;
  explain(card, tweet.reason);
  offer(card, tweet);
  if (held && !held.checkVisibility()) focus(card);
  if (before !== tweet.state) announce(card);
}

// While it is watched a card does not get smaller: nothing below it moves when its state changes.
function hold(card) {
  card.style.minHeight = `${card.offsetHeight}px`;
  card.classList.add("live");
}

// The person does something, or comes back: now the lists may be put in order.
function settle() {
  for (const card of $$(".lists .card")) {
    card.style.minHeight = "";
    if (ENDS.includes(card.dataset.state)) card.classList.remove("new", "live");
    place(card);
  }
}

// Upcoming is in the order of time, recent has the newest first.
function place(card) {
  const list = card.dataset.state === "scheduled" ? $("#upcoming") : $("#recent");
  const due = (other) => $("time", other).dateTime;
  if (card.parentNode === list && list.id === "recent") return;
  const after = list.id === "upcoming" ? $$(".card", list).find((other) => other !== card && due(other) > due(card)) : list.firstChild;
  if (card.parentNode !== list || (after ?? null) !== card.nextSibling) list.insertBefore(card, after ?? null);
}

function offer(card, tweet) {
  $(".there", card).hidden = !tweet.tweet_url;
  $(".there", card).href = tweet.tweet_url ?? "";
  $(".reuse", card).hidden = !REUSABLE.includes(tweet.state);
  $(".reuse", card).href = `/?text_of=${tweet.job_id}`;
  for (const [name, deed] of Object.entries(DEEDS)) {
    const form = $(`.${name}`, card);
    form.action = `/tweets/${tweet.job_id}${deed.plain}`;
    const details = form.closest("details"); // what is being edited is not taken away
    (details ?? form).hidden = !deed.offered(tweet) && !details?.open;
  }
}

// Signed out, here or at X: the button to sign in stands below the words.
function explain(card, reason) {
  const action = reason?.code === "signed_out" ? "sign_in" : reason?.action;
  $(".reason", card).textContent = reason?.message ?? words[card.dataset.state][2] ?? "";
  $(".reason", card).classList.toggle("hint", !reason);
  for (const button of $$("[data-for]", card)) button.hidden = button.dataset.for !== action;
}

// Said once per change of state, never per look; what needs the person's hands interrupts.
function announce(card) {
  const parts = [".word", ".join", "time"].map((part) => $(part, card)).filter((part) => !part.hidden);
  const line = `${parts.map((part) => part.textContent).filter(Boolean).join(" ")}: ${$(".text", card).textContent.slice(0, 60)}`;
  if (AGAIN.includes(card.dataset.state)) $("#alarm").textContent = `${line}. ${$(".reason", card).textContent.trim()}`;
  else $("#said").textContent = line;
  document.title = `${$(".word", card).textContent} · Tweet Now`;
}

// What is due within the hour is counted down, beside the time and for the eye only.
function tick() {
  for (const card of $$(".lists .card")) {
    const text = WAITING.includes(card.dataset.state) ? countdown(Date.parse($("time", card).dateTime)) : "";
    if ($(".countdown", card).textContent !== text) $(".countdown", card).textContent = text;
  }
}

function focus(card) {
  card.tabIndex = -1;
  card.focus({ preventScroll: true });
}

// Looking -------------------------------------------------------------------------------------------------------------

const timers = new WeakMap();
const unreached = new Map();

// Look again at the pace the server sets.
function follow(card, wait = Number(card.dataset.poll)) {
  clearTimeout(timers.get(card));
  if (ENDS.includes(card.dataset.state) || !card.dataset.poll) return;
  const jitter = 0.95 + Math.random() / 10;
  timers.set(card, setTimeout(() => look(card), wait * jitter));
}

// An answer that has not changed comes as 304, which the browser fills in from its cache.
async function look(card) {
  if (document.hidden) return; // on return every card is looked at once
  try {
    const answer = await fetch(`/status/${card.dataset.job}`, { headers: JSON_PLEASE });
    const body = await answer.json();
    reached(card);
    if (answer.status === 404) return explain(card, body.error);
    if (!answer.ok) throw new Error(answer.status);
    show(card, body);
    follow(card);
  } catch {
    follow(card, missed(card));
  }
}

function back() {
  if (document.hidden) return;
  settle();
  $$(".lists .card").filter((card) => !ENDS.includes(card.dataset.state)).forEach(look);
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
    if (answer.status === 422) return; // the form is still open, to be corrected
    if (answer.ok) {
      $(".edit", card).open = false;
      show(card, told);
      follow(card);
    } else if (answer.status === 404) explain(card, told.error);
    else look(card);
    settle();
  } catch {
    note("The connection is lost: try again in a moment.");
  }
  focus(card); // the button that had the focus may be gone
}
