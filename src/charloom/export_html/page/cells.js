// One step of each recurrent cell (spec/mathematics.md: The cells). Sums and functions are computed in float64, states are
// rounded to float32.

const sigmoid = (a) => 1 / (1 + Math.exp(-a));

/**
 * Add M x to `sums`. M has sums.length rows, row by row. Four rows are computed together, because the processor can then
 * work on four sums at the same time.
 */
export function addProduct(M, x, sums) {
  const columns = x.length;
  const rows = sums.length;
  let row = 0;
  for (; row + 4 <= rows; row += 4) {
    const first = row * columns;
    let [a, b, c, d] = [0, 0, 0, 0];
    for (let n = 0, i = first, j = first + columns, k = j + columns, l = k + columns; n < columns; n += 1) {
      const value = x[n];
      a += M[i + n] * value;
      b += M[j + n] * value;
      c += M[k + n] * value;
      d += M[l + n] * value;
    }
    sums[row] += a;
    sums[row + 1] += b;
    sums[row + 2] += c;
    sums[row + 3] += d;
  }
  for (; row < rows; row += 1) {
    let sum = 0;
    for (let n = 0; n < columns; n += 1) sum += M[row * columns + n] * x[n];
    sums[row] += sum;
  }
}

/** A layer of the plain cell. `sums` of a step holds U x + b and, in layer 0, the input of the pair. */
export class RnnLayer {
  constructor({ W }) {
    this.W = W;
  }

  /** Replace the state `h` by the next one. */
  step(sums, h) {
    addProduct(this.W, h, sums);
    for (let n = 0; n < h.length; n += 1) h[n] = Math.tanh(sums[n]);
  }
}

/** A layer of an LSTM, with the gates i, f, g, o. */
export class LstmLayer {
  constructor({ W }) {
    this.W = W;
  }

  /** Replace the states `h` and `cell` by the next ones. */
  step(sums, h, cell) {
    addProduct(this.W, h, sums);
    const H = h.length;
    for (let n = 0; n < H; n += 1) {
      const [i, f, o] = [sigmoid(sums[n]), sigmoid(sums[H + n]), sigmoid(sums[3 * H + n])];
      cell[n] = f * cell[n] + i * Math.tanh(sums[2 * H + n]);
      h[n] = o * Math.tanh(cell[n]);
    }
  }
}

/** A layer of a GRU, with the gates r, z, n. The reset gate is applied after the product with W. */
export class GruLayer {
  constructor({ W, d }) {
    this.W = W;
    this.d = d;
    this.held = new Float64Array(3 * d.length);
  }

  /** Replace the state `h` by the next one. */
  step(sums, h) {
    const { held, d } = this;
    held.fill(0);
    addProduct(this.W, h, held);
    const H = h.length;
    for (let n = 0; n < H; n += 1) {
      const r = sigmoid(sums[n] + held[n]);
      const z = sigmoid(sums[H + n] + held[H + n]);
      const candidate = Math.tanh(sums[2 * H + n] + r * (held[2 * H + n] + d[n]));
      h[n] = (1 - z) * candidate + z * h[n];
    }
  }
}

/** The class of the layers of each cell. */
export const LAYERS = { rnn: RnnLayer, lstm: LstmLayer, gru: GruLayer };
