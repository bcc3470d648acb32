'use strict';

// Tables: a click on a head sorts by that column, a second one turns the order.
const value = (cell) => {
  const text = cell.textContent.replaceAll(',', '').replaceAll('−', '-');
  const number = Number.parseFloat(text);
  return Number.isNaN(number) ? text : number;
};

for (const table of document.querySelectorAll('table.sortable')) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement('button');
    button.textContent = head.textContent;
    head.replaceChildren(button);
    button.addEventListener('click', () => {
      const up = head.getAttribute('aria-sort') !== 'ascending';
      heads.forEach((other) => other.removeAttribute('aria-sort'));
      head.setAttribute('aria-sort', up ? 'ascending' : 'descending');
      const known = (row) => row.cells[column].textContent !== '–';
      const rows = [...table.tBodies[0].rows].sort((a, b) => {
        // What is not known stays last.
        if (known(a) !== known(b)) return known(b) - known(a);
        const [x, y] = [value(a.cells[column]), value(b.cells[column])];
        const order = typeof x === 'number' && typeof y === 'number' ? x - y : String(x).localeCompare(String(y));
        return up ? order : -order;
      });
      table.tBodies[0].append(...rows);
    });
  });
}

// Walls: two crops, one over the other, and a slider between them.
for (const wall of document.querySelectorAll('.wall')) {
  const figures = [...wall.querySelectorAll('figure')];
  if (figures.length < 2) continue;
  const slider = document.createElement('div');
  slider.className = 'slider';
  const pair = document.createElement('div');
  pair.className = 'pair';
  const choice = document.createElement('div');
  choice.className = 'choice';
  for (const [side, chosen] of [['left', 1], ['right', 0]]) {
    const image = document.createElement('img');
    const select = document.createElement('select');
    select.ariaLabel = `shown on the ${side}`;
    for (const figure of figures) select.add(new Option(figure.querySelector('figcaption').textContent));
    const show = () => {
      const figure = figures[select.selectedIndex];
      image.src = figure.querySelector('img').src;
      image.alt = figure.dataset.codec;
    };
    select.selectedIndex = chosen;
    select.addEventListener('change', show);
    show();
    pair.append(image);
    choice.append(select);
  }
  const range = document.createElement('input');
  range.type = 'range';
  range.value = 50;
  range.ariaLabel = 'border between the two crops';
  range.addEventListener('input', () => pair.style.setProperty('--at', `${range.value}%`));
  slider.append(pair, range, choice);
  wall.querySelector('.crops').before(slider);
}
