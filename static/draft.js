// What is typed and not yet sent, kept in the browser: over a reload, a sign-out and a closed tab, and beside other tabs.

import { choose } from "./fields.js";
import { slot } from "./slot.js";

const $ = (selector) => document.querySelector(selector);
const form = $("#composer");
const { status, at, tz, key } = form.elements;
const [draft, aside, sent] = ["draft", "aside", "sent"].map((what) => slot(`${what}:${form.dataset.user}`));
let show; // called when the form was filled
let copied = location.search ? status.value : null; // the text of an old tweet, which is on its card all the same

export function startDraft(changed) {
  show = changed;
  const kept = draft.read();
  if (kept?.text && status.value && status.value !== kept.text) putAside(kept); // this text came with the page
  else if (kept?.text) fill(kept);
  if (status.value) keep();
  if (copied) {
    status.focus();
    status.setSelectionRange(copied.length, copied.length);
  }
  if (location.search) history.replaceState(null, "", location.pathname); // a reload shows what became of it
  offer();
  $(".aside button").addEventListener("click", bringBack);
  window.addEventListener("storage", elsewhere);
}

// The key is kept with text and time: what may already have arrived keeps its key over a reload, so it cannot go out twice.
export function snapshot() {
  const { fold } = form.elements;
  return { text: status.value, key: key.value, at: at.value, tz: tz.value, fold: fold.value, copied: status.value === copied };
}

// A draft that another tab wrote meanwhile makes room, and is offered in both.
export function keep() {
  const kept = draft.read();
  if (kept && kept.key !== key.value) {
    if (!status.value) return;
    putAside(kept);
    forget(key.value);
    offer();
  }
  draft.write(status.value ? snapshot() : null);
}

// It was accepted: the other tabs are told, and what was typed meanwhile is the next one's.
export function done(tweet) {
  sent.write(tweet);
  sent.write(null);
  const kept = draft.read();
  if (kept?.key === tweet.key && kept.text === tweet.text) draft.write(null);
  forget(tweet.key);
  const text = status.value.startsWith(tweet.text) ? status.value.slice(tweet.text.length) : status.value;
  fill({ text });
  if (text) keep();
  offer(); // offered, not brought back: a second press would send it
}

export function newKey() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

function fill(kept) {
  [status.value, key.value, at.value] = [kept.text, kept.key ?? newKey(), kept.at ?? ""];
  $("#later").open = Boolean(kept.at);
  if (kept.at) choose(tz, kept.tz);
  form.elements.fold.value = kept.fold ?? "";
  copied = kept.copied ? kept.text : null;
  show();
}

// Drafts that made room for another text ------------------------------------------------------------------------------

function putAside(kept) {
  if (kept.copied) return;
  const others = aside.read() ?? [];
  aside.write([kept, ...others.filter((other) => other.text !== kept.text && other.key !== kept.key)]);
}

function forget(used) {
  const others = (aside.read() ?? []).filter((other) => other.key !== used);
  aside.write(others.length ? others : null);
}

function offer() {
  $(".aside").hidden = !aside.read()?.length;
}

// The one that waits for longest, in exchange for what is in the box.
function bringBack() {
  if (status.value) putAside(snapshot());
  const others = aside.read() ?? [];
  const back = others.pop();
  aside.write(others.length ? others : null);
  if (back) {
    fill(back);
    keep();
  }
  offer();
}

// Other tabs ----------------------------------------------------------------------------------------------------------

// They share the draft, and with it the key. This tab's own text stays, under a key of its own once that one is used.
function elsewhere({ key: name, newValue }) {
  if (name === aside.name) offer();
  const tweet = name === sent.name && JSON.parse(newValue);
  if (tweet?.key === key.value) fill(status.value === tweet.text ? { text: "" } : { ...snapshot(), key: null });
  if (status.value && (tweet || (name === draft.name && !newValue))) keep();
}
