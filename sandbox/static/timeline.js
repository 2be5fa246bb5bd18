// Keeps the timeline fresh: asks for this page again each second while somebody looks, and swaps in what changed.
const list = document.getElementById("timeline");

async function refresh() {
  if (document.hidden) return;
  const response = await fetch(location.pathname);
  if (!response.ok) return;
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  const fresh = page.getElementById("timeline");
  if (fresh.innerHTML === list.innerHTML) return;
  const known = new Set([...list.children].map((child) => child.id));
  list.replaceChildren(...fresh.children);
  for (const child of list.children) child.classList.toggle("new", !known.has(child.id));
}

async function turn() {
  await refresh().catch(() => {}); // the sandbox is away: try again
  setTimeout(turn, 1000);
}

document.addEventListener("visibilitychange", () => refresh().catch(() => {}));
setTimeout(turn, 1000);
