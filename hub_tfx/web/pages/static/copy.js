// Buttons that copy. Without this script they stay hidden, and all else works.
"use strict";

function copied(text) {
  if (navigator.clipboard && window.isSecureContext) {
    return navigator.clipboard.writeText(text);
  }
  // Outside of https and localhost browsers have only the older way.
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "unseen";
  area.setAttribute("aria-hidden", "true");
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  return done ? Promise.resolve() : Promise.reject(new Error("not copied"));
}

for (const button of document.querySelectorAll("button.copy")) {
  const told = document.getElementById("told");
  button.hidden = false;
  button.addEventListener("click", async () => {
    const source = document.getElementById(button.dataset.copy);
    let said = "Copied";
    try {
      await copied(source.textContent.trim());
    } catch (error) {
      said = "Not copied";
    }
    button.focus();
    button.textContent = said;
    told.textContent = `${said} ${button.dataset.label}`;
    setTimeout(() => {
      button.textContent = "Copy";
      told.textContent = "";
    }, 2000);
  });
}
