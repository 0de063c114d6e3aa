// For keyboards and screen readers, what the theme leaves undone: whatever scrolls can be focused, and landmarks have
// names of their own.
const content = document.querySelector(".md-content");
const mend = () => {
  for (const box of content.querySelectorAll("pre > code, .md-typeset__scrollwrap"))
    if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
  content.querySelectorAll(".md-code__nav").forEach((buttons, k) => (buttons.ariaLabel = `Code block ${k + 1}`));
};
for (const section of document.querySelectorAll(".md-nav[aria-labelledby]")) {
  section.ariaLabel = section.querySelector(".md-nav__title").textContent.trim();
  section.removeAttribute("aria-labelledby");
}
new MutationObserver(mend).observe(content, { childList: true, subtree: true });
addEventListener("resize", mend);
mend();
