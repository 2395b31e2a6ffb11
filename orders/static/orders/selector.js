// Django's two boxes of rights give a name to a picture without saying that it is one: who hears the page is told neither.
"use strict";
window.addEventListener("load", () => setTimeout(() => {
  for (const icon of document.querySelectorAll(".selector .search-label-icon")) icon.setAttribute("role", "img");
}));
