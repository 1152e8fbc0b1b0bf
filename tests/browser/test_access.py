"""The page for everyone: by keyboard, by ear, on a phone, in the dark."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from .conftest import Visitor

pytestmark = pytest.mark.browser

PHONE = {"viewport": {"width": 360, "height": 740}, "is_mobile": True, "has_touch": True}

NAMELESS = """
() => [...document.querySelectorAll("button, a[href], input")]
  .filter((each) => each.checkVisibility())
  .filter((each) => !(
    each.getAttribute("aria-label") || each.innerText?.trim() || each.textContent.trim() ||
    [...(each.labels ?? [])].some((label) => label.textContent.trim())))
  .map((each) => each.outerHTML)
"""

BROKEN_REFERENCES = """
() => ["aria-labelledby", "aria-describedby", "for"].flatMap((name) =>
  [...document.querySelectorAll(`[${name}]`)]
    .filter((each) => each.checkVisibility())
    .flatMap((each) => each.getAttribute(name).split(" "))
    .filter((id) => !document.getElementById(id)))
"""

REPEATED_IDS = """
() => {
  const ids = [...document.querySelectorAll("[id]")].map((each) => each.id);
  return ids.filter((id, i) => ids.indexOf(id) !== i);
}
"""

SMALL_TARGETS = """
() => [...document.querySelectorAll("button, input")]
  .filter((each) => each.checkVisibility())
  .map((each) => [each.outerHTML.slice(0, 80), each.getBoundingClientRect()])
  .filter(([, box]) => box.width > 0 && (box.width < 20 || box.height < 20))
  .map(([html]) => html)
"""

# Contrast as WCAG 2.2 defines it, of every visible text against the nearest painted background.
WEAK_CONTRAST = """
() => {
  const channel = (c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  const parse = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const behind = (each) => {
    for (let at = each; at; at = at.parentElement) {
      const color = parse(getComputedStyle(at).backgroundColor);
      if (color.length === 3 || color[3] === 1) return color;
    }
    return [255, 255, 255];
  };
  const weak = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const each = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !each.checkVisibility()) continue;
    const style = getComputedStyle(each);
    const [high, low] = [light(parse(style.color)), light(behind(each))].sort((a, b) => b - a);
    const size = Number.parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    const ratio = (high + 0.05) / (low + 0.05);
    if (ratio < (large ? 3 : 4.5)) weak.push([walker.currentNode.data, ratio]);
  }
  return weak;
}
"""


def assert_fits_the_width(page: Page) -> None:
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def assert_sound(page: Page) -> None:
    for check in (NAMELESS, BROKEN_REFERENCES, REPEATED_IDS, SMALL_TARGETS, WEAK_CONTRAST):
        assert page.evaluate(check) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_names_references_targets_and_contrast_are_sound(visitor: Visitor, scheme: str) -> None:
    visit = visitor(color_scheme=scheme, reduced_motion="reduce")
    visit.open()
    page = visit.page
    assert_sound(page)
    visit.card(0).locator("h2 a").click()
    page.wait_for_selector(".related a")
    assert_sound(page)
    page.keyboard.press("Escape")
    expect(page.locator("#update button")).to_be_visible()
    visit.card(2).get_by_role("button", name="Not interested").click()
    assert_sound(page)
    for name in ("Reading as", "Preferences", "Keys"):
        page.get_by_role("button", name=re.compile(f"^{name}")).click()
        page.wait_for_timeout(100)
        assert_sound(page)
        page.keyboard.press("Escape")


def test_the_page_has_one_h1_and_its_landmarks(visitor: Visitor) -> None:
    visit = visitor()
    visit.open()
    page = visit.page
    expect(page.locator("h1")).to_have_count(1)
    for role in ("banner", "main", "navigation", "complementary"):
        expect(page.get_by_role(role)).to_have_count(1)  # type: ignore[arg-type]
    expect(page.get_by_role("feed")).to_have_attribute("aria-busy", "false")
    expect(page.locator("html")).to_have_attribute("lang", "en")


def test_articles_carry_their_language(visitor: Visitor) -> None:
    visit = visitor()
    visit.open()
    visit.page.get_by_role("button", name="Latest", exact=True).click()
    visit.page.wait_for_selector("#feed[aria-busy=false] .card:not(.skeleton)")
    languages = {
        headline.get_attribute("lang") for headline in visit.page.locator(".card h2").all()
    }
    assert "en" in languages
    assert len(languages) > 1


def test_the_keyboard_is_enough(visitor: Visitor) -> None:
    visit = visitor()
    visit.open()
    press = visit.page.keyboard.press
    press("j")
    press("j")
    expect(visit.card(1)).to_be_focused()
    press("Enter")
    expect(visit.page.locator("#article")).to_be_visible()
    press("Escape")
    expect(visit.page.locator("#article")).to_be_hidden()
    expect(visit.card(1)).to_be_focused()
    press("k")
    expect(visit.card(0)).to_be_focused()
    press("l")
    like = visit.card(0).get_by_role("button", name=re.compile("^Like"))
    expect(like).to_have_attribute("aria-pressed", "true")
    press("l")
    expect(like).to_have_attribute("aria-pressed", "false")
    press("x")
    expect(visit.card(0)).to_contain_text("Hidden")
    expect(visit.page.get_by_role("button", name="Undo")).to_be_focused()
    press("?")
    expect(visit.page.get_by_role("dialog", name="Keys")).to_be_visible()


def test_single_keys_can_be_switched_off(visitor: Visitor) -> None:
    visit = visitor()
    visit.open()
    visit.page.get_by_role("button", name="Keys", exact=True).click()
    visit.page.get_by_role("switch", name="Single-key shortcuts").uncheck()
    visit.page.keyboard.press("Escape")
    visit.page.keyboard.press("j")
    expect(visit.card(0)).not_to_be_focused()


@pytest.mark.parametrize("width", [320, 360])
def test_nothing_is_wider_than_a_phone(visitor: Visitor, width: int) -> None:
    visit = visitor(**PHONE | {"viewport": {"width": width, "height": 740}})
    visit.open()
    page = visit.page
    assert_fits_the_width(page)
    page.locator("#preferences-button").tap()
    assert_fits_the_width(page)
    page.get_by_role("button", name="Close").tap()
    visit.card(0).locator("h2 a").tap()
    expect(page.locator("#article .body p").first).to_be_visible()
    assert_fits_the_width(page)
    box: Any = page.locator("#article").bounding_box()
    assert box["width"] == width


def test_the_dark_is_dark(visitor: Visitor) -> None:
    visit = visitor(color_scheme="dark")
    visit.open()
    color = visit.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert max(int(part) for part in color[4:-1].split(",")) < 60
