// Keeps the operators' page fresh without moving what is being read, and does its forms without leaving the page.
// Without this file everything works by plain forms; the page is then as of its last load.

const $ = (selector, root = document) => root.querySelector(selector);
const PAUSE = 5000; // ms between two looks
const live = $("#live");
let busy = false; // looking
let doing = null; // the form that is sent
let missed = 0;
let timer;

// Make `old` like `fresh`, keeping each node that is in both: focus, selection, scroll and what is open stay.
function morph(old, fresh) {
  if (old.nodeType === Node.TEXT_NODE) {
    if (old.data !== fresh.data) old.data = fresh.data;
    return;
  }
  for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name) && name !== "open") old.removeAttribute(name);
  for (const { name, value } of fresh.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  const known = new Map([...old.children].filter((child) => child.dataset.key).map((child) => [child.dataset.key, child]));
  let place = old.firstChild;
  for (const child of [...fresh.childNodes]) {
    let same = child.dataset?.key ? known.get(child.dataset.key) : place;
    if (same && (same.nodeName !== child.nodeName || same.dataset?.key !== child.dataset?.key)) same = null;
    if (same) morph(same, child);
    const here = same ?? child;
    if (here === place) place = place.nextSibling;
    else old.insertBefore(here, place);
  }
  while (place) {
    const next = place.nextSibling;
    place.remove();
    place = next;
  }
}

// What the reader looks at: the element in focus, else the first one on the screen. It stays where it is.
function anchor() {
  const onScreen = (element) => {
    const box = element.getBoundingClientRect();
    return box.height > 0 && box.bottom > 0 && box.top < innerHeight;
  };
  const focus = $("#ops").contains(document.activeElement) ? document.activeElement : null;
  const element = focus && onScreen(focus) ? focus : [...document.querySelectorAll("#ops h2, #ops [data-key], #ops figure")].find((one) => onScreen(one) && one.getBoundingClientRect().top >= 0);
  return element && { element, top: element.getBoundingClientRect().top };
}

function show(text) {
  const fresh = new DOMParser().parseFromString(text, "text/html");
  if (!$("#ops", fresh)) throw new Error("signed out");
  const before = codes();
  const held = scrollY > 0 ? anchor() : null;
  const focus = document.activeElement;
  morph($("#ops"), $("#ops", fresh));
  if (held?.element.isConnected) scrollBy(0, held.element.getBoundingClientRect().top - held.top);
  if (focus && !focus.isConnected) $("#dead")?.focus({ preventScroll: true });
  const now = codes();
  if (now !== before) $("#said").textContent = $(".problems").textContent.trim();
  if ($("#notice", fresh).textContent) $("#notice").textContent = $("#notice", fresh).textContent;
}

function codes() {
  return [...document.querySelectorAll("[data-code]")].map((problem) => problem.dataset.code).join();
}

async function ask(options) {
  const limit = { headers: { Accept: "text/html" }, signal: AbortSignal.timeout(30_000) };
  const answer = await fetch(options?.to ?? location.pathname, { ...limit, ...options });
  if (answer.status === 404) return location.reload(); // signed out here: there is nothing to see any more
  show(await answer.text());
  missed = 0;
  $("#lost").textContent = "";
}

async function look() {
  clearTimeout(timer);
  if (document.hidden || busy || doing || live.getAttribute("aria-pressed") === "false") return;
  busy = true;
  try {
    await ask();
  } catch {
    missed += 1;
    if (missed >= 2) $("#lost").textContent = "Connection lost, still trying";
  }
  busy = false;
  timer = setTimeout(look, Math.min(PAUSE * 2 ** missed, 60_000));
}

// A form of this page: its answer leads back here.
async function act(event) {
  const form = event.target;
  if (!form.action.includes("/admin/queue/")) return;
  event.preventDefault();
  if (doing) return;
  doing = form;
  $("#notice").textContent = "";
  try {
    await ask({ to: form.action, method: "POST", body: new URLSearchParams(new FormData(form)) });
    const asked = form.closest("details.sure");
    if (asked) asked.open = false;
  } catch {
    $("#notice").textContent = "The connection is lost, and it is not known whether that was done: look again in a moment.";
  }
  doing = null;
  look();
}

live.hidden = false;
live.addEventListener("click", () => {
  const on = live.getAttribute("aria-pressed") === "false";
  live.setAttribute("aria-pressed", on);
  look();
});
document.addEventListener("submit", act);
document.addEventListener("visibilitychange", look);
timer = setTimeout(look, PAUSE);
