"use strict";
// What all pages have: the theme's button, and tables that a click sorts.
const every = (selector, root = document) => [...root.querySelectorAll(selector)];
const isDark = () => getComputedStyle(document.documentElement).colorScheme.trim() === "dark";

document.getElementById("theme").addEventListener("click", () => {
  document.documentElement.dataset.theme = isDark() ? "light" : "dark";
});

// Numbers by size, words by alphabet; missing values stay last in both directions.
function sortRows(table, column, ascending) {
  const key = (row) => row.cells[column].dataset.value;
  const order = (a, b) => {
    const [x, y] = [key(a), key(b)];
    if (x === "" || y === "") return (x === "") - (y === "");
    const apart = isNaN(x) || isNaN(y) ? x.localeCompare(y) : x - y;
    return ascending ? apart : -apart;
  };
  const body = table.tBodies[0];
  body.append(...[...body.rows].sort(order));
}

for (const table of every("table.sortable"))
  every("th", table).forEach((head, column) =>
    head.querySelector("button").addEventListener("click", () => {
      const ascending = head.getAttribute("aria-sort") !== "ascending";
      every("th", table).forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
      sortRows(table, column, ascending);
    }),
  );
