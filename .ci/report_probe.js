// Looks at the page of `bench speculate` in a browser; `.ci/nightly` puts it behind the page's end. Every plot must be
// there and drawn, and no label cut off or under another. Complaints are console errors; the last line says that it ran.

// What each place of the page must hold.
const expected = {
  "table": "td",
  "speed-up": "svg rect.bar",
  "acceptance": "svg polyline.line",
  "cost": "svg circle.hollow",
  "draft-length": "svg polyline.line",
  "timeline": "svg.strip rect.rejected",
};

const complain = (text) => console.error(`probe: ${text}`);
const box = (element) => element.getBoundingClientRect();

for (const [id, selector] of Object.entries(expected)) {
  const place = document.getElementById(id);
  const shapes = place ? [...place.querySelectorAll(selector)] : [];
  if (!place) complain(`there is no \`${id}\``);
  else if (!shapes.length) complain(`\`${id}\` has no \`${selector}\``);
  else if (shapes.every((shape) => box(shape).width < 1)) complain(`\`${id}\` shows no \`${selector}\``);
}
for (const word of ["accepted", "own"]) {
  if (!document.querySelector(`#timeline .text span.${word}`)) complain(`the text has no ${word} token`);
}
if (!document.querySelector("#timeline .text del")) complain("the text has no rejected token");

const overlap = (a, b) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1
  && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 3;
for (const svg of document.querySelectorAll("svg")) {
  const name = `\`${svg.getAttribute("aria-label")}\``;
  const frame = box(svg);
  if (frame.width < 1 || frame.height < 1) complain(`the plot ${name} has no size`);
  const labels = [...svg.querySelectorAll("text")].map((label) => [label.textContent, box(label)]);
  labels.forEach(([text, at], index) => {
    const isInside = at.left > frame.left - 1 && at.right < frame.right + 1
      && at.top > frame.top - 3 && at.bottom < frame.bottom + 3;
    if (!isInside) complain(`the label \`${text}\` of ${name} is cut off`);
    for (const [other, there] of labels.slice(index + 1)) {
      if (overlap(at, there)) complain(`the labels \`${text}\` and \`${other}\` of ${name} overlap`);
    }
  });
}
for (const element of document.querySelectorAll("[src], [href]")) complain(`the page asks for ${element.outerHTML}`);
const { scrollWidth, clientWidth } = document.documentElement;
if (scrollWidth > clientWidth) complain(`the page is ${scrollWidth} wide in a window of ${clientWidth}`);
console.log("probe: done");
