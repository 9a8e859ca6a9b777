"""The page in a real browser: no error, no hostile script, nothing wider than a phone, read-outs that work."""

import json
import re
import shutil
import subprocess
from html import unescape

import pytest
from synthetic_runs import HOSTILE, write_run, write_study

from crestfall import report

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="NO BROWSER: chromium is not installed, the page was not opened"
)

# The page stands in a frame: its policy forbids scripts of ours inside it.
PROBE = """<!doctype html><meta charset="utf-8">
<iframe id="f" src="PAGE" width="WIDTH" height="900"></iframe><pre id="out"></pre>
<script>
document.getElementById("f").onload = function () {
  var w = this.contentWindow, d = w.document, out = {};
  d.querySelectorAll("details").forEach(function (x) { x.open = true; });
  var chart = d.querySelector("svg[data-read]");
  chart.dispatchEvent(new w.KeyboardEvent("keydown", {key: "Home"}));
  out.first = d.getElementById("reading").textContent;
  chart.dispatchEvent(new w.KeyboardEvent("keydown", {key: "ArrowRight"}));
  out.second = d.getElementById("reading").textContent;
  chart.dispatchEvent(new w.KeyboardEvent("keydown", {key: "Escape"}));
  out.hidden = d.getElementById("reading").hidden;
  var box = d.querySelector("input[data-toggle]");
  box.click();
  out.toggled = w.getComputedStyle(d.querySelector(".strip ." + box.dataset.toggle)).display;
  out.pwned = w.__pwned || null;
  out.overflow = d.documentElement.scrollWidth - d.documentElement.clientWidth;
  out.font = w.getComputedStyle(d.querySelector("h1")).fontSize;
  document.getElementById("out").textContent = JSON.stringify(out);
};
</script>"""


def browse(page, tmp_path, width=1400, dark=False):
    """What the probe found, and every line the page put on the console."""
    probe = tmp_path / "probe.html"
    probe.write_text(PROBE.replace("PAGE", page.as_uri()).replace("WIDTH", str(width)))
    done = subprocess.run(
        [
            CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            "--allow-file-access-from-files", "--enable-logging=stderr", f"--user-data-dir={tmp_path / 'profile'}",
            f"--blink-settings=preferredColorScheme={0 if dark else 1}", "--virtual-time-budget=4000", "--dump-dom",
            probe.as_uri(),
        ],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    found = re.search(r'<pre id="out">(.+?)</pre>', done.stdout)
    assert found, "the page did not load"
    return json.loads(unescape(found[1])), [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def test_hostile_programs_do_not_run(tmp_path):
    page = report.write(write_run(tmp_path / "r", programs=HOSTILE, campaigns=2))
    found, console = browse(page, tmp_path, width=360)
    assert found["pwned"] is None
    assert console == []
    assert found["overflow"] <= 0


def test_the_probe_would_see_a_breach(tmp_path):
    page = report.write(write_run(tmp_path / "r", campaigns=1))
    html = page.read_text().replace("<main>", "<main><script>window.__pwned = 1</script>")
    page.write_text(html)
    found, console = browse(page, tmp_path)
    assert found["pwned"] is None  # the policy holds
    assert console  # and the browser says that it had to
    page.write_text(re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", html))
    assert browse(page, tmp_path)[0]["pwned"] == 1


@pytest.mark.parametrize(("width", "dark"), [(360, True), (1600, False)])
def test_readings_toggles_and_width(tmp_path, width, dark):
    page = report.write(write_study(tmp_path / "s", methods=("naive", "es", "crest"), seeds=(1,), campaigns=2))
    found, console = browse(page, tmp_path, width, dark)
    assert console == []
    assert found["first"].startswith("step 0report")
    assert found["second"].startswith("step 1report")
    assert found["hidden"]
    assert found["toggled"] == "none"
    assert found["overflow"] <= 0
    assert found["font"] == "27px"  # the style sheet passed its own policy
