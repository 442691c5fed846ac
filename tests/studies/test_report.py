"""The report of a study: what it says, that it is safe, and that it opens anywhere."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest

from archspec.errors import FileError
from archspec.studies.plan import PLAN, read_plan, write_plan
from archspec.studies.report import HTML, MARKDOWN, report, write_report
from archspec.studies.results import held, outcomes
from archspec.studies.state import note_divergence, states
from tests.studies.making import SMALL, begun, finished, plan_of, whole

if TYPE_CHECKING:
    from pathlib import Path

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
VOID = {"meta", "br", "hr", "img", "link", "input"}


class Reader(HTMLParser):
    """Checks that elements are closed in order, and keeps texts and attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.words: list[str] = []
        self.ids: list[str] = []
        self.tags: list[str] = []
        self.loaded: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            assert not name.startswith("on"), "no element acts"
            if name == "id":
                self.ids.append(value or "")
            if name in ("src", "href", "xlink:href", "srcset", "data", "action"):
                self.loaded.append(value or "")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip() and self.open[-1:] not in (["style"], ["text"]):
            self.words.append(" ".join(data.split()))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a study whose runs have all finished, with its report."""
    out = tmp_path_factory.mktemp("study")
    plan = plan_of(out)
    whole(plan, out)
    write_report(plan, out)
    return out


def test_it_is_a_whole_page_that_loads_nothing(folder: Path) -> None:
    text = (folder / HTML).read_text(encoding="utf-8")
    page = Reader(text)
    assert all(each.startswith("#") for each in page.loaded), page.loaded
    assert not {"script", "link", "iframe", "object", "embed", "img", "form"} & set(page.tags)
    assert len(page.ids) == len(set(page.ids))
    assert {each[1:] for each in page.loaded} <= set(page.ids)
    assert "url(http" not in text
    assert "@import" not in text
    assert page.tags.count("svg") == 1


def test_it_tells_what_was_measured(folder: Path) -> None:
    words = Reader((folder / HTML).read_text(encoding="utf-8")).words
    for each in (
        *("small", "Which one?", "made up", "2 nets, 2 seeds each: 4 finished"),
        *("holds", "The plain net trains worse."),
        "plain 10.50 ± 0.71 %, residual 2.50 ± 0.71 %: 8.00 points higher, standard error 0.71.",
        *("10.50 ± 0.71", "2.50 ± 0.71", "10.17 ± 0.20", "2.09 ± 0.20", "2.00", "75,002"),
        "archspec study run small",
        "a processor",
    ):
        assert any(each in one for one in words), each
    assert "What is missing" not in words


def test_the_difference_stands_beside_the_others_figure(folder: Path) -> None:
    text = (folder / MARKDOWN).read_text(encoding="utf-8")
    row = next(line for line in text.splitlines() if line.startswith("| plain | 2 of 2"))
    assert "| 2.00 | +8.17\\*" in row
    assert "departs from the paper" in text


def test_equal_folders_give_equal_bytes(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "copy")
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    write_report(read_plan(tmp_path / "copy"), tmp_path / "copy")
    after = {path.name: path.read_bytes() for path in (tmp_path / "copy").iterdir() if path.is_file()}
    assert after == before


def test_nothing_begun_is_a_report_too(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    write_plan(plan, tmp_path)
    write_report(plan, tmp_path)
    words = Reader((tmp_path / HTML).read_text(encoding="utf-8")).words
    assert "plain, seed 0, 1: not begun." in words
    assert "is not known" in words


def test_it_says_what_is_missing(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    write_plan(plan, tmp_path)
    finished(plan, tmp_path, "plain", 0, train=0.1, wrong=10)
    note_divergence(begun(plan, tmp_path, "plain", 1, steps=5), 6)
    begun(plan, tmp_path, "residual", 0, steps=21)
    made = report(plan, tmp_path)
    assert made.missing == (
        "plain, seed 1: diverged after step 5, and is not repeated.",
        "residual, seed 1: not begun.",
        "residual, seed 0: at step 21 of 63.",
    )
    assert [each.stage for each in states(plan, tmp_path)] == ["finished", "diverged", "running", "missing"]
    assert "1 of 2, 1 diverged" in made.tables[0].rows[0]


@pytest.mark.parametrize(
    ("relation", "plain", "residual", "verdict"),
    [
        ("above", (0.10, 0.11), (0.02, 0.03), "holds"),
        ("not above", (0.10, 0.11), (0.02, 0.03), "does not hold"),
        ("below", (0.02, 0.03), (0.10, 0.11), "holds"),
        ("below", (0.10, 0.11), (0.02, 0.03), "does not hold"),
        ("above", (0.10, 0.20), (0.09, 0.19), "is not shown"),
        ("below", (0.09, 0.19), (0.10, 0.20), "is not shown"),
        ("below", (0.05, 0.05), (0.05, 0.05), "is not shown"),
        ("not above", (0.0, 0.0), (0.0, 0.0), "holds"),
        ("not above", (0.10, 0.20), (0.09, 0.19), "is not refuted"),
        ("not above", (0.09, 0.19), (0.10, 0.20), "holds"),
        ("not below", (0.09, 0.19), (0.10, 0.20), "is not refuted"),
        ("not below", (0.02, 0.03), (0.10, 0.11), "does not hold"),
    ],
)
def test_a_claim_is_held_against_the_spread_of_the_seeds(
    tmp_path: Path, relation: str, plain: tuple[float, ...], residual: tuple[float, ...], verdict: str
) -> None:
    plan = plan_of(tmp_path, SMALL.replace('"above"', f'"{relation}"'))
    for seed in (0, 1):
        finished(plan, tmp_path, "plain", seed, train=plain[seed], wrong=9)
        finished(plan, tmp_path, "residual", seed, train=residual[seed], wrong=9)
    ((found),) = held(plan, outcomes(plan, tmp_path))
    assert found.verdict == verdict, found


EVIL = "<script>alert(1)</script><img src=http://e.vil/x onerror=alert(2)>{{ 7 * 7 }}"
EVIL_MARKDOWN = "[a](http://e.vil) `b` | c <b>"


@pytest.mark.parametrize("words", [EVIL, EVIL_MARKDOWN, "</style></svg><h1>\u202e\u2066&#60;b&#62;"])
def test_a_strangers_words_stay_words(tmp_path: Path, words: str) -> None:
    quoted = json.dumps(words)
    text = SMALL.replace('"Two small nets."', quoted).replace('"Which one?"', quoted)
    text = text.replace('"The plain net trains worse."', quoted).replace(
        'title = "Both"', f"title = {quoted}"
    )
    text = text.replace('name = "others"', f"name = {quoted}").replace(
        'where = "Table 1"', f"where = {quoted}"
    )
    text = text.replace('columns = ["parameters"', f'note = {quoted}\ncolumns = ["parameters"')
    plan = plan_of(tmp_path, text)
    write_plan(plan, tmp_path)
    for seed in (0, 1):
        folder = finished(plan, tmp_path, "plain", seed, train=0.1, wrong=3)
    document = json.loads((folder / "run.json").read_text())
    document["terms"]["device_name"] = document["versions"]["torch"] = words
    document["command"] = [words]
    (folder / "run.json").write_text(json.dumps(document))
    write_report(plan, tmp_path)
    html = (tmp_path / HTML).read_text(encoding="utf-8")
    page = Reader(html)
    assert all(each.startswith("#") for each in page.loaded)
    assert not {"script", "img", "b"} & set(page.tags)
    assert page.tags.count("h1") == 1
    # nowhere as it stands, but where markup has no meaning
    assert "<script" not in html
    assert "49" not in " ".join(each for each in page.words if "alert" in each)
    markdown = (tmp_path / MARKDOWN).read_text(encoding="utf-8")
    outside = re.sub(r"```.*?```", "", markdown, flags=re.DOTALL)
    assert not re.search(r"(?<!\\)<|(?<!\\)\]\(http", outside)
    assert "\u202e" not in markdown + html


def test_a_plan_of_a_stranger_is_checked(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    whole(plan, tmp_path)
    good = json.loads((tmp_path / PLAN).read_text())
    for change in (
        {"schema_version": 2},
        {"seeds": 10**9},
        {"study": "../up"},
        {"runs": []},
        {"runs": [{**good["runs"][0], "label": "../../etc"}]},
        {"runs": [good["runs"][0], {**good["runs"][0], "label": "PLAIN"}]},
        {"unknown": 1},
    ):
        (tmp_path / PLAN).write_text(json.dumps({**good, **change}))
        with pytest.raises(FileError) as error:
            read_plan(tmp_path)
        assert error.value.diagnostics[0].code == "AS562"
    (tmp_path / PLAN).write_text("[" * 100_000)
    with pytest.raises(FileError):
        read_plan(tmp_path)


def test_a_folder_of_another_study_is_refused(tmp_path: Path) -> None:
    write_plan(plan_of(tmp_path), tmp_path)
    with pytest.raises(FileError, match="the folder holds small"):
        write_plan(plan_of(tmp_path, SMALL.replace('name = "small"', 'name = "other"')), tmp_path)


def test_a_run_by_another_recipe_is_refused(tmp_path: Path) -> None:
    finished(plan_of(tmp_path), tmp_path, "plain", train=0.1, wrong=3)
    other = plan_of(tmp_path, SMALL.replace("schedule.total=3", "schedule.total=4"))
    with pytest.raises(FileError, match="another recipe"):
        states(other, tmp_path)


@pytest.mark.skipif(BROWSER is None, reason="there is no Chromium here")
def test_it_opens_in_a_browser_without_a_request(folder: Path, tmp_path: Path) -> None:
    log = tmp_path / "net.json"
    assert BROWSER is not None
    done = subprocess.run(
        [
            *(BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"),
            *(
                "--disable-component-update",
                "--no-first-run",
                "--host-resolver-rules=MAP * ~NOTFOUND",
                f"--user-data-dir={tmp_path / 'profile'}",
            ),
            *(f"--log-net-log={log}", "--dump-dom", (folder / HTML).as_uri()),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"Chromium does not start here: {done.stderr[-200:]}")
    assert "The plain net trains worse." in done.stdout
    assert "<svg" in done.stdout
    asked = re.findall(r'"url":"(?:https?|wss?)://([^"/:]*)', log.read_text(errors="replace"))
    # a browser asks its maker for news of its own accord
    assert not [host for host in asked if not host.endswith((".google.com", ".gvt1.com"))]
