"""The comparison page in a real Chromium. Run by `pytest -m browser`; see the README."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from synthetic import make_video

from vsr.options import EncodeOptions, EnhanceOptions
from vsr.report.compare import compare
from vsr.report.preview import preview

pytestmark = pytest.mark.browser

WIDTHS = (1280, 390)


def half_bright(index: int, width: int, height: int) -> np.ndarray:
    """Grey that grows with the frame number."""
    return np.full((height, width, 3), 40 + 5 * index, np.uint8)


def other(index: int, width: int, height: int) -> np.ndarray:
    return np.full((height, width, 3), 160 + 5 * index, np.uint8)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dark film on the left, a bright one on the right."""
    folder = tmp_path_factory.mktemp("page")
    dark = make_video(folder / "dark.mp4", frames=12, size=(128, 96), picture=half_bright)
    bright = make_video(folder / "bright.mp4", frames=12, size=(256, 192), picture=other)
    return compare(dark, [bright], folder / "p.html", moments=3).page


@pytest.fixture(scope="module")
def taste(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A preview's page."""
    folder = tmp_path_factory.mktemp("taste")
    film = make_video(folder / "in.mp4", frames=24, size=(128, 96))
    options = EnhanceOptions(model="bicubic", encode=EncodeOptions(preset="ultrafast"))
    return preview(film, folder / "p.html", 1, options).page


def show(browser: webdriver.Chrome, page: Path, width: int, scheme: str) -> webdriver.Chrome:
    size = {"width": width, "height": 860, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    wanted = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", wanted)
    browser.get(page.as_uri())
    return browser


Open = Callable[[int], webdriver.Chrome]


@pytest.fixture
def opened(chromium: webdriver.Chrome, page: Path) -> Iterator[Open]:
    """Open the page at a width; afterwards, nothing may have been logged."""

    def open_at(width: int, scheme: str = "light") -> webdriver.Chrome:
        return show(chromium, page, width, scheme)

    yield open_at
    assert chromium.get_log("browser") == []


def find(browser: webdriver.Chrome, selector: str) -> WebElement:
    return browser.find_element(By.CSS_SELECTOR, selector)


def split(browser: webdriver.Chrome) -> int:
    return int(find(browser, "#divider").get_attribute("aria-valuenow"))


def press(browser: webdriver.Chrome, *keys: str) -> None:
    find(browser, "body").send_keys(*keys)


def screenshot(browser: webdriver.Chrome) -> np.ndarray:
    # Two frames later all that was changed before is on the screen.
    browser.execute_async_script(
        "const done = arguments[0]; requestAnimationFrame(() => requestAnimationFrame(done))"
    )
    data = np.frombuffer(base64.b64decode(browser.get_screenshot_as_base64()), np.uint8)
    return cv2.imdecode(data, cv2.IMREAD_GRAYSCALE)


def sides(browser: webdriver.Chrome) -> tuple[float, float]:
    """Brightness left and right of the divider, on the screen."""
    box = find(browser, "#view").rect
    divider = box["x"] + box["width"] * split(browser) / 100
    row = int(box["y"] + box["height"] / 2)
    pixels = screenshot(browser)
    return float(pixels[row, int(divider) - 26]), float(pixels[row, int(divider) + 26])


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_preview_fits_and_says_what_each_moment_is(
    chromium: webdriver.Chrome, taste: Path, width: int, scheme: str
) -> None:
    browser = show(chromium, taste, width, scheme)
    assert browser.execute_script("return document.documentElement.scrollWidth") == width
    whys = {found.text for found in browser.find_elements(By.CSS_SELECTOR, ".strip .why")}
    assert whys == {"sharpest motion"}
    for found in browser.find_elements(By.CSS_SELECTOR, ".strip span"):
        assert found.get_property("scrollWidth") <= found.get_property("clientWidth")
    assert "Time to make it" in find(browser, "#facts").text
    assert browser.find_elements(By.CSS_SELECTOR, ".graph") == []
    press(browser, Keys.ARROW_RIGHT, "]")
    assert split(browser) == 52
    assert "2 of" in find(browser, "#when").text
    assert chromium.get_log("browser") == []


@pytest.mark.parametrize("width", WIDTHS)
def test_the_films_are_shown_left_and_right_of_the_divider(opened: Open, width: int) -> None:
    browser = opened(width)
    left, right = sides(browser)
    assert left < 110 < 150 < right


@pytest.mark.parametrize("width", WIDTHS)
def test_dragging_moves_the_divider_and_the_pictures(opened: Open, width: int) -> None:
    browser = opened(width)
    box = find(browser, "#view").rect
    move = ActionChains(browser).click_and_hold(find(browser, "#divider i"))
    move.move_by_offset(int(-box["width"] / 4), 0).release().perform()
    assert split(browser) == pytest.approx(25, abs=2)
    left, right = sides(browser)
    assert left < 110 < 150 < right


@pytest.mark.parametrize("width", WIDTHS)
def test_arrow_keys_move_the_divider(opened: Open, width: int) -> None:
    browser = opened(width)
    press(browser, Keys.ARROW_RIGHT)
    assert split(browser) == 52
    press(browser, Keys.SHIFT, Keys.ARROW_LEFT)
    assert split(browser) == 42


def test_a_finger_moves_the_divider(opened: Open) -> None:
    browser = opened(390)
    box = find(browser, "#view").rect
    y = box["y"] + box["height"] / 2
    points = [box["x"] + box["width"] * part for part in (0.5, 0.6, 0.7, 0.8)]
    touch = "Input.dispatchTouchEvent"
    browser.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": True})
    for kind, x in zip(("touchStart", *["touchMove"] * 3), points, strict=True):
        browser.execute_cdp_cmd(touch, {"type": kind, "touchPoints": [{"x": x, "y": y}]})
    browser.execute_cdp_cmd(touch, {"type": "touchEnd", "touchPoints": []})
    browser.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": False})
    assert split(browser) == pytest.approx(80, abs=2)


@pytest.mark.parametrize("width", WIDTHS)
def test_moments_change_by_key_button_and_thumbnail(opened: Open, width: int) -> None:
    browser = opened(width)
    first = find(browser, "#left").get_attribute("src")
    press(browser, "]")
    assert "2 of 3" in find(browser, "#when").text
    assert find(browser, "#left").get_attribute("src") != first
    find(browser, "#next").click()
    assert "3 of 3" in find(browser, "#when").text
    press(browser, "]")
    assert "3 of 3" in find(browser, "#when").text
    find(browser, "#strip button").click()
    assert "1 of 3" in find(browser, "#when").text
    assert find(browser, "#left").get_attribute("src") == first


def test_zooming_keeps_both_sides_aligned(opened: Open) -> None:
    browser = opened(1280)
    ActionChains(browser).move_to_element_with_offset(
        find(browser, "#view"), 200, 90
    ).double_click().perform()
    assert find(browser, "#zoom").text == "×4"
    ActionChains(browser).move_to_element_with_offset(
        find(browser, "#view"), 200, -90
    ).click_and_hold().move_by_offset(-60, 40).release().perform()
    press(browser, "+", "d")
    left, right, view = (
        browser.execute_script("return arguments[0].getBoundingClientRect().toJSON()", found)
        for found in (find(browser, selector) for selector in ("#left", "#right", "#view"))
    )
    assert left == right
    assert left["width"] == pytest.approx(6 * view["width"], rel=1e-3)
    press(browser, "0")
    assert find(browser, "#zoom").text == "×1"


def test_sides_swap_and_pixels_show(opened: Open) -> None:
    browser = opened(1280)
    press(browser, "x")
    left, right = sides(browser)
    assert left > 150 > 110 > right
    press(browser, "p")
    assert find(browser, "#pixels").get_attribute("aria-pressed") == "true"
    assert find(browser, "#left").value_of_css_property("image-rendering") == "pixelated"


def test_a_graph_leads_to_the_nearest_moment(opened: Open) -> None:
    browser = opened(1280)
    plot = find(browser, ".graph svg")
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", plot)
    end = int(plot.rect["width"] / 2) - 12
    ActionChains(browser).move_to_element_with_offset(plot, end, 0).click().perform()
    assert "3 of 3" in find(browser, "#when").text
    assert "dB" in find(browser, ".graph .read").text


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_the_width_in_both_schemes(opened: Open, width: int, scheme: str) -> None:
    browser = opened(width, scheme)
    assert browser.execute_script("return document.documentElement.scrollWidth") == width
    text, ground = browser.execute_script(
        "const s = getComputedStyle(document.body); return [s.color, s.backgroundColor]"
    )
    brightness = [sum(map(int, c[4:-1].split(","))) / 3 for c in (text, ground)]
    assert (brightness[0] < 60 < 200 < brightness[1]) == (scheme == "light")
    assert (brightness[1] < 60 < 200 < brightness[0]) == (scheme == "dark")
