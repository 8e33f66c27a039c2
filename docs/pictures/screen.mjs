// A terminal's screen, as far as pinhole and a shell use one, and a drawing of it.

const CELL = { width: 8.4, height: 18, font: 14 };
const MARGIN = { x: 16, y: 14 };
const COLOURS = { 1: '#ff7b72', 2: '#56d364', 3: '#e3b341', 4: '#79c0ff', 5: '#d2a8ff', 6: '#76e3ea', 7: '#e6edf3' };
const GREY = '#8b949e';
const FONTS = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', 'Liberation Mono', monospace";
const SEQUENCE = /^\x1b\[(\?)?([\d;]*)([A-Za-z])/;

export class Screen {
  constructor(columns, rows) {
    Object.assign(this, { columns, rows, row: 0, column: 0, wraps: true, style: '', rest: '' });
    this.cells = Array.from({ length: rows }, () => this.blank());
  }

  blank() {
    return Array.from({ length: this.columns }, () => ({ text: ' ', style: '' }));
  }

  text() {
    return this.cells.map((row) => row.map((cell) => cell.text).join('').trimEnd()).join('\n');
  }

  // Takes what a program wrote. The rest of a sequence may come later.
  write(text) {
    let rest = this.rest + text;
    while (rest) {
      let size = 1;
      if (rest[0] === '\x1b') {
        const found = rest.match(SEQUENCE);
        if (!found) {
          if (rest.length > 20) {
            throw new Error(`no sequence that is known: ${JSON.stringify(rest.slice(0, 20))}`);
          }
          break;
        }
        this.obey(...found);
        size = found[0].length;
      } else {
        const character = String.fromCodePoint(rest.codePointAt(0));
        this.put(character);
        size = character.length;
      }
      rest = rest.slice(size);
    }
    this.rest = rest;
  }

  put(character) {
    if (character === '\r') {
      this.column = 0;
    } else if (character === '\n') {
      this.down();
    } else if (character < ' ' || character >= '\u1100' && !/[\u2000-\u27ff]/.test(character)) {
      throw new Error(`no cell for ${JSON.stringify(character)}`);
    } else {
      if (this.column === this.columns && this.wraps) {
        this.column = 0;
        this.down();
      }
      this.cells[this.row][Math.min(this.column, this.columns - 1)] = { text: character, style: this.style };
      this.column = Math.min(this.column + 1, this.columns);
    }
  }

  down() {
    if (this.row < this.rows - 1) {
      this.row += 1;
    } else {
      this.cells.push(this.blank());
      this.cells.shift();
    }
  }

  obey(sequence, isPrivate, numbers, kind) {
    const [number = 0] = numbers ? numbers.split(';').map(Number) : [];
    if (isPrivate && 'hl'.includes(kind)) {
      this.wraps = number === 7 ? kind === 'h' : this.wraps;
    } else if (kind === 'm') {
      this.dress(numbers.split(';').map(Number));
    } else if (kind === 'A') {
      this.row = Math.max(0, this.row - (number || 1));
    } else if ('JK'.includes(kind) && number === 0) {
      this.cells[this.row].splice(this.column, this.columns, ...this.blank().slice(this.column));
      for (let row = this.row + 1; kind === 'J' && row < this.rows; row += 1) {
        this.cells[row] = this.blank();
      }
    } else {
      throw new Error(`no sequence that is known: ${JSON.stringify(sequence)}`);
    }
  }

  // Styles are names of classes in the drawing.
  dress(codes) {
    for (const code of codes) {
      if (code === 0) {
        this.style = '';
      } else if (code === 1 || code === 2) {
        this.style = `${this.style} ${code === 1 ? 'bold' : 'dim'}`.trim();
      } else if (code >= 31 && code <= 37 || code === 90) {
        this.style = `${this.style} c${code}`.trim();
      } else {
        throw new Error(`no style that is known: ${code}`);
      }
    }
  }

  // Returns the screen as SVG, without empty lines at its end. What stands together keeps its columns in any font.
  svg(title) {
    const lineCount = this.text().trimEnd().split('\n').length;
    const [width, height] = [this.columns * CELL.width + 2 * MARGIN.x, lineCount * CELL.height + 2 * MARGIN.y];
    const colours = Object.entries(COLOURS).map(([number, colour]) => `.c3${number}{fill:${colour}}`);
    const styles = this.cells.flatMap((row) => row.flatMap((cell) => cell.style.split(' ')));
    const used = (rule) => styles.includes(rule.match(/^\.(\w+)/)[1]);
    const rules = ['.bold{font-weight:bold}', `.dim{fill:${GREY}}`, ...colours, `.c90{fill:${GREY}}`].filter(used);
    const lines = this.cells.flatMap((row, number) => pieces(row).map(({ column, text, style }) => {
      const x = MARGIN.x + column * CELL.width;
      const y = MARGIN.y + number * CELL.height + CELL.font;
      const length = text.length > 1 ? ` textLength="${round(text.length * CELL.width)}" lengthAdjust="spacingAndGlyphs"` : '';
      return `<text${style ? ` class="${style}"` : ''} x="${round(x)}" y="${y}"${length}>${escape(text)}</text>`;
    }));
    return [
      `<svg xmlns="http://www.w3.org/2000/svg" width="${round(width)}" height="${height}" viewBox="0 0 ${round(width)} ${height}" role="img">`,
      `<title>${escape(title)}</title>`,
      `<style>text{font:${CELL.font}px ${FONTS};fill:${COLOURS[7]};white-space:pre}${rules.join('')}</style>`,
      '<rect width="100%" height="100%" rx="8" fill="#0d1117" stroke="#30363d"/>',
      ...lines,
      '</svg>\n',
    ].join('\n');
  }
}

// Returns what stands together in one style, with single spaces within.
function pieces(row) {
  const found = [];
  let isOpen = false;
  for (const [column, { text, style }] of row.entries()) {
    const isEnd = text === ' ' && (row[column + 1]?.text ?? ' ') === ' ';
    isOpen &&= !isEnd && found.at(-1).style === style;
    if (isOpen) {
      found.at(-1).text += text;
    } else if (text !== ' ') {
      found.push({ column, text, style });
      isOpen = true;
    }
  }
  return found;
}

function round(number) {
  return Number(number.toFixed(1));
}

function escape(text) {
  return text.replace(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`);
}
