"""The page as a reader sees it, in a real browser, on a desk and on a phone, light and dark: no text overlaps another,
nothing is cut or wider than the window, and labels can be read."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from synthetic_runs import write_run, write_study

from crestfall import report
from crestfall.analysis.watch.monitor import View
from crestfall.cli.main import main
from crestfall.report.live import watch_page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="NO BROWSER: chromium is not installed, the page was not looked at"
)

PROBE = """<!doctype html><meta charset="utf-8"><body style="margin:0">
<iframe id="f" src="PAGE" width="WIDTH" height="900" style="border:0"></iframe><pre id="out"></pre>
<script>
document.getElementById("f").onload = function () {
  var w = this.contentWindow, d = w.document, wrong = [], smallest = 99;
  d.querySelectorAll("details").forEach(function (x) { x.open = true; });
  function shown(r) { return r.width > 0 && r.height > 0; }
  function scrolls(x) { for (; x; x = x.parentElement) if (x.classList && x.classList.contains("scroll")) return x; }
  var wide = d.documentElement.clientWidth;
  if (d.documentElement.scrollWidth > wide) wrong.push("wider than the window: " + d.documentElement.scrollWidth);
  d.querySelectorAll("main svg").forEach(function (svg) {
    var frame = svg.getBoundingClientRect();
    if (!shown(frame) || !svg.viewBox.baseVal || !svg.viewBox.baseVal.width) return;
    var scale = frame.width / svg.viewBox.baseVal.width, boxes = [];
    svg.querySelectorAll("text").forEach(function (t) {
      var r = t.getBoundingClientRect();
      if (!shown(r) || w.getComputedStyle(t).display === "none") return;
      smallest = Math.min(smallest, parseFloat(w.getComputedStyle(t).fontSize) * scale);
      var box = scrolls(svg), left = box ? box.getBoundingClientRect().left : 0;
      var room = box ? left + box.scrollWidth : wide;
      if (r.left < left - 1 || r.right > room + 1) wrong.push("cut: " + t.textContent);
      boxes.push([t.textContent, r]);
    });
    boxes.forEach(function (a, i) { boxes.slice(i + 1).forEach(function (b) {
      var x = Math.min(a[1].right, b[1].right) - Math.max(a[1].left, b[1].left);
      var y = Math.min(a[1].bottom, b[1].bottom) - Math.max(a[1].top, b[1].top);
      if (x > 1 && y > 3) wrong.push("overlap: " + a[0] + " / " + b[0] + " in " + svg.textContent.slice(0, 60));
    }); });
  });
  d.querySelectorAll(".scroll").forEach(function (x) {
    if (x.scrollWidth > x.clientWidth + 1 && !x.classList.contains("more"))
      wrong.push("scrolls without a hint: " + x.getAttribute("aria-label"));
  });
  d.querySelectorAll("p, h1, h2, section, td, th, dd, figcaption, summary, .key span, header *").forEach(function (x) {
    var r = x.getBoundingClientRect(), outside = r.left < -1 || r.right > wide + 1;
    if (shown(r) && !scrolls(x) && outside) wrong.push("outside: " + x.textContent.trim().slice(0, 60));
  });
  var svg = d.querySelector("svg[data-read]"), every = d.querySelector("[data-programs] select");
  if (!svg || !every) {
    document.getElementById("out").textContent = JSON.stringify({wrong: wrong.slice(0, 40)});
    return;
  }
  var frame = svg.getBoundingClientRect(), box = d.getElementById("reading");
  var at = {pointerType: "touch", clientX: frame.left + frame.width / 2, clientY: frame.top + 40, bubbles: true};
  ["pointerdown", "pointerup", "pointerleave"].forEach(function (name) {
    svg.dispatchEvent(new w.PointerEvent(name, at));
  });
  var before = every.closest("div").textContent;
  every.selectedIndex = every.options.length - 1;
  every.dispatchEvent(new w.Event("change"));
  var steps = every.closest("div").textContent === before ? 0 : every.options.length;
  var touched = !box.hidden && box.textContent, out = {wrong: wrong.slice(0, 40), smallest: smallest, touched: touched};
  out.steps = steps;
  document.getElementById("out").textContent = JSON.stringify(out);
};
</script>"""


def look(page: Path, tmp_path: Path, width: int, dark: bool) -> dict[str, Any]:
    probe = tmp_path / "probe.html"
    probe.write_text(PROBE.replace("PAGE", page.as_uri()).replace("WIDTH", str(width)))
    assert CHROMIUM is not None
    done = subprocess.run(
        [
            CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--window-size=1600,1000",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            "--allow-file-access-from-files", f"--user-data-dir={tmp_path / 'profile'}",
            f"--blink-settings=preferredColorScheme={0 if dark else 1}", "--virtual-time-budget=6000", "--dump-dom",
            probe.as_uri(),
        ],
        capture_output=True, text=True, timeout=180, check=True,
    )  # fmt: skip
    found = re.search(r'<pre id="out">(.+?)</pre>', done.stdout)
    assert found, "the page did not load"
    out: dict[str, Any] = json.loads(unescape(found[1]))
    return out


NINE = ("naive", "es", "crest", "a_rather_long_method_name", "grpo", "rloo", "dapo", "ewc", "linear_decay")
SPECIMENS = {
    "run": lambda path: write_run(path, campaigns=1),
    "long_chain": lambda path: write_run(path, campaigns=10),
    "study": lambda path: write_study(path, methods=("naive", "es"), seeds=(1, 2), campaigns=3),
    "nine_methods": lambda path: write_study(path, methods=NINE, seeds=(1,), campaigns=2),
}


@pytest.mark.parametrize("specimen", SPECIMENS)
def test_nothing_overlaps_or_is_cut(tmp_path: Path, specimen: str) -> None:
    page = report.write(SPECIMENS[specimen](tmp_path / specimen))
    for width, dark in ((1400, False), (390, True)):
        found = look(page, tmp_path, width, dark)
        assert found["wrong"] == [], width
        assert found["smallest"] >= 10.95, width
        assert found["touched"], width
        assert found["steps"] >= 4, width  # programs of any step can be chosen


def page_over_logs(path: Path) -> Path:
    logs = [path.with_name(name) for name in ("fell.csv", "a_run_with_a_long_name_" * 5 + ".csv")]
    for log in logs:
        log.write_text("step,a_rather_long_metric_name/pass@1,n\n" + "".join(f"{s},{v},480\n" for s, v in CURVE))
    assert main(["analyze", *map(str, logs), "--report", str(path)]) == 0
    return path / "index.html"


def page_of_a_log(path: Path) -> Path:
    return next(page_over_logs(path).parent.glob("*fell.html"))


def page_over_runs(path: Path) -> Path:
    write_run(path / ("a_directory_with_a_long_name_" * 4), campaigns=1)
    write_study(path / "study", methods=NINE, seeds=(1,), campaigns=1)
    assert main(["report", str(path)]) == 0
    return path / "index.html"


def page_of_watch(path: Path) -> Path:
    steps_S, values_S = (np.array(column) for column in zip(*CURVE, strict=True))
    name = "a_run_with_a_long_name_" * 4
    fine = View("key", name, "eval/pass@1", Path("log"), steps_S, values_S, values_S, True, "", None)
    path.mkdir()
    page = path / "index.html"
    page.write_text(watch_page.page([fine], [f"/a/folder/{name}/later.csv: nothing there yet"], 3600))
    return page


CURVE = [(s, v) for s, v in enumerate([0.2, 0.4, 0.6, 0.7, 0.6, 0.4, 0.2, 0.1])]
OTHER = {"log": page_of_a_log, "logs": page_over_logs, "runs": page_over_runs, "watch": page_of_watch}


@pytest.mark.slow
@pytest.mark.parametrize("name", OTHER)
def test_the_other_pages_fit_too(tmp_path: Path, name: str) -> None:
    page = OTHER[name](tmp_path / name)
    for width, dark in ((1400, False), (1400, True), (390, False), (390, True)):
        assert look(page, tmp_path, width, dark)["wrong"] == [], width
