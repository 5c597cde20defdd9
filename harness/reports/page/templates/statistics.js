// The statistics of harness/statistics/{intervals,paired,power}.py, for the two rows that the reader chooses. Everything is
// in points (percent of videos). tests/reports/test_page_statistics.py holds every number to Python's, to 1e-9: this file
// alone runs there, so it may use nothing of the page.

function lnGamma(x) { // Lanczos, g = 7
  const c = [0.99999999999980993, 676.5203681218851, -1259.1392167224028, 771.32342877765313, -176.61502916214059,
    12.507343278686905, -0.13857109526572012, 9.9843695780195716e-6, 1.5056327351493116e-7];
  if (x < 0.5) return Math.log(Math.PI / Math.sin(Math.PI * x)) - lnGamma(1 - x);
  let sum = c[0];
  for (let i = 1; i < 9; i++) sum += c[i] / (x - 1 + i);
  const t = x + 6.5;
  return 0.5 * Math.log(2 * Math.PI) + (x - 0.5) * Math.log(t) - t + Math.log(sum);
}

// Regularized incomplete beta function I_x(a, b), by Lentz's continued fraction.
function betaShare(x, a, b) {
  if (x <= 0) return 0;
  if (x >= 1) return 1;
  if (x > (a + 1) / (a + b + 2)) return 1 - betaShare(1 - x, b, a);
  const tiny = 1e-300, guard = v => (Math.abs(v) < tiny ? tiny : v);
  let c = 1, d = 1 / guard(1 - (a + b) * x / (a + 1)), h = d;
  for (let m = 1; m < 500; m++) {
    const even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
    d = 1 / guard(1 + even * d); c = guard(1 + even / c); h *= d * c;
    const odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
    d = 1 / guard(1 + odd * d); c = guard(1 + odd / c); h *= d * c;
    if (Math.abs(d * c - 1) < 1e-14) break;
  }
  return h * Math.exp(lnGamma(a + b) - lnGamma(a) - lnGamma(b) + a * Math.log(x) + b * Math.log(1 - x)) / a;
}

// Regularized lower incomplete gamma function P(a, x).
function gammaShare(a, x) {
  if (x <= 0) return 0;
  const front = Math.exp(a * Math.log(x) - x - lnGamma(a));
  if (x < a + 1) {
    let term = 1 / a, sum = term;
    for (let n = 1; n < 1000 && term > sum * 1e-15; n++) { term *= x / (a + n); sum += term; }
    return front * sum;
  }
  let b = x + 1 - a, c = 1e300, d = 1 / b, h = d;
  for (let i = 1; i < 1000; i++) {
    const an = -i * (i - a);
    b += 2; d = 1 / (an * d + b); c = b + an / c; h *= d * c;
    if (Math.abs(d * c - 1) < 1e-15) break;
  }
  return 1 - front * h;
}

function bisect(rising, low, high) { // the root of a rising function
  for (let i = 0; i < 100 && high - low > 1e-12 * Math.max(1, Math.abs(high)); i++) {
    const middle = (low + high) / 2;
    if (rising(middle) < 0) low = middle; else high = middle;
  }
  return (low + high) / 2;
}

const normalBelow = z => 0.5 * (1 + Math.sign(z) * gammaShare(0.5, z * z / 2));
const tAbove = (t, df) => (t < 0 ? 1 - tAbove(-t, df) : 0.5 * betaShare(df / (df + t * t), df / 2, 0.5));

function tQuantile(p, df) { // p > 0.5
  let top = 2;
  while (tAbove(top, df) > 1 - p) top *= 2;
  return bisect(t => 1 - p - tAbove(t, df), 0, top);
}

function chi2Quantile(p, df) {
  let top = df + 10;
  while (gammaShare(df / 2, top / 2) < p) top *= 2;
  return bisect(x => gammaShare(df / 2, x / 2) - p, 0, top);
}

const mean = values => { let sum = 0; for (const v of values) sum += v; return sum / values.length; };
const squares = (values, centre) => { let sum = 0; for (const v of values) sum += (v - centre) ** 2; return sum; };

// new and base: one Uint8Array a seed, over the same videos. `videos`: indices of a part of them.
function pairedDifference(newSV, baseSV, videos = null) {
  const S = newSV.length, index = videos ?? [...newSV[0].keys()], V = index.length;
  const d = newSV.map((right, s) => index.map(v => 100 * (right[v] - baseSV[s][v])));
  const difference = mean(d.map(mean));
  if (S < 2 || V < 2) return {difference, S, V, low: null, high: null, p: null, errors: null};
  const seedMeans = d.map(mean), videoMeans = index.map((_, v) => mean(d.map(row => row[v])));
  const msSeed = V * squares(seedMeans, difference) / (S - 1);
  const msVideo = S * squares(videoMeans, difference) / (V - 1);
  let rest = 0;
  d.forEach((row, s) => row.forEach((x, v) => { rest += (x - seedMeans[s] - videoMeans[v] + difference) ** 2; }));
  const msRest = rest / ((S - 1) * (V - 1));
  const rounding = (100 / V) ** 2 / 12 / S;
  const errors = {
    S, V, seed: msSeed / (S * V) + rounding,
    video: Math.max(0, msVideo - msRest) / (S * V), residual: msRest / (S * V),
  };
  const error = Math.sqrt(errors.seed + errors.video), df = degreesOfFreedom(errors, errors.seed);
  const half = tQuantile(0.975, df) * error;
  const p = 2 * tAbove(Math.abs(difference) / error, df);
  return {difference, S, V, low: difference - half, high: difference + half, p, errors};
}

function degreesOfFreedom(errors, seed) { // Satterthwaite; two seeds keep 1
  const lowest = errors.S - 1;
  if (lowest === 1) return 1;
  const spread = seed ** 2 / lowest + (errors.video + errors.residual) ** 2 / (errors.V - 1)
    + errors.residual ** 2 / (lowest * (errors.V - 1));
  return Math.max(lowest, (seed + errors.video) ** 2 / spread);
}

// One of the codes of harness.statistics.paired.Verdict.
function verdict(result, alpha = 0.05) {
  if (result.p === null) return result.S === 1 ? "one seed" : "one video";
  if (result.p >= alpha) return "no difference";
  return result.difference > 0 ? "better" : "worse";
}

// The true difference that such a comparison finds in 80 % of repetitions (power.detectable).
function detectable(errors) {
  const free = errors.S - 1, total = Math.sqrt(errors.seed + errors.video);
  const halves = Array.from({length: 200}, (_, k) => {
    const seed = errors.seed * chi2Quantile((k + 0.5) / 200, free) / free;
    return tQuantile(0.975, degreesOfFreedom(errors, seed)) * Math.sqrt(seed + errors.video);
  });
  const found = d => mean(halves.map(half => normalBelow((d - half) / total) + normalBelow((-half - d) / total)));
  return bisect(d => found(d) - 0.8, 0, 20 * tQuantile(0.975, free) * total);
}

// McNemar's exact test: a two-sided binomial test of the videos that only one of the two gets right.
function mcnemar(newV, baseV) {
  let onlyNew = 0, onlyBase = 0;
  newV.forEach((right, v) => { if (right && !baseV[v]) onlyNew++; else if (!right && baseV[v]) onlyBase++; });
  const n = onlyNew + onlyBase, k = Math.min(onlyNew, onlyBase);
  return {onlyNew, onlyBase, p: onlyNew === onlyBase ? 1 : Math.min(1, 2 * betaShare(0.5, n - k, k + 1))};
}

// Holm's step-down adjustment; null stays null.
function holm(pValues) {
  const tested = pValues.map((p, i) => ({p, i})).filter(({p}) => p !== null).sort((a, b) => a.p - b.p);
  const adjusted = pValues.map(() => null);
  let highest = 0;
  tested.forEach(({p, i}, rank) => { highest = Math.max(highest, p * (tested.length - rank)); adjusted[i] = Math.min(1, highest); });
  return adjusted;
}

// Videos whose majority answer flipped, the most decided first.
function flippedVideos(newSV, baseSV) {
  const S = newSV.length, flips = [];
  for (let v = 0; v < newSV[0].length; v++) {
    let rightNew = 0, rightBase = 0;
    for (let s = 0; s < S; s++) { rightNew += newSV[s][v]; rightBase += baseSV[s][v]; }
    if (2 * rightNew > S && 2 * rightBase < S) flips.push({v, flip: "gained", rightNew, rightBase});
    if (2 * rightNew < S && 2 * rightBase > S) flips.push({v, flip: "lost", rightNew, rightBase});
  }
  return flips.sort((a, b) => Math.abs(b.rightNew - b.rightBase) - Math.abs(a.rightNew - a.rightBase) || a.v - b.v);
}
