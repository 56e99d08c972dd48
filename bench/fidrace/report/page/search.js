"use strict";
// Finds pages that hold all words; those with a word in the title come first.
(() => {
  const pages = JSON.parse(document.getElementById("data").textContent);
  const field = document.getElementById("words"), list = document.getElementById("found");
  const count = (text, word) => text.split(word).length - 1;

  function look() {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    const hits = pages
      .map((page) => ({ ...page, low: page.text.toLowerCase(), head: page.title.toLowerCase() }))
      .filter((page) => words.length && words.every((word) => page.low.includes(word) || page.head.includes(word)))
      .map((page) => ({ ...page, score: words.reduce((sum, word) => sum + count(page.low, word) + 100 * count(page.head, word), 0) }))
      .sort((a, b) => b.score - a.score);
    list.replaceChildren(
      ...hits.slice(0, 50).map((page) => {
        const item = document.createElement("li"), link = document.createElement("a"), part = document.createElement("p");
        const at = Math.max(0, page.low.indexOf(words[0]) - 60);
        link.href = page.place;
        link.textContent = page.title;
        part.className = "note";
        part.textContent = page.text.slice(at, at + 200);
        item.append(link, part);
        return item;
      }),
    );
    document.getElementById("count").textContent = words.length ? `${hits.length} pages` : "";
  }

  field.addEventListener("input", look);
})();
