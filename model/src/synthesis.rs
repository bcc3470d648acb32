//! g_s, rows of ŷ in, rows of pixels out: strips follow each other as if they were one picture, and no row of any
//! map is computed twice. FORMAT.md, section 7.

use crate::kernels::{self, Dims};
use crate::pixels::from_network;
use crate::plain::{Map, Networks, Operation, Scratch};
use std::ops::{Deref, Range};

/// Rows of ŷ that become pixels together at most.
const BAND: usize = 8;
/// Cells of ŷ that become pixels together, where there are not more threads than rows: few enough for their maps to stay
/// in the processor's caches.
const CELLS: usize = 512;

/// A run of g_s over a picture from its top.
pub(crate) struct Synthesis<'a> {
    networks: &'a Networks,
    operations: &'a [Operation],
    position: f32,
    width: usize,
    /// Pixel rows that are still to come.
    rest: usize,
    /// For each operation, what it needs again of the rows that it has seen.
    kept: Vec<Kept>,
    /// Whether the next row of patches is the second of its pair.
    odd: bool,
    rgb: Vec<u8>,
    /// Bytes of `rgb` that are of this strip.
    filled: usize,
}

#[derive(Default)]
struct Kept {
    rows: Vec<f32>,
    /// Whether the first of them is only a neighbour of what is still to be computed.
    above: bool,
}

impl<'a> Synthesis<'a> {
    /// For a picture of `width` and `height` pixels, at `position` (0..=1) on the rate scale.
    pub(crate) fn new(
        networks: &'a Networks,
        position: f32,
        (width, height): (usize, usize),
    ) -> Synthesis<'a> {
        let operations = networks.operations("synthesis");
        let kept = operations.iter().map(|_| Kept::default()).collect();
        // Each block lags behind by a row: so bands of an even number of rows end with a pair.
        let odd = operations.iter().filter(|o| matches!(o, Operation::Block(..))).count() % 2 == 1;
        Synthesis { networks, operations, position, width, rest: height, kept, odd, rgb: vec![], filled: 0 }
    }

    /// Takes the ŷ of the next strip, the `last` or not, and returns the RGB of the rows that can be told by now: all
    /// but a few at the strip's lower border, which wait for the next.
    pub(crate) fn strip(&mut self, y_hat: &Map, last: bool, scratch: &mut Scratch) -> &[u8] {
        self.filled = 0;
        let row = y_hat.dims.w * y_hat.dims.c;
        let band = (CELLS / y_hat.dims.w).max(rayon::current_num_threads()).clamp(2, BAND);
        let mut bands = y_hat.data.chunks(band * row).peekable();
        while let Some(rows) = bands.next() {
            let band = Map { dims: Dims { h: rows.len() / row, ..y_hat.dims }, data: rows };
            self.band(&band, last && bands.peek().is_none(), scratch);
        }
        &self.rgb[..self.filled]
    }

    /// The same for a part of a strip: appends to `rgb`.
    fn band(&mut self, y_hat: &Map<&[f32]>, last: bool, scratch: &mut Scratch) {
        let (mut x, mut at) = (None::<Map>, 0);
        // Whether x already begins with the rows that the next operation has kept.
        let mut led = false;
        while let Some(operation) = self.operations.get(at) {
            if operation.is_local() {
                let (networks, next) = (self.networks, self.operations.get(at + 1));
                if let ([Operation::Linear(weights), Operation::Shuffle(k), third, ..], 0) =
                    (self.operations, at)
                    && kernels::shuffles(weights, *k)
                    && !third.is_local()
                {
                    // The result goes behind what the next operation has kept: it need not be moved there.
                    x = Some(networks.linear(weights, &[y_hat], *k, &self.kept[2].rows, scratch));
                    (led, at) = (true, 2);
                    continue;
                }
                let (out, used) = match &x {
                    Some(x) => networks.step(operation, next, &[x], self.position, scratch),
                    None => networks.step(operation, next, &[y_hat], self.position, scratch),
                };
                x.replace(out).into_iter().for_each(|x| scratch.give(x));
                at += used;
                continue;
            }
            let input = match x.take() {
                Some(x) if led => x,
                Some(x) => {
                    let led = self.lead(at, &x, scratch);
                    scratch.give(x);
                    led
                }
                None => self.lead(at, y_hat, scratch),
            };
            led = false;
            if let Operation::Patches(patches) = operation {
                let k = patches.k();
                // The row that it has kept has been painted to its middle.
                let first = if self.kept[at].above { k / 2 } else { 0 };
                let beyond = if last { 0 } else { k / 2 };
                let rows = (input.dims.h * k).saturating_sub(first + beyond);
                let (isa, at_pixel, odd) = (self.networks.isa, (first, self.width), self.odd);
                patches.paint(isa, (&input.data, input.dims), at_pixel, odd, self.room(rows));
                let height = input.dims.h;
                self.odd ^= (height - usize::from(self.kept[at].above)) % 2 == 1;
                self.keep(at, input, height.saturating_sub(1), scratch);
                self.kept[at].above = height > 0;
                return;
            }
            let rows = self.ready(at, &input, last);
            let out = match operation {
                Operation::Block(block, scale) => {
                    // As above.
                    led = matches!(self.operations.get(at + 1), Some(next) if !next.is_local());
                    let lead = if led { &self.kept[at + 1].rows[..] } else { &[] };
                    let row = input.dims.w * input.dims.c;
                    let mut out = scratch.map(lead.len() / row + rows.len(), input.dims.w, input.dims.c);
                    let (start, own) = out.data.split_at_mut(lead.len());
                    start.copy_from_slice(lead);
                    let scale = crate::quality::interpolate(scale, self.position);
                    block.run(self.networks.isa, (&input.data, input.dims), rows.clone(), &scale, own);
                    out
                }
                Operation::Convolution { side, grow, weights } => {
                    self.networks.convolution(&input, (*side, *grow), rows.clone(), weights, scratch)
                }
                _ => unreachable!("every other operation is local"),
            };
            self.keep(at, input, rows.end.saturating_sub(1), scratch);
            self.kept[at].above = rows.end > 0;
            x = Some(out);
            at += 1;
        }
        if let Some(picture) = x {
            let stride = picture.dims.w * 3;
            let pixels = self.width * 3;
            let rgb = self.room(picture.dims.h);
            for (out, row) in rgb.chunks_exact_mut(pixels).zip(picture.data.chunks_exact(stride)) {
                out.iter_mut().zip(row).for_each(|(out, &v)| *out = from_network(v));
            }
            scratch.give(picture);
        }
    }

    /// The rows of operation `at`'s input that it has kept, and those of `x` below them.
    fn lead(&self, at: usize, x: &Map<impl Deref<Target = [f32]>>, scratch: &mut Scratch) -> Map {
        let kept = &self.kept[at].rows;
        let mut out = scratch.map(x.dims.h + kept.len() / (x.dims.w * x.dims.c), x.dims.w, x.dims.c);
        let (start, rest) = out.data.split_at_mut(kept.len());
        start.copy_from_slice(kept);
        rest.copy_from_slice(&x.data);
        out
    }

    /// Rows of `input` whose neighbours are known, and whose results are not.
    fn ready(&self, at: usize, input: &Map, last: bool) -> Range<usize> {
        let end = if last { input.dims.h } else { input.dims.h.saturating_sub(1) };
        usize::from(self.kept[at].above).min(end)..end
    }

    /// Keeps the rows of `input` from `first` on for operation `at`. Copied, so that the map's memory, which is near the
    /// processor, is the next one's.
    fn keep(&mut self, at: usize, input: Map, first: usize, scratch: &mut Scratch) {
        let kept = &mut self.kept[at];
        kept.rows.clear();
        kept.rows.extend_from_slice(&input.data[first * input.dims.w * input.dims.c..]);
        scratch.give(input);
    }

    /// Room for `rows` rows of pixels, or as many as the picture still has.
    fn room(&mut self, rows: usize) -> &mut [u8] {
        let rows = rows.min(self.rest);
        self.rest -= rows;
        let before = self.filled;
        self.filled += rows * self.width * 3;
        // Bytes of strips before are written over.
        self.rgb.resize(self.rgb.len().max(self.filled), 0);
        &mut self.rgb[before..self.filled]
    }
}
