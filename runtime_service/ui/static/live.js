// Keeps an open page up to date: it reads itself again when the runtime says that there is something new.
// Says nothing itself, so that no value is ever put into a page by a script. Without it a reload does the same.
"use strict";

const follow = (main) => {
  const rest = Number(main.dataset.rest);
  let isReading = false;
  let isStale = false;

  const open = () => new Set([...document.querySelectorAll("details[open]")].map((it) => it.id));

  const take = (text) => {
    const fresh = new DOMParser().parseFromString(text, "text/html").querySelector("main");
    if (!fresh) return;
    const wasOpen = open();
    for (const it of fresh.querySelectorAll("details")) it.open = wasOpen.has(it.id);
    for (const kept of main.querySelectorAll("[data-kept]")) fresh.querySelector("[data-kept]")?.replaceWith(kept);
    main.replaceChildren(...fresh.childNodes);
    showEnds();
  };

  const read = async () => {
    if (isReading) {
      isStale = true;
      return;
    }
    isReading = true;
    isStale = false;
    try {
      const answer = await fetch(location.href);
      if (answer.ok) take(await answer.text());
    } catch {
      // The runtime is away; what it tells when it is back makes the page read itself again.
    }
    setTimeout(() => {
      isReading = false;
      if (isStale) read();
    }, rest);
  };

  const source = new EventSource(main.dataset.live);
  source.addEventListener("changed", read);
  source.addEventListener("ended", () => {
    source.close();
    read();
  });
  addEventListener("pagehide", () => source.close());
};

const showEnds = () => {
  for (const it of document.querySelectorAll("[data-end]")) it.scrollTop = it.scrollHeight;
};

showEnds();
const main = document.querySelector("main[data-live]");
if (main) follow(main);
