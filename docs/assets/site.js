// For keyboards and screen readers, what the theme leaves undone: whatever scrolls can be focused, and the buttons of a
// block of code are a group, not a landmark.
const content = document.querySelector(".md-content");
const mend = () => {
  for (const box of content.querySelectorAll("pre > code, .md-typeset__scrollwrap"))
    if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
  for (const buttons of content.querySelectorAll(".md-code__nav")) buttons.role = "group";
};
new MutationObserver(mend).observe(content, { childList: true, subtree: true });
addEventListener("resize", mend);
mend();
