"""Finds texts that are cut off, that lie over each other, or that make a page scroll sideways."""

from __future__ import annotations

from playwright.async_api import Page

# Texts for screen readers only, and those that are meant to end in an ellipsis, are left out.
FIND = r"""() => {
  const UNSEEN = ["vh", "sr-only", "visually-hidden", "material-symbols-outlined"].map((name) => `.${name}`).join() +
    ", script, style, noscript, template, option, datalist, [aria-hidden=true]";
  const TOLERANCE = 2;
  const problems = new Set();
  const page = document.documentElement;
  const nameOf = (it) => [it.localName, it.id, ...it.classList].filter(Boolean).slice(0, 4).join(".");
  const quote = ({ node, parent }) => `“${node.data.trim().replace(/\s+/g, " ").slice(0, 40)}” in ${nameOf(parent)}`;
  const isHidden = (overflow) => overflow === "hidden" || overflow === "clip";

  /** Follow a text's box outwards: what of it is seen, and whether something cuts it off. */
  function boxOf(node, parent, { left, right, top, bottom }) {
    const text = { node, parent, left, right, top, bottom, layer: document.body, isCut: false, scrolls: false };
    const third = (bottom - top) / 3; // a line is higher than its letters
    for (let it = parent; it && it !== document.body; it = it.parentElement) {
      const style = getComputedStyle(it), box = it.getBoundingClientRect();
      if (style.clipPath === "inset(50%)") return; // for screen readers only
      if (style.display === "inline" || style.display === "contents") continue;
      const isMeant = style.textOverflow === "ellipsis" || style.webkitLineClamp !== "none" || text.scrolls;
      const isWider = left < box.left - TOLERANCE || right > box.right + TOLERANCE;
      const isHigher = top < box.top - third || bottom > box.bottom + third;
      if (!isMeant && isHidden(style.overflowX) && isWider) text.isCut = true;
      if (!isMeant && isHidden(style.overflowY) && isHigher) text.isCut = true;
      if (style.overflowX !== "visible" || style.overflowY !== "visible") {
        text.left = Math.max(text.left, box.left);
        text.right = Math.min(text.right, box.right);
        text.top = Math.max(text.top, box.top);
        text.bottom = Math.min(text.bottom, box.bottom);
      }
      if (/auto|scroll/.test(style.overflowX + style.overflowY) || isMeant) text.scrolls = true;
      const isLayer = /fixed|sticky/.test(style.position) || it.matches("dialog, [popover]");
      if (isLayer && text.layer === document.body) text.layer = it;
      if (style.position === "fixed") break;
    }
    const isBeyond = right > page.clientWidth + TOLERANCE || left < -TOLERANCE;
    if (!text.scrolls && isBeyond) problems.add(`beyond the page: ${quote(text)}`);
    if (text.isCut) problems.add(`cut off: ${quote(text)}`);
    return text;
  }

  function overlap(one, other) {
    if (one.node === other.node || one.layer !== other.layer) return false;
    const width = Math.min(one.right, other.right) - Math.max(one.left, other.left);
    const height = Math.min(one.bottom, other.bottom) - Math.max(one.top, other.top);
    return width > TOLERANCE && height > Math.min(one.bottom - one.top, other.bottom - other.top) / 2;
  }

  const texts = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode, parent = node.parentElement;
    if (!node.data.trim() || !parent || parent.closest(UNSEEN)) continue;
    if (!parent.checkVisibility({ visibilityProperty: true, opacityProperty: true })) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    for (const rect of range.getClientRects()) {
      if (rect.width < 2 || rect.height < 2) continue;
      const text = boxOf(node, parent, rect);
      if (text && text.right - text.left > 2 && text.bottom - text.top > 2) texts.push(text);
    }
  }
  texts.sort((one, other) => one.top - other.top);
  for (const [index, one] of texts.entries()) {
    for (let next = index + 1; next < texts.length && texts[next].top < one.bottom; next++) {
      if (overlap(one, texts[next])) problems.add(`over each other: ${quote(one)}, ${quote(texts[next])}`);
    }
  }
  const { scrollWidth, clientWidth } = page;
  if (scrollWidth > clientWidth) problems.add(`scrolls sideways: ${scrollWidth} of ${clientWidth} px`);
  return [...problems];
}"""


async def problems(page: Page) -> list[str]:
    """Return what is wrong with the texts of the page as it is shown now."""
    found: list[str] = await page.evaluate(FIND)
    return found
