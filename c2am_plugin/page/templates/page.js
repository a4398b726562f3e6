"use strict";
// Sorting tables and choosing pictures. Without this script everything is visible in one order.
(() => {
  const number = (text) => parseFloat(text.replace("−", "-"));

  function sortBy(table, column, button) {
    const header = button.parentElement;
    const rising = header.getAttribute("aria-sort") !== "ascending";
    for (const each of table.tHead.rows[0].cells) each.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", rising ? "ascending" : "descending");
    const text = (row) => row.cells[column].textContent;
    const rows = [...table.tBodies[0].rows].sort((a, b) => {
      const [x, y] = [number(text(a)), number(text(b))];
      if (!isNaN(x) && !isNaN(y)) return x - y;
      if (!isNaN(x) || !isNaN(y)) return isNaN(x) ? 1 : -1;
      return text(a).localeCompare(text(b));
    });
    table.tBodies[0].append(...(rising ? rows : rows.reverse()));
  }

  for (const table of document.querySelectorAll("table.sortable")) {
    [...table.tHead.rows[0].cells].forEach((header, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...header.childNodes);
      button.addEventListener("click", () => sortBy(table, column, button));
      header.append(button);
    });
  }

  const list = document.getElementById("images");
  const form = document.querySelector("form.controls");
  if (!list || !form) return;
  const chosen = [...list.children];
  const orders = {
    "": () => 0,
    most: (a, b) => b.dataset.changed - a.dataset.changed,
    least: (a, b) => a.dataset.changed - b.dataset.changed,
    name: (a, b) => a.dataset.name.localeCompare(b.dataset.name),
  };

  function update() {
    const wanted = form.elements["class"].value;
    const order = orders[form.elements["order"].value];
    let shown = 0;
    for (const each of [...chosen].sort(order)) {
      each.hidden = wanted !== "" && !each.dataset.classes.split(" ").includes(wanted);
      shown += !each.hidden;
      list.append(each);
    }
    document.getElementById("count").textContent = `${shown} of ${chosen.length} images`;
  }

  form.hidden = false;
  form.addEventListener("change", update);
  form.addEventListener("submit", (event) => event.preventDefault());
  update();
})();
