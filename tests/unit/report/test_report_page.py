"""The page of a run and of a study: complete, self-contained, light, and deaf to what policies write."""

import json
import re
import shutil
from html import unescape
from html.parser import HTMLParser

import pytest
from synthetic_runs import HOSTILE, write_run, write_study

from crestfall import report
from crestfall.cli.main import main
from crestfall.core.errors import InputError


class Elements(HTMLParser):
    """Collects what a browser would act on."""

    def __init__(self):
        super().__init__()
        self.tags, self.attributes, self.ids = [], set(), []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}
        self.ids += [value for name, value in attrs if name == "id"]

    handle_startendtag = handle_starttag


def elements(html):
    parser = Elements()
    parser.feed(html)
    return parser


def text_of(path):
    return path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    path = write_study(tmp_path_factory.mktemp("study") / "s", methods=("naive", "es"), seeds=(1,))
    return path, text_of(report.write(path))


def test_the_page_needs_nothing_from_outside(study):
    _, html = study
    assert not re.search(r"""(src|href)\s*=\s*["']?(https?:)?//""", html)
    assert "@import" not in html
    assert "url(http" not in html
    assert "default-src 'none'" in unescape(html)
    assert elements(html).tags.count("script") == 1


def test_the_quickstart_page_can_be_mailed(tmp_path):
    path = write_study(tmp_path / "s", seeds=(1,), campaigns=10, budget=20)
    assert report.write(path).stat().st_size < 1_000_000


def test_every_section_is_there(study):
    ids = elements(study[1]).ids
    wanted = ["happened", "curves", "ends", "campaigns", "signals", "verdicts", "programs", "decisions", "provenance"]
    assert [i for i in ids if i in wanted] == wanted


def test_few_seeds_make_no_claim(study, tmp_path):
    assert "no claim of significance is possible" in study[1]
    many = write_study(tmp_path / "m", methods=("naive",), seeds=range(6), campaigns=1, budget=4)
    assert "no claim of significance is possible" not in text_of(report.write(many))


def test_each_campaign_is_a_panel_and_each_stop_is_marked(study):
    _, html = study
    assert len(re.findall(r"<title>campaign \d: start", html)) == 6
    assert html.count("<title>stopped after step") == 3  # es alone: naive uses up its budget


def test_rollbacks_are_drawn_and_told(tmp_path):
    html = text_of(report.write(write_run(tmp_path / "r", method="crest", campaigns=1)))
    assert "<title>rolled back from step 9 to step" in html
    assert "fall of 2.6 SE" in html


def test_decisions_between_campaigns_are_told_with_their_evidence(tmp_path):
    html = text_of(report.write(write_run(tmp_path / "r", method="care", campaigns=2)))
    row = re.search(r"<tr>(?:(?!</tr>).)*end/peak 0\.310(?:(?!</tr>).)*</tr>", html, re.DOTALL)
    assert row is not None
    cells = re.findall(r"<td[^>]*>(.*?)</td>", row[0])
    assert cells[1:5] == ["2", "pilot · rolled back", "10", "0.5"]
    assert re.search(r"ratio&nbsp;<b>0\.31</b>", cells[6])
    assert "revised&nbsp;<b>True</b>" in cells[6]


def test_hostile_evidence_is_only_text(tmp_path):
    path = write_run(tmp_path / "r", method="care", campaigns=1)
    log = path / "events.jsonl"
    hostile = json.dumps("<script>window.__pwned = 1</script>\u202e")
    log.write_text(log.read_text().replace('"pilot"', hostile).replace('"ratio"', hostile).replace("0.013", hostile))
    written = report.write(path)
    assert elements(text_of(written)).tags.count("script") == 1
    assert "\u202e" not in text_of(written)
    assert text_of(written).count("&lt;script&gt;window") >= 3


@pytest.mark.parametrize("place", ["program", "method"])
def test_hostile_text_is_only_text(tmp_path, place):
    if place == "program":
        path = write_run(tmp_path / "r", programs=HOSTILE, campaigns=2)
    else:
        path = write_run(tmp_path / "r", method='"><img src=x onerror=alert(1)></script><script>\u202e', campaigns=1)
        meta = json.loads((path / "run.json").read_text())
        meta["provenance"] = {"</dd><script>": "<svg onload=x>\ud800"}
        meta["error"] = "<iframe src=x>"
        (path / "run.json").write_text(json.dumps(meta))
    written = report.write(path)
    found = elements(text_of(written))
    assert found.tags.count("script") == 1
    assert found.tags.count("style") == 1
    assert not {"img", "iframe", "object", "embed", "form", "base", "link"} & set(found.tags)
    assert not {name for name in found.attributes if name.startswith("on") or name == "style"}
    assert not set("\x00\x07\x1b\u202e\u2066\u200b\ufeff") & set(text_of(written))
    assert "49" not in re.findall(r"<pre[^>]*>([^<]*)</pre>", text_of(written))  # {{ 7 * 7 }} stays a template
    assert written.stat().st_size < 400_000


def test_programs_stand_side_by_side_at_start_peak_and_end(study):
    assert re.search(r"start, step 0.*?peak, step \d+.*?end, step 12", study[1], re.DOTALL)


@pytest.mark.parametrize("events", [0, 2, 3, 4, 6, 11])
def test_a_run_in_progress_has_a_page(tmp_path, events):
    path = write_run(tmp_path / "r", status="running", stop_after_events=events)
    html = text_of(report.write(path))
    assert "Still running: naive seed 0;" in html
    assert ("curves" in elements(html).ids) == (events > 3)


def test_a_study_says_what_has_not_begun_or_failed(tmp_path):
    path = write_study(tmp_path / "s", campaigns=1, seeds=(1, 2))
    shutil.rmtree(path / "cells" / "es" / "seed-2")
    write_run(path / "cells" / "naive" / "seed-1", seed=1, status="failed", stop_after_events=0)
    html = text_of(report.write(path))
    assert "Not begun: es seed 2." in html
    assert "Failed: naive seed 1;" in html


def test_missing_pieces_leave_out_their_sections(tmp_path):
    path = write_run(tmp_path / "r", competence=False)
    bare = []
    for line in (path / "events.jsonl").read_text().splitlines():
        event = json.loads(line)
        if event["type"] == "final":
            continue
        for field in ("signals", "verdicts", "shown", "seconds", "decision"):
            event.pop(field, None)
        bare.append(json.dumps(event))
    (path / "events.jsonl").write_text("\n".join(bare) + '\n{"seq": 99, "ty')
    html = text_of(report.write(path))
    assert not {"ends", "signals", "verdicts", "programs"} & set(elements(html).ids)
    assert "torn" in html


def test_studies_with_many_cells_stay_light(tmp_path):
    path = write_study(tmp_path / "s", methods=[f"m{k}" for k in range(10)], seeds=range(4), campaigns=4, budget=8)
    written = report.write(path)
    assert written.stat().st_size < 1_000_000
    assert "more have reports of their own" in text_of(written)


def test_the_page_is_the_same_each_time(study, tmp_path):
    path, html = study
    assert text_of(report.write(path, tmp_path / "again.html")) == html


def test_a_directory_that_is_neither_gets_one_line(tmp_path, capsys):
    with pytest.raises(InputError, match=r"neither run\.json nor study\.json"):
        report.write(tmp_path)
    assert main(["report", str(tmp_path)]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_the_command_writes_where_it_is_told(study, tmp_path, capsys):
    out = tmp_path / "x.html"
    assert main(["report", str(study[0]), "--out", str(out), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["report"] == str(out)
    assert told["bytes"] == out.stat().st_size


def test_reporting_never_imports_the_trainer(study, tmp_path):
    import subprocess
    import sys

    shutil.copytree(study[0], tmp_path / "s")
    code = (
        "import sys, pathlib; from crestfall import report; report.write(pathlib.Path(sys.argv[1]));"
        "bad = {m for m in sys.modules if m.split('.')[0] in ('torch', 'transformers', 'matplotlib')"
        " or m.startswith('crestfall.testbed')};"
        "assert not bad, bad"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "s")], check=True)
