// The cards: what each says and offers, in which list it stands, and that nothing moves under the reader's eyes.

import { startDeeds } from "./deeds.js";
import { follow, look } from "./look.js";
import { countdown, stamp } from "./times.js";

const $ = (selector, root = document) => root.querySelector(selector);
const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];
const { words, reusable, waiting } = JSON.parse($("#words").textContent);
let width = innerWidth;
let saying;
let ticked = Date.now();

export function startCards() {
  $$(".card").forEach((card) => follow(card, take));
  $(".lists").addEventListener("click", (event) => event.target.matches(".more") && open(event.target.closest(".card")));
  startDeeds($(".lists"), told);
  document.addEventListener("visibilitychange", back);
  window.addEventListener("online", lookAll);
  window.addEventListener("pageshow", (event) => event.persisted && back());
  window.addEventListener("resize", fit);
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
}

// Of those that are on their way: whether one has these words, and whether one goes out in this minute.
export function alike(text, minute) {
  const others = $$(".lists .card").filter((card) => !reusable.includes(card.dataset.state));
  return {
    words: others.some((card) => text && $(".text", card).textContent.trim() === text),
    minute: others.some((card) => card.dataset.state === "scheduled" && Math.floor(Date.parse($("time", card).dateTime) / 60_000) === minute),
  };
}

// Interrupts a screen reader. The same words again are said again: they come into an empty place.
export function alarm(text) {
  clearTimeout(saying);
  $("#alarm").textContent = "";
  saying = setTimeout(() => ($("#alarm").textContent = text), 100);
}

// One card ------------------------------------------------------------------------------------------------------------

// What a look found.
function take(card, body) {
  hold(card);
  if (body.error) explain(card, body.error);
  else show(card, body);
}

// What came of something that the person did to it.
function told(card, status, body) {
  const held = card.contains(document.activeElement);
  const note = status >= 200 && (status < 300 || status === 404) ? "" : body.error.message;
  $(".note", card).textContent = note;
  alarm(note);
  if (status === 422 || status === 0) return follow(card, take); // the form is there, to be corrected or pressed again
  if (status === 409) look(card, take, true);
  else if (!body.error) show(card, body);
  else if (!note) explain(card, body.error);
  else follow(card, take);
  settle();
  const lost = document.activeElement === document.body || (held && !document.activeElement.checkVisibility());
  if (lost) focus(card); // the button that had the focus is gone
}

function show(card, tweet) {
  const before = card.dataset.state;
  const held = card.contains(document.activeElement) && document.activeElement;
  card.dataset.job = tweet.job_id;
  card.dataset.state = tweet.state;
  card.dataset.poll = tweet.poll_after_ms ?? "";
  const [word, join, hint] = words[tweet.state === "retrying" && tweet.reason?.code] ?? words[tweet.state];
  $("use", card).setAttribute("href", `#i-${tweet.state}`);
  $(".word", card).textContent = word;
  $("time", card).dataset.join = join;
  stamp($("time", card), tweet.time);
  stamp($(".planned", card), tweet.state === "sent" && tweet.due_at);
  $(".tries", card).textContent = tweet.attempt > 1 ? `${tweet.attempt} attempts` : "";
  if (tweet.text !== undefined) $(".text", card).textContent = tweet.text;
  explain(card, tweet.reason, hint);
  offer(card, tweet);
  follow(card, take);
  if (held && !held.checkVisibility()) focus(card);
  if (before !== tweet.state) announce(card);
}

// Why it is not out, or what is so. Signed out here, the way in stands below.
function explain(card, reason, hint) {
  const text = $(".reason", card);
  text.textContent = reason?.message ?? hint;
  text.classList.toggle("hint", !reason);
  if (reason?.code === "signed_out" && !reason.action) arrange(card, ["sign_in"]);
  $(".more", card).hidden = text.scrollHeight <= text.clientHeight + 1;
}

function offer(card, tweet) {
  for (const part of ["text", "note"]) $(`.${part}`, card).id = `${part}-${tweet.job_id}`;
  for (const button of $$(".deeds :is(a, button)", card)) button.setAttribute("aria-describedby", `text-${tweet.job_id}`);
  for (const form of $$(".deeds form:not(.sign_in)", card)) form.action = `/tweets/${tweet.job_id}/${form.dataset.path}`;
  $(".edit", card).href = `/?edit=${tweet.job_id}`;
  $(".reuse", card).href = `/?text_of=${tweet.job_id}`;
  $(".there", card).href = tweet.tweet_url ?? "";
  arrange(card, tweet.deeds);
}

// What helps most stands first. A button that stays where it is keeps the focus.
function arrange(card, names) {
  const deeds = $(".deeds", card);
  const offered = names.map((name) => $(`.${name}`, deeds));
  if (offered.some((deed, place) => deeds.children[place] !== deed)) deeds.prepend(...offered);
  for (const deed of deeds.children) deed.hidden = !offered.includes(deed);
}

// Said once per change of state, never per look; what needs the person's hands interrupts.
function announce(card) {
  const parts = [".word", "time"].map((part) => $(part, card)).filter((part) => !part.hidden);
  const line = `${parts.map((part) => part.textContent).join(" ")}: ${$(".text", card).textContent.slice(0, 60)}`;
  if (["failed", "missed", "uncertain"].includes(card.dataset.state)) alarm(`${line}. ${$(".reason", card).textContent.trim()}`);
  else $("#said").textContent = line;
  document.title = `${$(".word", card).textContent} · Tweet Now`;
}

// What is due within the hour is counted down, beside the time and for the eye only. A machine that slept slept
// through its looks.
function tick() {
  if (Date.now() - ticked > 60_000) lookAll();
  ticked = Date.now();
  for (const card of $$(".lists .card")) {
    const text = waiting.includes(card.dataset.state) ? countdown(Date.parse($("time", card).dateTime)) : "";
    if ($(".countdown", card).textContent !== text) $(".countdown", card).textContent = text;
  }
}

function focus(card) {
  card.tabIndex = -1;
  card.focus({ preventScroll: true });
}

// Where they stand ----------------------------------------------------------------------------------------------------

// While it is watched a card keeps its height, and its words keep theirs: what does not fit stands behind "More".
function hold(card) {
  if (card.classList.contains("held")) return;
  const text = $(".reason", card);
  const [room, height] = [card, text].map((part) => part.getBoundingClientRect().height);
  const lines = Math.round(height / parseFloat(getComputedStyle(text).lineHeight));
  if (!$(".change", card)) card.style.minHeight = `${room}px`; // an edit may be closed meanwhile
  text.style.height = `${height}px`;
  text.style.setProperty("--lines", Math.max(1, lines));
  card.classList.add("live", "held");
}

function release(card) {
  card.style.minHeight = $(".reason", card).style.height = "";
  card.classList.remove("held");
  $(".more", card).hidden = true;
}

function open(card) {
  release(card);
  focus(card);
}

// On a screen of another width all heights are others. (A phone's bar that comes and goes changes only the height.)
function fit() {
  if (innerWidth !== width) $$(".lists .card").forEach(release);
  width = innerWidth;
}

// The person does something, or comes back: now the lists may be put in order.
function settle() {
  const focused = document.activeElement;
  for (const card of $$(".lists .card")) {
    release(card);
    if (!card.dataset.poll) card.classList.remove("new", "live");
    place(card);
  }
  if (focused !== document.activeElement && focused.checkVisibility()) focused.focus({ preventScroll: true });
}

// Upcoming is in the order of time, recent has the newest first.
function place(card) {
  const list = card.dataset.state === "scheduled" ? $("#upcoming") : $("#recent");
  const due = (other) => $("time", other).dateTime;
  if (card.parentNode === list && list.id === "recent") return;
  const after = list.id === "upcoming" ? $$(".card", list).find((other) => other !== card && due(other) > due(card)) : list.firstChild;
  if (card.parentNode !== list || (after ?? null) !== card.nextSibling) list.insertBefore(card, after ?? null);
}

function back() {
  if (document.hidden) return;
  settle();
  lookAll();
}

function lookAll() {
  $$(".lists .card").forEach((card) => look(card, take));
}
