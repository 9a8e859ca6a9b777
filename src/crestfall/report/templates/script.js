/* Read-outs under the pointer and under the arrow keys, and switches for the faint layers. Nothing here is needed to
   read the page. Every text goes in as textContent. */
(function () {
  "use strict";
  var box = document.getElementById("reading");
  var SVG = "http://www.w3.org/2000/svg";

  function format(value, unit) {
    if (value === null) return "–";
    return unit === "%" ? value.toFixed(1) + "%" : String(value);
  }

  function nearest(xs, x) {
    var best = 0;
    for (var i = 1; i < xs.length; i++) if (Math.abs(xs[i] - x) < Math.abs(xs[best] - x)) best = i;
    return best;
  }

  function show(svg, data, index) {
    var rule = svg.querySelector(".cursor");
    if (!rule) {
      rule = document.createElementNS(SVG, "path");
      rule.setAttribute("class", "cursor");
      svg.appendChild(rule);
    }
    rule.setAttribute("d", "M" + data.x[index] + " " + data.top + "V" + data.base);
    box.replaceChildren();
    var caption = document.createElement("b");
    caption.textContent = data.at[index];
    box.appendChild(caption);
    data.rows.forEach(function (row) {
      var name = document.createElement("span"), value = document.createElement("span");
      name.textContent = row[0];
      value.textContent = format(row[1][index], data.unit);
      box.append(name, value);
    });
    box.hidden = false;
    var frame = svg.getBoundingClientRect();
    var at = frame.left + (data.x[index] / svg.viewBox.baseVal.width) * frame.width;
    var left = at + 14 + box.offsetWidth > window.innerWidth ? at - box.offsetWidth - 14 : at + 14;
    box.style.left = Math.max(4, left) + "px";
    box.style.top = Math.max(4, Math.min(frame.top + 8, window.innerHeight - box.offsetHeight - 4)) + "px";
    svg.dataset.index = index;
  }

  function hide(svg) {
    var rule = svg.querySelector(".cursor");
    if (rule) rule.remove();
    box.hidden = true;
  }

  document.querySelectorAll("svg[data-read]").forEach(function (svg) {
    var data = JSON.parse(svg.dataset.read);
    function read(event) {
      var frame = svg.getBoundingClientRect();
      show(svg, data, nearest(data.x, ((event.clientX - frame.left) / frame.width) * svg.viewBox.baseVal.width));
    }
    svg.addEventListener("pointermove", read);
    svg.addEventListener("pointerdown", read);
    // A finger that is lifted leaves its reading on the screen until it taps elsewhere.
    svg.addEventListener("pointerleave", function (event) { if (event.pointerType !== "touch") hide(svg); });
    document.addEventListener("pointerdown", function (event) { if (!svg.contains(event.target)) hide(svg); }, true);
    svg.addEventListener("blur", function () { hide(svg); });
    svg.addEventListener("keydown", function (event) {
      var move = { ArrowRight: 1, ArrowLeft: -1, Home: -Infinity, End: Infinity }[event.key];
      if (event.key === "Escape") hide(svg);
      if (move === undefined) return;
      event.preventDefault();
      var from = svg.dataset.index === undefined ? -1 : Number(svg.dataset.index);
      show(svg, data, Math.max(0, Math.min(data.x.length - 1, from + move)));
    });
  });

  function hint() {
    document.querySelectorAll(".scroll").forEach(function (box) {
      box.classList.toggle("more", box.scrollWidth > box.clientWidth + 1);
    });
  }
  hint();
  window.addEventListener("resize", hint);
  document.querySelectorAll("details").forEach(function (details) { details.addEventListener("toggle", hint); });

  document.querySelectorAll("input[data-toggle]").forEach(function (input) {
    input.addEventListener("change", function () {
      document.body.classList.toggle("no-" + input.dataset.toggle, !input.checked);
    });
  });

  // Programs of any step: a list of steps, and what was written for each problem at the chosen one.
  document.querySelectorAll("[data-programs]").forEach(function (box) {
    var data = JSON.parse(box.dataset.programs), label = document.createElement("label");
    var select = document.createElement("select"), shown = document.createElement("div");
    label.textContent = "Programs of step ";
    label.appendChild(select);
    shown.className = "programs";
    data.steps.forEach(function (row) {
      var option = document.createElement("option");
      option.textContent = row[0];
      select.appendChild(option);
    });
    function write() {
      shown.replaceChildren();
      data.prompts.forEach(function (prompt, i) {
        var place = data.steps[select.selectedIndex][i + 1];
        if (place === null) return;
        var program = data.programs[place], cell = document.createElement("div");
        [["p", "prompt", prompt], ["span", "verdict", program[1]], ["pre", "", program[0]], ["p", "detail", program[3]]]
          .forEach(function (part) {
            var element = document.createElement(part[0]);
            element.className = part[1];
            element.textContent = part[2];
            if (part[2]) cell.appendChild(element);
          });
        cell.className = "program";
        shown.appendChild(cell);
      });
    }
    select.addEventListener("change", write);
    box.append(label, shown);
    box.hidden = false;
    write();
  });

  window.addEventListener("beforeprint", function () {
    document.querySelectorAll("details").forEach(function (details) { details.open = true; });
  });
})();
