"""The Space's page in a real browser: what visitors see, press, upload and take home, and what they cannot break."""

import json
import re
import time
import zipfile

import numpy as np
import pandas as pd
import pytest
from browser import find_browser
from isotropy_space import handlers
from isotropy_space import sentences as say
from isotropy_space.example import EXAMPLE_STATE, example
from isotropy_space.training import read_training
from space_server import space_server

from isotropy_metrics import isoscore, linear_cka, neighborhood_overlap
from isotropy_metrics.enhancement import AllButTheTop, from_pretrained
from isotropy_metrics.hidden_states import embed

sync_api = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
expect = sync_api.expect

pytestmark = [
    pytest.mark.skipif(find_browser() is None, reason="there is no Chromium or Chrome: apt-get install chromium"),
    pytest.mark.filterwarnings("ignore:.* it wants .* rows:RuntimeWarning"),
]

PATIENCE = 90_000
"""In milliseconds: of a machine with other work; a quiet one needs a few seconds."""

FIRST_PICTURE = ".first-picture [role=img]"
PICTURE = ".js-plotly-plot:has(.main-svg)"
PHONE = 390

HTML = "<img src=x onerror=window.hacked=1>"
SCRIPT = "<script>window.hacked=1</script>"

LEGIBILITY = """
() => {
  const channels = color => color.match(/[\\d.]+/g).map(Number);
  const light = color => channels(color).slice(0, 3).map(c => c / 255)
    .map(c => c <= .04045 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [.2126, .7152, .0722][i], 0);
  const ground = element => {
    const color = getComputedStyle(element).backgroundColor, [r, g, b, opacity = 1] = channels(color);
    return opacity === 1 ? color : ground(element.parentElement);
  };
  const contrast = (first, second) =>
    (Math.max(light(first), light(second)) + .05) / (Math.min(light(first), light(second)) + .05);
  const texts = [...document.querySelectorAll(".js-plotly-plot svg text")]
    .filter(text => text.textContent.trim() && text.getBoundingClientRect().width);
  const panels = new Map(texts.map(text => [text, text.closest(".js-plotly-plot")]));
  const cut = texts.filter(text => {
    const own = text.getBoundingClientRect(), panel = panels.get(text).getBoundingClientRect();
    return own.left < panel.left - 2 || own.right > panel.right + 2 || own.bottom > panel.bottom + 2;
  });
  return {
    texts: texts.length,
    weakest: Math.min(...texts.map(text => contrast(getComputedStyle(text).fill, ground(panels.get(text))))),
    smallest: Math.min(...texts.map(text => parseFloat(getComputedStyle(text).fontSize))),
    cut: cut.map(text => text.textContent),
    page_width: document.documentElement.scrollWidth,
    dark: [...panels.values()].every(panel => light(ground(panel)) < .2),
  };
}
"""
"""Of the pictures that are seen: contrasts with their panels, sizes of letters in pixels, what leaves its panel."""

N_LINES = """
texts => texts.map(text => {
  const letters = document.createRange();
  letters.selectNodeContents(text);
  return [text.innerText.trim(), new Set([...letters.getClientRects()].map(box => Math.round(box.top))).size];
})
"""
"""What each cell says, and on how many lines."""

FOCUSED = """
() => {
  const focused = document.activeElement;
  return focused.getAttribute("aria-label") || focused.innerText || focused.closest("label")?.innerText || "";
}
"""

NAMELESS = re.compile(r"\s*- (?:button|checkbox|combobox|link|radio|slider|spinbutton|tab|textbox)\b(?! \")")
"""A line of an ARIA snapshot of something to use that has no name."""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with space_server(tmp_path_factory.mktemp("space")) as server:
        yield server


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_browser(), args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def visit(server, browser):
    """Open the page as another visitor; at the end nothing has complained, and nobody else was asked for anything."""
    contexts, complaints, strangers = [], [], []

    def hear(message):
        if message.type == "error":
            complaints.append(message.text)

    def see(request):
        if not request.url.startswith((server.url, server.url.replace("http", "ws"), "data:", "blob:")):
            strangers.append(request.url)

    def visit(width=1300, theme="light"):
        context = browser.new_context(viewport={"width": width, "height": 900}, accept_downloads=True)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.on("console", hear)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", see)
        started = time.monotonic()
        page.goto(f"{server.url}/?__theme={theme}", wait_until="commit")
        seen = []
        for picture in (FIRST_PICTURE, PICTURE):
            page.locator(picture).first.wait_for()
            seen.append(f"{time.monotonic() - started:.2f} s")
        print(f"the first picture after {seen[0]}, the first that answers a pointer after {seen[1]}")
        return page

    yield visit
    heard = list(complaints)  # later the page complains of what we break off
    for context in contexts:
        context.close()
    assert heard == []
    assert strangers == []
    assert "Traceback" not in server.log()


def is_seen(page, selector, n):
    """Wait until so many of them are on the screen or below it."""
    expect(page.locator(selector).locator("visible=true")).to_have_count(n, timeout=PATIENCE)


def says(page, text):
    """Wait until the page says this."""
    expect(page.get_by_text(text).locator("visible=true").first).to_be_visible(timeout=PATIENCE)


def table(page, label):
    """What a table shows, by the first cell of its rows and the heading of its columns."""
    grid = page.get_by_role("grid", name=label, exact=True)
    grid.get_by_role("columnheader").first.wait_for()
    headings = grid.get_by_role("columnheader").evaluate_all("cells => cells.map(cell => cell.title)")
    texts = grid.get_by_role("gridcell").all_inner_texts()
    rows = np.array([text.strip() for text in texts]).reshape(-1, len(headings))
    return pd.DataFrame(rows, columns=headings).set_index(headings[0])


def shown(value):
    """As the page shows a number."""
    return float(f"{value:.4g}")


def open_tab(page, *names):
    for name in names:
        page.get_by_role("tab", name=name, exact=True).click()


def press(page, name):
    page.get_by_role("button", name=name, exact=True).click()


def upload(page, label, path):
    """Through the file input below this label, which is then replaced by the name of the file."""
    place_of(page, label).locator("input[type=file]").set_input_files(path)
    place_of(page, label).locator(".file-preview").wait_for()


def clear(page, label):
    """Take the file away again."""
    place_of(page, label).get_by_label("Clear", exact=True).click()
    place_of(page, label).locator("input[type=file]").wait_for(state="attached")


def place_of(page, label):
    place = page.locator(".block", has=page.get_by_test_id("block-label").get_by_text(label, exact=True))
    return place.locator("visible=true")


def choose(page, label, option):
    """From a list of choices, once it has this one."""
    box = page.get_by_role("combobox", name=label, exact=True)
    choice = page.get_by_role("option", name=option, exact=True)
    for _ in range(40):
        box.click()
        if choice.count():
            break
        box.press("Escape")
        box.blur()
        page.wait_for_timeout(250)
    choice.click()
    expect(page.get_by_role("option")).to_have_count(0)


def cloud(seed, n=120, d=7):
    return np.random.default_rng(seed).normal(size=(n, d)) * np.linspace(2, 0.5, d) + 1


def words_and_groups(path, names, labels, seed=4):
    """A table with a column of embeddings, one that names the rows, and one that groups them."""
    rows = cloud(seed, n=len(names))
    pd.DataFrame({"vector": list(rows), "word": names, "group": labels}).to_parquet(path)
    return rows


@pytest.mark.slow
def test_it_opens_with_the_answers_for_the_example(visit):
    page = visit()
    sentence = page.locator(FIRST_PICTURE).get_attribute("aria-label")
    overlap = neighborhood_overlap(*(example(which).rows for which in ("before", "after")))["neighborhood_overlap"]
    assert f"overlap by {overlap:.0%} on average" in sentence
    says(page, sentence)
    is_seen(page, PICTURE, 4)
    seen = table(page, say.MEASURES)
    expected = next(handlers.look_at_file())[2].set_index("measure")
    assert seen.index.tolist() == expected.index.tolist()
    assert seen.value.astype(float).tolist() == expected.value.tolist()
    assert float(seen.value["isoscore"]) == shown(isoscore(example("before").rows)["isoscore"])
    assert (seen.low["isoscore"], seen.high["isoscore"]) != ("", "")


@pytest.mark.slow
def test_look_at_a_file(visit, tmp_path):
    rows = cloud(1)
    np.save(tmp_path / "seeded.npy", rows)
    page = visit()
    upload(page, say.FILE_LABEL, tmp_path / "seeded.npy")
    press(page, say.LOOK_BUTTON)
    says(page, "seeded.npy: 120 rows of 7 features.")
    value = table(page, say.MEASURES).value
    assert float(value["isoscore"]) == shown(isoscore(rows)["isoscore"])
    with page.expect_download() as download:
        page.locator(PICTURE).first.hover()
        page.get_by_role("button", name="Download plot as a PNG").first.click()
    assert download.value.path().read_bytes().startswith(b"\x89PNG")
    page.get_by_role("button", name=say.NUMBERS).first.click()
    numbers = table(page, f"{say.COSINES}: {say.NUMBERS}")
    assert numbers.index[0] == "-1" and numbers.columns.tolist() == ["to", "share"]


@pytest.mark.slow
def test_names_and_labels_of_a_table(visit, tmp_path):
    names, labels = [f"word {i}" for i in range(90)], ["few", "some", "many"] * 30
    rows = words_and_groups(tmp_path / "words.parquet", names, labels)
    page = visit()
    upload(page, say.FILE_LABEL, tmp_path / "words.parquet")
    choose(page, say.NAMES_LABEL, "word")
    choose(page, say.LABELS_LABEL, "group")
    page.get_by_role("radio", name="labels of the file").check()
    press(page, say.LOOK_BUTTON)
    says(page, "words.parquet")
    says(page, "90 rows of 7 features.")
    assert float(table(page, say.MEASURES).value["isoscore"]) == shown(isoscore(rows)["isoscore"])
    legend = page.locator(PICTURE).nth(2).locator(".legendtext")
    expect(legend).to_have_count(3)
    assert set(legend.all_text_contents()) == set(labels)


@pytest.mark.slow
def test_look_at_texts(visit, minilm_path):
    texts = say.TEXTS_EXAMPLE.splitlines()
    page = visit()
    open_tab(page, say.TEXTS)
    press(page, say.LOOK_BUTTON)
    says(page, f"{len(texts)} rows of 384 features.")
    rows = np.asarray(embed(minilm_path, texts, progress=False))
    seen = float(table(page, say.MEASURES).value["isoscore"])
    assert seen == pytest.approx(isoscore(rows)["isoscore"], rel=1e-3)


@pytest.mark.slow
def test_compare_two_files(visit, tmp_path):
    before, after = cloud(2), cloud(2) * [1, 1, 1, 1, 1, 1, 9]
    np.save(tmp_path / "before.npy", before)
    np.save(tmp_path / "after.npy", after)
    page = visit()
    open_tab(page, say.COMPARE)
    is_seen(page, PICTURE, 4)
    upload(page, say.FIRST_FILE, tmp_path / "before.npy")
    upload(page, say.SECOND_FILE, tmp_path / "after.npy")
    press(page, say.COMPARE_BUTTON)
    says(page, "second after.npy, 7 features; 120 rows each.")
    drift, measures = table(page, say.DRIFT), table(page, say.MEASURES)
    assert float(drift.value["linear_cka"]) == shown(linear_cka(before, after)["linear_cka"])
    assert float(measures["first"]["isoscore"]) == shown(isoscore(before)["isoscore"])
    assert float(measures["second"]["isoscore"]) == shown(isoscore(after)["isoscore"])
    assert len(table(page, say.CHANGED)) > 5


@pytest.mark.slow
def test_repair_by_keyboard_and_take_it_home(visit, tmp_path):
    rows = cloud(3, n=300)
    np.save(tmp_path / "rows.npy", rows)
    scores = [(i, i + 1, i % 5) for i in range(0, 100, 2)]
    pd.DataFrame(scores, columns=["first", "second", "score"]).to_csv(tmp_path / "pairs.csv", index=False)
    page = visit()
    open_tab(page, say.REPAIR)
    is_seen(page, PICTURE, 4)
    upload(page, say.FILE_LABEL, tmp_path / "rows.npy")
    upload(page, say.PAIRS_LABEL, tmp_path / "pairs.csv")
    slider = page.get_by_role("slider")
    slider.focus()
    for _ in range(3):
        slider.press("ArrowLeft")
    expect(slider).to_have_value("1")
    press(page, say.REPAIR_BUTTON)
    says(page, "Fitted on 150 rows; everything here is of the other 150.")
    is_seen(page, PICTURE, 5)
    assert table(page, say.SCORES).index.tolist() == ["before", "after", "gain"]
    once = table(page, say.MEASURES)
    slider.focus()
    slider.press("ArrowRight")
    expect(slider).to_have_value("2")
    press(page, say.REPAIR_BUTTON)
    cell = page.get_by_role("grid", name=say.MEASURES, exact=True).locator('[data-testid="cell-0-2"]')
    expect(cell).not_to_have_text(once.after["isoscore"], timeout=PATIENCE)
    assert table(page, say.MEASURES).before["isoscore"] == once.before["isoscore"]

    press(page, say.DOWNLOAD_BUTTON)
    arrived = {}
    for name in ("enhancement.zip", "enhanced.npy", "repeat.py"):
        with page.expect_download() as download:
            page.locator(f'a[download="{name}"]').click()
        arrived[name] = tmp_path / "home" / name
        download.value.save_as(arrived[name])
    zipfile.ZipFile(arrived["enhancement.zip"]).extractall(tmp_path / "unpacked")
    expected = AllButTheTop(n_directions=2).fit_transform(rows)
    np.testing.assert_allclose(from_pretrained(tmp_path / "unpacked").transform(rows), expected)
    np.testing.assert_allclose(np.load(arrived["enhanced.npy"], allow_pickle=False), expected)
    assert "AllButTheTop(n_directions=2)" in arrived["repeat.py"].read_text(encoding="utf-8")


@pytest.mark.slow
def test_another_enhancement_has_another_slider(visit):
    page = visit()
    open_tab(page, say.REPAIR)
    is_seen(page, PICTURE, 4)
    box = page.get_by_role("combobox", name=say.ENHANCEMENT_LABEL, exact=True)
    for name, label in (("Whitening", "softness"), ("Centering", say.NO_STRENGTH)):
        box.click()
        page.get_by_role("option", name=name, exact=True).click()
        expect(page.get_by_role("slider")).to_have_accessible_name(re.compile(re.escape(label)), timeout=PATIENCE)
    expect(page.get_by_role("slider")).to_be_disabled()


@pytest.mark.slow
def test_the_curves_of_a_run(visit, tmp_path):
    state = json.loads(EXAMPLE_STATE.read_text(encoding="utf-8"))
    keys = {key for entry in state["log_history"] for key in entry if "isoscore" in key}
    state["log_history"] = [
        {key: value for key, value in entry.items() if key not in keys} for entry in state["log_history"]
    ]
    path = tmp_path / "trainer_state.json"
    path.write_text(json.dumps(state), encoding="utf-8")
    page = visit()
    open_tab(page, say.TRAINING)
    is_seen(page, PICTURE, len(read_training(str(EXAMPLE_STATE)).figures))
    upload(page, say.STATE_LABEL, path)
    press(page, say.CURVES_BUTTON)
    expected = read_training(str(path))
    assert keys and len(expected.figures) == len(read_training(str(EXAMPLE_STATE)).figures) - 1
    says(page, expected.sentence)
    is_seen(page, PICTURE, len(expected.figures))


@pytest.mark.slow
def test_a_broken_file_is_refused_in_a_sentence(visit, tmp_path):
    np.save(tmp_path / "whole.npy", cloud(5))
    (tmp_path / "broken.npy").write_bytes((tmp_path / "whole.npy").read_bytes()[:-8])
    page = visit()
    upload(page, say.FILE_LABEL, tmp_path / "broken.npy")
    press(page, say.LOOK_BUTTON)
    errors = page.get_by_test_id("toast-text")
    expect(errors.first).to_contain_text("broken.npy is cut off", timeout=PATIENCE)
    page.wait_for_timeout(500)
    assert errors.count() == 1
    page.get_by_test_id("toast-close").click()
    clear(page, say.FILE_LABEL)
    upload(page, say.FILE_LABEL, tmp_path / "whole.npy")
    press(page, say.LOOK_BUTTON)
    says(page, "whole.npy: 120 rows of 7 features.")


@pytest.mark.slow
def test_html_of_strangers_is_text(visit, tmp_path):
    names, labels = [HTML] * 45 + [SCRIPT] * 45, [SCRIPT, HTML, "plain"] * 30
    path = tmp_path / f"{HTML}.parquet"
    words_and_groups(path, names, labels)
    page = visit()
    open_tab(page, say.COMPARE)
    is_seen(page, PICTURE, 4)
    upload(page, say.FIRST_FILE, path)
    upload(page, say.SECOND_FILE, path)
    choose(page, say.NAMES_LABEL, "word")
    choose(page, say.LABELS_LABEL, "group")
    page.get_by_role("radio", name="labels of the file").check()
    press(page, say.COMPARE_BUTTON)
    expect(page.locator(".legendtext", has_text=SCRIPT).locator("visible=true").first).to_be_visible(timeout=PATIENCE)
    assert set(table(page, say.CHANGED).index) <= {HTML, SCRIPT}
    page.locator(PICTURE).locator("visible=true").nth(2).locator(".scatterlayer .point").first.hover(force=True)
    expect(page.locator(".hovertext").first).to_contain_text(re.compile("<(img|script)"))
    assert page.evaluate("window.hacked") is None

    open_tab(page, say.LOOK)
    broken = tmp_path / f"{HTML}.npy"
    broken.write_bytes(b"no array")
    upload(page, say.FILE_LABEL, broken)
    press(page, say.LOOK_BUTTON)
    expect(page.get_by_test_id("toast-text").first).to_contain_text("onerror", timeout=PATIENCE)
    assert page.locator("img[src=x]").count() == 0
    assert page.evaluate("window.hacked") is None


@pytest.mark.slow
@pytest.mark.parametrize(("width", "theme"), [(1300, "light"), (1300, "dark"), (PHONE, "light"), (PHONE, "dark")])
def test_every_tab_is_legible(visit, tmp_path, width, theme):
    page = visit(width, theme)
    n_pictures = {say.LOOK: 4, say.COMPARE: 4, say.REPAIR: 4}
    n_pictures |= {say.TRAINING: len(read_training(str(EXAMPLE_STATE)).figures)}
    for tab, n in n_pictures.items():
        open_tab(page, tab)
        is_seen(page, PICTURE, n)
        page.screenshot(path=tmp_path / f"{tab}.png", full_page=True)
        page.wait_for_function(
            f"() => ({LEGIBILITY})().cut.length == 0", timeout=PATIENCE
        )  # pictures find their width
        seen = page.evaluate(LEGIBILITY)
        assert seen["texts"] > 10 * n
        assert seen["dark"] == (theme == "dark")
        assert seen["page_width"] <= width
        assert seen["weakest"] >= 4.5
        assert seen["smallest"] >= 9
        assert seen["cut"] == []


@pytest.mark.slow
def test_words_and_numbers_of_tables_stay_whole_on_a_phone(visit):
    page = visit(PHONE)
    cells = page.get_by_role("grid", name=say.MEASURES, exact=True).locator("[role=gridcell] .text")
    n_lines = dict(cells.evaluate_all(N_LINES))
    of_one_word = {text: n for text, n in n_lines.items() if " " not in text}
    assert "average_cosine_similarity" in of_one_word
    assert max(of_one_word.values()) == 1


@pytest.mark.slow
def test_a_keyboard_and_a_screen_reader_find_everything(visit):
    page = visit()
    page.locator("h1").click()
    reached = []
    while len(reached) < 40 and say.LOOK_BUTTON not in reached[1:]:
        page.keyboard.press("Tab")
        reached.append(page.evaluate(FOCUSED).strip())
    wanted = [say.LOOK, say.FILE, say.COLUMN_LABEL, say.NAMES_LABEL, say.LABELS_LABEL, "clusters", say.LOOK_BUTTON]
    assert [name for name in reached if name in wanted] == wanted
    assert "Click to upload or drop files" in reached

    for tab in (say.LOOK, say.COMPARE, say.REPAIR, say.TRAINING):
        open_tab(page, tab)
        is_seen(page, PICTURE, 7 if tab == say.TRAINING else 4)
        snapshot = page.locator("body").aria_snapshot()
        assert [line for line in snapshot.splitlines() if NAMELESS.match(line)] == []
        levels = [int(level) for level in re.findall(r"heading .*\[level=(\d)\]", snapshot)]
        assert levels[0] == 1 and levels.count(1) == 1
        assert all(after <= before + 1 for before, after in zip(levels, levels[1:], strict=False))
