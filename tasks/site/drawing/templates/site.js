"use strict";
for (const box of document.querySelectorAll("[data-filter]")) {
  const controls = box.querySelector(".filters"), rows = [...box.querySelectorAll("tbody tr")];
  const search = controls.querySelector("input"), choices = [...controls.querySelectorAll("select")];
  const count = controls.querySelector("output");
  const texts = rows.map(row => row.textContent.toLowerCase());
  const update = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    rows.forEach((row, i) => {
      const fits = words.every(word => texts[i].includes(word)) &&
        choices.every(choice => !choice.value || row.getAttribute("data-" + choice.name) === choice.value);
      row.hidden = !fits;
      shown += fits;
    });
    count.textContent = `${shown} of ${rows.length} rows`;
  };
  controls.hidden = false;
  controls.addEventListener("input", update);
  search.addEventListener("keydown", event => {
    if (event.key === "Escape") { search.value = ""; update(); }
  });
  update();
}
for (const box of document.querySelectorAll(".scroll.newest")) box.scrollLeft = box.scrollWidth;
document.addEventListener("click", async event => {
  const button = event.target.closest("button[data-copy]");
  if (!button) return;
  const text = button.closest(".snippet").querySelector("pre").textContent;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = document.body.appendChild(document.createElement("textarea"));
    area.value = text;
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  button.textContent = "Copied";
  setTimeout(() => { button.textContent = "Copy"; button.focus(); }, 1200);
});
document.addEventListener("keydown", event => {
  const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
  const search = document.querySelector("input[type=search]");
  if (event.key === "/" && !typing && search) { event.preventDefault(); search.focus(); }
});
