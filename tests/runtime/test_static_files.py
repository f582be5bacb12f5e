"""Modules are served without their comments, and with everything else."""

from __future__ import annotations

import re

from heygen_portal.runtime.static_files import COMMENT_PATTERN

SOURCE = """import { a } from "./a.js";
/**
 * A view.
 *
 * @param {string} name
 */
export class View {
  /** @type {string} */
  #name = "/** no comment */";
  show() {
    // Why it is so: https://example.org
    const box = /** @type {HTMLElement} */ (this.box); // stays
    return `
    /** no comment either, as text follows */ ${box}`;
  }
}
"""
SERVED = """import { a } from "./a.js";
export class View {
  #name = "/** no comment */";
  show() {
    const box = /** @type {HTMLElement} */ (this.box); // stays
    return `
    /** no comment either, as text follows */ ${box}`;
  }
}
"""


def test_only_comments_with_lines_of_their_own_are_left_out() -> None:
    assert re.compile(COMMENT_PATTERN, re.IGNORECASE).sub("", SOURCE) == SERVED
