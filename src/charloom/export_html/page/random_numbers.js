// Random numbers without a generator state: Philox4x64-10 in numbers of 32 bits (spec/mathematics.md: Random numbers).

const SAMPLE = 2; // the code of the purpose "sample"
const ROUNDS = 10;
const M0 = [0xd2e7470e, 0xe14c6c93]; // each number of 64 bits is [high, low]
const M1 = [0xca5a8263, 0x95121157];
const W0 = [0x9e3779b9, 0x7f4a7c15];
const W1 = [0xbb67ae85, 0x84caa73b];

/** Return the product of two whole numbers of 32 bits as [high, low]. */
function product32(a, b) {
  const [aLow, aHigh, bLow, bHigh] = [a & 0xffff, a >>> 16, b & 0xffff, b >>> 16];
  const middle = aHigh * bLow + ((aLow * bLow) >>> 16);
  const other = aLow * bHigh + (middle & 0xffff);
  return [aHigh * bHigh + Math.floor(middle / 65536) + Math.floor(other / 65536), Math.imul(a, b) >>> 0];
}

/** Return the two halves of the product of two numbers of 64 bits, the upper one first. */
function product64([aHigh, aLow], [bHigh, bLow]) {
  const [low, lowHigh, highLow, high] = [product32(aLow, bLow), product32(aLow, bHigh), product32(aHigh, bLow), product32(aHigh, bHigh)];
  const second = low[0] + lowHigh[1] + highLow[1];
  const third = lowHigh[0] + highLow[0] + high[1] + Math.floor(second / 2 ** 32);
  return [[(high[0] + Math.floor(third / 2 ** 32)) >>> 0, third >>> 0], [second >>> 0, low[1]]];
}

/** Return the sum of two numbers of 64 bits, modulo 2^64. */
function sum64([aHigh, aLow], [bHigh, bLow]) {
  const low = aLow + bLow;
  return [(aHigh + bHigh + Math.floor(low / 2 ** 32)) >>> 0, low >>> 0];
}

const exclusiveOr = ([aHigh, aLow], [bHigh, bLow], [cHigh, cLow]) => [(aHigh ^ bHigh ^ cHigh) >>> 0, (aLow ^ bLow ^ cLow) >>> 0];

/** Return a whole number from 0 to 2^53 - 1 as a number of 64 bits. */
const split64 = (value) => [Math.floor(value / 2 ** 32), value >>> 0];

/** Return the four random numbers of 64 bits of a counter (four numbers of 64 bits) and a key (two of them). */
export function philox([c0, c1, c2, c3], [k0, k1]) {
  for (let round = 0; round < ROUNDS; round += 1) {
    const [[high0, low0], [high1, low1]] = [product64(M0, c0), product64(M1, c2)];
    [c0, c1, c2, c3] = [exclusiveOr(high1, c1, k0), low1, exclusiveOr(high0, c3, k1), low0];
    [k0, k1] = [sum64(k0, W0), sum64(k1, W1)];
  }
  return [c0, c1, c2, c3];
}

/** The random numbers with which a text is written: one for each character, from 0 to below 1. */
export class Uniforms {
  constructor(seed) {
    this.key = [split64(seed), split64(SAMPLE)];
    this.number = null; // of the block that was computed last
  }

  /** Return the random number of the character with this index in the text, from 0. */
  at(index) {
    const number = Math.floor(index / 4);
    if (number !== this.number) {
      this.number = number;
      this.block = philox([split64(number + 1), [0, 0], [0, 0], [0, 0]], this.key);
    }
    const [high, low] = this.block[index % 4];
    return (high * 2 ** 21 + (low >>> 11)) * 2 ** -53;
  }
}
