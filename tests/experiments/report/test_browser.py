"""The published page in Chromium: it loads, sorts, filters, and shows how a row was made."""

from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from sdmr.experiments.core import cli
from sdmr.experiments.core.record import load_record
from sdmr.experiments.report.uncertainty import correct_by_holm
from tests.experiments.report.browser import PATH, Browser
from tests.experiments.report.test_page import write_user_run

CHECKOUT = Path(__file__).parents[3]
LIMIT = 10 * 2**20  # bytes
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(PATH is None, reason="Chromium is not installed: apt-get install chromium"),
]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the page of the published records, a run on other test items, and one with a long name."""
    folder = tmp_path_factory.mktemp("page")
    other = write_user_run(folder / "net", data="other", config={"seed": 0, "protocol": {"test_item": "random"}})
    data = load_record(CHECKOUT / "results" / "records" / "table3" / "ml-100k" / "popularity-0" / "record.json").data
    same = write_user_run(folder / "long", "my.NetworkWhoseNameIsFarTooLongForAnyPictureOnAPhone", data=data)
    folders = (f"results={CHECKOUT / 'results'}", f"plots={CHECKOUT / 'plots'}")
    assert cli.main(["report", f"to={folder / 'report.html'}", f"runs=[{other},{same}]", *folders]) == 0
    return folder / "report.html"


@pytest.fixture(scope="module")
def open_browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    browser = Browser(tmp_path_factory.mktemp("browser") / "profile")
    yield browser
    browser.close()


@pytest.fixture
def browser(open_browser: Browser, path: Path) -> Browser:
    open_browser.open(path)
    return open_browser


def read_column(browser: Browser, label: str, section: str = "results") -> list[str]:
    """Return the cells of a column of a section's first table, by its label."""
    return browser.evaluate(f"""(() => {{
        const table = document.querySelector("#{section} table");
        const index = [...table.tHead.rows[0].cells].findIndex(cell => cell.textContent.trim().startsWith("{label}"));
        return [...table.tBodies[0].rows].map(row => row.cells[index].textContent);
    }})()""")


def choose(browser: Browser, **values: str) -> None:
    """Set filters, as a user does."""
    for key, value in values.items():
        browser.evaluate(f"""(() => {{
            const field = document.getElementById("{key}");
            field.value = "{value}";
            field.dispatchEvent(new Event("input", {{bubbles: true}}));
        }})()""")


def click(browser: Browser, selector: str, text: str) -> None:
    browser.evaluate(f"""[...document.querySelectorAll("{selector}")]
        .find(one => one.textContent.trim() === "{text}").click()""")


def to_number(cell: str) -> float:
    return float(cell.split()[0].replace("−", "-"))


def test_page_loads_without_faults_and_other_files(browser: Browser, path: Path) -> None:
    assert browser.list_faults() == []
    seconds = sorted(browser.open(path) for _ in range(5))
    print(f"{path.stat().st_size / 1e6:.2f} MB, loaded in {seconds[0]:.2f} to {seconds[-1]:.2f} s")
    assert path.stat().st_size < LIMIT
    sections = browser.evaluate("[...document.querySelectorAll('section')].filter(s => !s.textContent.trim()).length")
    assert sections == 0


def test_every_choice_is_shown_without_faults(browser: Browser) -> None:
    datasets = browser.evaluate("[...document.querySelectorAll('#dataset option')].map(o => o.value)")
    assert {"ml-100k", "ml-1m", "ta-feng"} <= set(datasets)
    for dataset in datasets:
        for metric in ("NDCG", "hit", "MRR"):
            choose(browser, dataset=dataset, metric=metric)
            assert read_column(browser, "Model")
    assert browser.list_faults() == []


def test_rows_are_sorted_by_a_click_on_the_header(browser: Browser) -> None:
    values = [to_number(cell) for cell in read_column(browser, "Ours") if cell != "not run"]
    assert values == sorted(values, reverse=True)
    click(browser, "#results thead button", "Ours")
    assert [to_number(cell) for cell in read_column(browser, "Ours") if cell != "not run"] == sorted(values)
    assert browser.evaluate("document.querySelectorAll('#results [aria-sort=ascending]').length") == 1
    click(browser, "#results thead button", "Model")
    models = browser.evaluate("[...document.querySelectorAll('#results tbody th button')].map(b => b.textContent)")
    assert models == sorted(models, key=str.casefold)


def test_filters_keep_the_rows_that_fit(browser: Browser) -> None:
    every = read_column(browser, "Model")
    choose(browser, find="prme")
    assert sorted(read_column(browser, "Model")) == ["PRME", "PRME_s"]
    choose(browser, find="", group="sequential baseline")
    assert set(read_column(browser, "Model")) == {"PRME", "PRME_s", "TransRec", "Caser"}
    choose(browser, group="all")
    assert read_column(browser, "Model") == every
    first_values = read_column(browser, "Ours")
    choose(browser, cutoff="1")
    assert read_column(browser, "Ours") != first_values
    answer = browser.evaluate("document.getElementById('answer').textContent")
    assert "Differences are tested for hit@10 and NDCG@10 alone." in answer


def test_trials_are_sorted_as_numbers_and_missing_rows_are_named(browser: Browser) -> None:
    click(browser, "#results thead button", "Trials")
    numbers = [to_number(cell) for cell in read_column(browser, "Trials") if cell[:1].isdigit()]
    assert numbers in (sorted(numbers), sorted(numbers, reverse=True))
    assert len(set(numbers)) > 2
    every = set(read_column(browser, "Model"))
    choose(browser, candidates="all")
    missing = every - set(read_column(browser, "Model"))
    text = browser.evaluate("document.getElementById('results').textContent")
    assert ("Without NDCG@10 among all items: " in text) == bool(missing)


def test_model_name_opens_how_the_row_was_made(browser: Browser) -> None:
    choose(browser, dataset="ml-1m")
    click(browser, "#results tbody th button", "SDM")
    assert browser.evaluate("document.getElementById('details').open")
    text = browser.evaluate("document.getElementById('details').textContent")
    assert "SDM on ml-1m" in text
    assert "sdmr run model=sdm dataset=ml-1m " in text
    assert "results/records/table3/ml-1m/sdm-0" in text
    browser.press("Escape", 27)
    assert not browser.evaluate("document.getElementById('details').open")


def test_point_of_the_hops_opens_how_it_was_made(browser: Browser) -> None:
    choose(browser, dataset="ml-100k")
    row = "[...document.querySelectorAll('#hops tbody tr')].find(row => row.textContent.startsWith('SDMhit@10364'))"
    assert browser.evaluate(f"{row}.querySelector('button').click()") is None
    assert browser.evaluate("document.getElementById('details-title').textContent").startswith("SDM, hops 3, d 64, s ")
    text = browser.evaluate("document.getElementById('details').textContent")
    assert "sdmr run model=sdm dataset=ml-100k" in text
    assert "results/records/figure6/ml-100k/sdm-hops3-d64-" in text


def test_keyboard_alone_opens_the_details(browser: Browser) -> None:
    browser.evaluate("document.querySelector('#results tbody button').focus()")
    browser.press("Enter", 13, "\r")
    assert browser.evaluate("document.getElementById('details').open")


def test_model_is_compared_with_every_other_one(browser: Browser) -> None:
    browser.evaluate("""(() => {
        const select = document.querySelector("#differences select");
        select.value = "SDM";
        select.dispatchEvent(new Event("change"));
    })()""")
    others = read_column(browser, "Less that of", "differences")
    assert "MF-BPR" in others
    assert "SDM" not in others
    assert "Net (yours)" not in others


def test_row_of_the_matrix_is_chosen_by_the_keyboard(browser: Browser) -> None:
    browser.evaluate("document.querySelector('#differences .matrix tbody tr:last-child th button').focus()")
    model = browser.evaluate("document.activeElement.textContent")
    browser.press("Enter", 13, "\r")
    assert browser.evaluate("document.querySelector('#differences select').value") == model
    assert model not in read_column(browser, "Less that of", "differences")


def test_list_of_differences_is_corrected_over_its_rows(browser: Browser) -> None:
    browser.evaluate("""(() => {
        const select = document.querySelector("#differences select");
        select.value = "SDM";
        select.dispatchEvent(new Event("change"));
    })()""")
    data = "page.datasets[document.getElementById('dataset').value]"
    frame = f"readFrame({data}.pairs['NDCG@10'])"
    pairs = browser.evaluate(f"{frame}.filter(pair => pair.model === 'SDM' || pair.other === 'SDM')")
    family = {(one["other"] if one["model"] == "SDM" else one["model"]): one["p"] for one in pairs}
    corrected = dict(zip(family, correct_by_holm(list(family.values())), strict=True))
    names, shown = (read_column(browser, label, "differences") for label in ("Less that of", "p"))
    assert len(names) == len(family)
    for name, text in zip(names, shown, strict=True):
        p = corrected[name.partition("not comparable")[0]]
        assert (text == "< .001") == (p < 0.001)
        assert text == "< .001" or float(text) == pytest.approx(p, abs=0.002)


def test_rows_that_cannot_be_compared_are_named_in_the_answer(browser: Browser) -> None:
    answer, text = (f"document.getElementById('{one}').textContent" for one in ("answer", "results"))
    assert "1 row marked as not comparable." in browser.evaluate(answer)
    choose(browser, find="net (yours)")
    assert browser.evaluate(answer).startswith("The rows below are not comparable with the others")
    choose(browser, candidates="all")
    assert "Without NDCG@10 among all items: Net (yours)." in browser.evaluate(text)
    choose(browser, find="")
    assert "Left out: 2 rows without this metric." in browser.evaluate(answer)


@pytest.mark.parametrize("dataset", ["ml-100k", "ta-feng"])
def test_names_in_speed_and_quality_do_not_overlap(browser: Browser, dataset: str) -> None:
    choose(browser, dataset=dataset)
    boxes = browser.evaluate("""[...document.querySelectorAll("#speed svg .name")].map(one => {
        const {left, right, top, bottom} = one.getBoundingClientRect();
        return {name: one.textContent, left, right, top: top + 2, bottom: bottom - 2};
    })""")
    assert len(boxes) > 5
    for one, other in combinations(boxes, 2):
        is_beside = one["right"] <= other["left"] or other["right"] <= one["left"]
        assert is_beside or one["bottom"] <= other["top"] or other["bottom"] <= one["top"], (one, other)


def test_users_row_says_why_it_is_not_comparable(browser: Browser) -> None:
    warning = browser.evaluate("document.querySelector('tr.yours .warning').textContent")
    assert warning.startswith("not comparable: ")
    assert "test_item" in warning


@pytest.mark.parametrize("width", [360, 390, 820, 1280])
def test_page_is_no_wider_than_the_window(browser: Browser, path: Path, width: int) -> None:
    metrics: dict[str, Any] = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.call("Emulation.setDeviceMetricsOverride", **metrics)
    browser.open(path)
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    right = browser.evaluate("document.querySelector('#results tbody tr').cells[2].getBoundingClientRect().right")
    assert right <= width  # our values are seen without scrolling the table
    browser.call("Emulation.clearDeviceMetricsOverride")
