// Looking at tweets again, at the pace the server sets, until they are at an end; and saying so when that does not work.

export const JSON_PLEASE = { Accept: "application/json" };
const LEAST = 2000; // ms between two tries when there is no answer; growing to the most
const MOST = 30_000;
const timers = new WeakMap();
const turns = new WeakMap(); // card: how many requests about it began or changed it; the answer to an older one is none
const since = new Map(); // card: since when nothing of it is known

// Look at a card after a while; `take` is given what was answered.
export function follow(card, take, wait = Number(card.dataset.poll)) {
  clearTimeout(timers.get(card));
  if (!card.dataset.poll) return reached(card); // at an end
  const jitter = Math.random() * Math.min(wait / 10, 1000);
  timers.set(card, setTimeout(() => look(card, take), wait + jitter));
}

// A request that gets no answer is given up after a while: somebody may have changed to another network.
export const within = () => AbortSignal.timeout(20_000);

// What is answered from now on to an earlier request about this card is old.
export function turn(card) {
  turns.set(card, (turns.get(card) ?? 0) + 1);
  return turns.get(card);
}

// An answer that has not changed comes as 304, which the browser fills in from its cache.
export async function look(card, take, ended = false) {
  if (document.hidden || !(card.dataset.poll || ended)) return; // on return every card is looked at once
  clearTimeout(timers.get(card));
  const mine = turn(card);
  try {
    const answer = await fetch(`/status/${card.dataset.job}`, { headers: JSON_PLEASE, signal: within() });
    if (!answer.ok && answer.status !== 404) throw new Error("The server cannot answer");
    const body = await answer.json();
    reached(card);
    if (mine === turns.get(card)) take(card, body);
  } catch (error) {
    if (mine === turns.get(card)) follow(card, take, missed(card, error));
  }
}

function missed(card, error) {
  if (!since.has(card)) since.set(card, Date.now());
  const gone = Date.now() - since.get(card);
  if (gone >= 2 * LEAST) say(`${error.name === "Error" ? error.message : "Connection lost"}, still trying`);
  return Math.min(Math.max(gone, LEAST), MOST);
}

export function reached(card) {
  since.delete(card);
  if (since.size === 0) say("");
}

function say(text) {
  const lost = document.querySelector("#lost");
  if (lost.textContent !== text) lost.textContent = text;
}
